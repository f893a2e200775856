"""Ways to bring a target up to date from staging, inside the caller's transaction and sparing equal rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import psycopg
from psycopg import sql

from etl_jobs.checksums import compared, row_hash
from etl_jobs.names import own
from etl_jobs.staging import identifiers
from etl_jobs.taken import interfered, refuse_kept_away
from etl_jobs.warehouse import Session

DIFFERENCES = sql.Identifier("pg_temp", "differences")
WAS_THERE, IS_THERE = sql.Identifier(own("was there")), sql.Identifier(own("is there"))
_HASH_BEFORE = sql.Identifier(own("hash before"))
_STAYS = sql.SQL("d.{} AND d.{}").format(WAS_THERE, IS_THERE)
_IN_PART = sql.Identifier(own("in the part"))
_FIND = """
    CREATE TEMPORARY TABLE {differences} ON COMMIT DROP AS
    SELECT {columns}, t.{one} IS NOT NULL AS {was_there}, s.{one} IS NOT NULL AS {is_there},
     CASE WHEN t.{one} IS NOT NULL THEN {hash} END AS {hash_before}
    FROM {staging} AS s {kind} JOIN {target} AS t ON {same_key}
    WHERE t.{one} IS NULL OR CASE WHEN s.{one} IS NULL THEN {gone} ELSE {differ} END
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
    """From which relation into which, over which columns with their types.

    `key` names a row; it is empty where rows may repeat.
    """

    staging: sql.Identifier
    target: sql.Identifier
    columns: Mapping[str, str]
    key: tuple[str, ...]

    @property
    def others(self) -> dict[str, str]:
        return {c: kind for c, kind in self.columns.items() if c not in self.key}


def make_equal(session: Session, change: Change, *, part: sql.Composable | None = None) -> Changed:
    """Make the `part` of the target, all of it by default, equal to staging; needs a key.

    A row of the target outside the part is updated where its key comes back in staging.
    """
    if part is None:
        find_differences(session, change, held=change.target, gone=sql.SQL("true"))
    else:
        held = sql.SQL("(SELECT *, {} AS {} FROM {})").format(part, _IN_PART, change.target)
        find_differences(session, change, held=held, gone=sql.SQL("t.{}").format(_IN_PART))
    # In this order, values of another unique index may go from one row to another.
    new, other, old = counted(session)
    deleted = _delete(session, change, wanted=old)
    updated = _update(session, change, wanted=other)
    inserted = _insert(session, change, wanted=new)
    return Changed(inserted=inserted, updated=updated, deleted=deleted)


def upsert(session: Session, change: Change) -> Changed:
    """Insert what is new, update what differs, delete nothing; needs a key, and reads no more rows than staging has."""
    find_differences(session, change, held=change.target, gone=None)
    grown = sql.SQL("SELECT coalesce(sum({}), 0) - coalesce(sum({}), 0) FROM {} AS d").format(
        row_hash(change.columns, of="d"), _HASH_BEFORE, DIFFERENCES
    )
    row = session.execute(grown).fetchone()
    assert row is not None
    new, other, _ = counted(session)
    updated, inserted = _update(session, change, wanted=other), _insert(session, change, wanted=new)
    return Changed(inserted=inserted, updated=updated, grown=(inserted, int(row[0])))


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
        hash=row_hash(change.columns, of="t"),
        hash_before=_HASH_BEFORE,
        staging=change.staging,
        kind=sql.SQL("LEFT" if gone is None else "FULL"),
        target=held,
        same_key=equal(change.key, "t", "s"),
        gone=gone or sql.SQL("false"),
        differ=differ(change.others, "t", "s") if change.others else sql.SQL("false"),
    )
    try:
        with session.transaction():
            session.execute("SET LOCAL parallel_tuple_cost = 0")  # few rows differ, which the server cannot know
            session.execute(statement)
    except psycopg.errors.DiskFull:  # of shared memory, too, which only a join of several processes needs
        session.execute("SET LOCAL enable_parallel_hash = off")
        session.execute(statement)


