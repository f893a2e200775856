"""Ways to bring a target up to date from staging, inside the caller's transaction and sparing equal rows."""

from __future__ import annotations

from dataclasses import dataclass, field

from psycopg import sql

from etl_jobs.checksums import row_hash
from etl_jobs.staging import identifiers
from etl_jobs.warehouse import Session

DIFFERENCES = sql.Identifier("pg_temp", "differences")
WAS_THERE, IS_THERE = sql.Identifier("was there"), sql.Identifier("is there")
_COPIES, _IN_PART = sql.Identifier("copies of it"), sql.Identifier("in the part")
_FIND = """
    CREATE TEMPORARY TABLE {differences} ON COMMIT DROP AS
    SELECT {columns}, t.{one} IS NOT NULL AS {was_there}, s.{one} IS NOT NULL AS {is_there}
    FROM {staging} AS s {kind} JOIN {target} AS t ON {same_key}
    WHERE t.{one} IS NULL OR CASE WHEN s.{one} IS NULL THEN {gone} ELSE {differ} END
"""
_GROWN = """
    SELECT coalesce((SELECT sum({new}) FROM {differences} AS d), 0)
     - coalesce((SELECT sum({old}) FROM {target} AS t JOIN {differences} AS d ON {same_key}), 0)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """How many rows of the target were inserted, updated, deleted.

    `grown` is by how much its number of rows and its checksum have grown, None where nobody has counted.
    """

    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    grown: tuple[int, int] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """From which relation into which, over which columns; `key` names a row, empty where rows may repeat."""

    staging: sql.Identifier
    target: sql.Identifier
    columns: tuple[str, ...]
    key: tuple[str, ...]

    @property
    def others(self) -> tuple[str, ...]:
        return tuple(c for c in self.columns if c not in self.key)


def make_equal(session: Session, change: Change, *, part: sql.Composable | None = None) -> Changed:
    """Make the `part` of the target, all of it by default, equal to staging; needs a key.

    A row of the target outside the part is updated where its key comes back in staging.
    """
    if part is None:
        find_differences(session, change, held=change.target, gone=sql.SQL("true"))
    else:
        held = sql.SQL("(SELECT *, {} AS {} FROM {})").format(part, _IN_PART, change.target)
        find_differences(session, change, held=held, gone=sql.SQL("t.{}").format(_IN_PART))
    return _settle(session, change)


def upsert(session: Session, change: Change) -> Changed:
    """Insert what is new, update what differs, delete nothing; needs a key, and reads no more rows than staging has."""
    find_differences(session, change, held=change.target, gone=None)
    statement = sql.SQL(_GROWN).format(
        new=row_hash(change.columns, of="d"),
        old=row_hash(change.columns, of="t"),
        differences=DIFFERENCES,
        target=change.target,
        same_key=equal(change.key, "t", "d"),
    )
    row = session.execute(statement).fetchone()
    assert row is not None
    changed = _settle(session, change)
    return Changed(inserted=changed.inserted, updated=changed.updated, grown=(changed.inserted, int(row[0])))


def find_differences(session: Session, change: Change, *, held: sql.Composable, gone: sql.Composable | None) -> None:
    """Keep in `DIFFERENCES` what `held` has not as staging has it, with staging's values, until the commit.

    Rows of it that staging has not, by their key, are kept where the condition `gone` over `t` holds; with None
    nobody looks for them. A statement of its own, because a server only reads for several processes at once where
    nothing is changed by the same statement.
    """
    one = change.key[0]
    of = {c: sql.SQL("coalesce(s.{0}, t.{0}) AS {0}" if c in change.key else "s.{0}") for c in change.columns}
    statement = sql.SQL(_FIND).format(
        differences=DIFFERENCES,
        columns=sql.SQL(", ").join(text.format(sql.Identifier(c)) for c, text in of.items()),
        one=sql.Identifier(one),
        was_there=WAS_THERE,
        is_there=IS_THERE,
        staging=change.staging,
        kind=sql.SQL("LEFT" if gone is None else "FULL"),
        target=held,
        same_key=equal(change.key, "t", "s"),
        gone=gone or sql.SQL("false"),
        differ=differ(change.others, "t", "s") if change.others else sql.SQL("false"),
    )
    session.execute(statement)


def _settle(session: Session, change: Change) -> Changed:
    """Delete, update and insert what differs, in this order: another unique index may have values change places."""
    values = {
        "target": change.target,
        "differences": DIFFERENCES,
        "same_key": equal(change.key, "t", "d"),
        "was_there": WAS_THERE,
        "is_there": IS_THERE,
        "columns": identifiers(change.columns),
        "assignments": _assignments(change.others, "d"),
    }
    delete = "DELETE FROM {target} AS t USING {differences} AS d WHERE {same_key} AND NOT d.{is_there}"
    update = (
        "UPDATE {target} AS t SET {assignments} FROM {differences} AS d"
        " WHERE {same_key} AND d.{was_there} AND d.{is_there}"
    )
    insert = "INSERT INTO {target} ({columns}) SELECT {columns} FROM {differences} AS d WHERE NOT d.{was_there}"
    deleted = session.execute(sql.SQL(delete).format(**values)).rowcount
    updated = session.execute(sql.SQL(update).format(**values)).rowcount if change.others else 0
    inserted = session.execute(sql.SQL(insert).format(**values)).rowcount
    return Changed(inserted=inserted, updated=updated, deleted=deleted)


def replace_rows(session: Session, change: Change, *, part: sql.Composable | None = None) -> Changed:
    """Delete, then insert, only what differs between staging and the target's `part`; rows may repeat."""
    columns = identifiers(change.columns)
    old = sql.SQL("SELECT {} FROM {} WHERE {}").format(columns, change.target, part or sql.SQL("true"))
    new = sql.SQL("SELECT {} FROM {}").format(columns, change.staging)
    fresh, gone = sql.Identifier("pg_temp", "fresh rows"), sql.Identifier("pg_temp", "gone rows")
    vanished = sql.SQL("SELECT {}, count(*) AS {} FROM ({} EXCEPT ALL {}) AS d GROUP BY {}")
    _keep(session, fresh, sql.SQL("{} EXCEPT ALL {}").format(new, old))
    _keep(session, gone, vanished.format(columns, _COPIES, old, new, columns))
    deleted = _delete_copies(session, change, gone)
    insert = sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {}").format(change.target, columns, columns, fresh)
    return Changed(inserted=session.execute(insert).rowcount, deleted=deleted)


def _keep(session: Session, name: sql.Identifier, rows: sql.Composed) -> None:
    session.execute(sql.SQL("CREATE TEMPORARY TABLE {} ON COMMIT DROP AS {}").format(name, rows))


def _delete_copies(session: Session, change: Change, gone: sql.Identifier) -> int:
    """Of every row in `gone` as many copies as it says. The hash lets the server join rows that hold nulls."""
    if session.execute(sql.SQL("SELECT FROM {} LIMIT 1").format(gone)).fetchone() is None:
        return 0
    kept, lost = (sql.SQL("ROW({})").format(identifiers(change.columns, of=alias)) for alias in ("k", "g"))
    statement = sql.SQL(
        "DELETE FROM {target} AS t USING ("
        "SELECT k.ctid AS place, row_number() OVER (PARTITION BY {columns}) AS nth, g.{copies} AS copies"
        " FROM {target} AS k JOIN {gone} AS g ON hash_record_extended({kept}, 0) = hash_record_extended({lost}, 0)"
        " AND {kept} IS NOT DISTINCT FROM {lost}) AS d WHERE t.ctid = d.place AND d.nth <= d.copies"
    ).format(
        target=change.target,
        gone=gone,
        columns=identifiers(change.columns, of="k"),
        copies=_COPIES,
        kept=kept,
        lost=lost,
    )
    return session.execute(statement).rowcount


def equal(columns: tuple[str, ...], left: str, right: str) -> sql.Composed:
    """The columns of both aliases are equal: a condition that an index can serve."""
    return sql.SQL(" AND ").join(
        sql.SQL("{} = {}").format(sql.Identifier(left, c), sql.Identifier(right, c)) for c in columns
    )


def differ(columns: tuple[str, ...], left: str, right: str) -> sql.Composed:
    """The rows of both aliases differ in one of the columns; null equals null."""
    return sql.SQL("ROW({}) IS DISTINCT FROM ROW({})").format(
        identifiers(columns, of=left), identifiers(columns, of=right)
    )


def _assignments(columns: tuple[str, ...], of: str) -> sql.Composed:
    return sql.SQL(", ").join(sql.SQL("{} = {}").format(sql.Identifier(c), sql.Identifier(of, c)) for c in columns)