def counted(session: Session) -> tuple[int, int, int]:
    """How many of the differences are to be inserted, to be updated, to be deleted."""
    row = session.execute(
        sql.SQL(
            "SELECT count(*) FILTER (WHERE NOT {was}), count(*) FILTER (WHERE {was} AND {now}),"
            " count(*) FILTER (WHERE NOT {now}) FROM {differences}"
        ).format(was=WAS_THERE, now=IS_THERE, differences=DIFFERENCES)
    ).fetchone()
    assert row is not None
    return row[0], row[1], row[2]


def _delete(session: Session, change: Change, *, wanted: int) -> int:
    statement = sql.SQL("DELETE FROM {} AS t USING {} AS d WHERE {} AND NOT d.{}").format(
        change.target, DIFFERENCES, equal(change.key, "t", "d"), IS_THERE
    )
    deleted = session.execute(statement).rowcount
    if deleted != wanted:  # somebody else may have done it
        left = _among(session, change, sql.SQL("NOT d.{}").format(IS_THERE))
        refuse_kept_away(session, change.target, done=wanted - left, wanted=wanted, what="deleted")
    return deleted


def _update(session: Session, change: Change, *, wanted: int) -> int:
    if not change.others:
        return 0
    statement = sql.SQL("UPDATE {} AS t SET {} FROM {} AS d WHERE {} AND {}").format(
        change.target, _assignments(change.others, "d"), DIFFERENCES, equal(change.key, "t", "d"), _STAYS
    )
    updated = session.execute(statement).rowcount
    if updated != wanted:
        if _among(session, change, _STAYS) != wanted:
            raise interfered(session, change.target)
        refuse_kept_away(session, change.target, done=updated, wanted=wanted, what="updated")
    return updated


def _insert(session: Session, change: Change, *, wanted: int) -> int:
    columns, is_new = identifiers(change.columns), sql.SQL("NOT d.{}").format(WAS_THERE)
    statement = sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {} AS d WHERE {}").format(
        change.target, columns, columns, DIFFERENCES, is_new
    )
    try:
        with session.transaction():
            inserted = session.execute(statement).rowcount
    except psycopg.errors.UniqueViolation as error:
        if _among(session, change, is_new):
            raise interfered(session, change.target) from error
        raise
    if inserted != wanted:  # a trigger may have put them into tables that inherit from this one
        found = _among(session, change, is_new)
        refuse_kept_away(session, change.target, done=found, wanted=wanted, what="inserted")
    return wanted


def _among(session: Session, change: Change, which: sql.Composable) -> int:
    """Of how many of the differences `which` there is a row with the same key in the target by now."""
    statement = sql.SQL("SELECT count(*) FROM {} AS d WHERE {} AND EXISTS (SELECT FROM {} AS t WHERE {})").format(
        DIFFERENCES, which, change.target, equal(change.key, "t", "d")
    )
    row = session.execute(statement).fetchone()
    return int(row[0]) if row else 0


def equal(columns: tuple[str, ...], left: str, right: str) -> sql.Composed:
    """The columns of both aliases are equal: a condition that an index can serve."""
    return sql.SQL(" AND ").join(
        sql.SQL("{} = {}").format(sql.Identifier(left, c), sql.Identifier(right, c)) for c in columns
    )


def differ(columns: Mapping[str, str], left: str, right: str) -> sql.Composed:
    """The rows of both aliases differ in one of the columns; null equals null."""
    return sql.SQL("ROW({}) IS DISTINCT FROM ROW({})").format(compared(columns, of=left), compared(columns, of=right))


def _assignments(columns: Iterable[str], of: str) -> sql.Composed:
    return sql.SQL(", ").join(sql.SQL("{} = {}").format(sql.Identifier(c), sql.Identifier(of, c)) for c in columns)
