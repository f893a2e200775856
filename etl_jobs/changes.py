"""Three ways to bring a target up to date from staging, inside the caller's transaction and sparing equal rows."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from etl_jobs.staging import identifiers
from etl_jobs.warehouse import Session

_COPIES = sql.Identifier("copies of it")


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """How many rows of the target were inserted, updated, deleted."""

    inserted: int = 0
    updated: int = 0
    deleted: int = 0


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


def merge(session: Session, change: Change) -> Changed:
    """One MERGE that also deletes what staging has not; needs PostgreSQL 17 and a key."""
    update = sql.SQL("WHEN MATCHED AND {} THEN UPDATE SET {}").format(
        differ(change.others, "t", "s"), _assignments(change.others, "s")
    )
    statement = sql.SQL(
        "WITH done AS (MERGE INTO {} AS t USING {} AS s ON {} {}"
        " WHEN NOT MATCHED THEN INSERT ({}) VALUES ({})"
        " WHEN NOT MATCHED BY SOURCE THEN DELETE RETURNING merge_action() AS what)"
        " SELECT count(*) FILTER (WHERE what = 'INSERT'), count(*) FILTER (WHERE what = 'UPDATE'),"
        " count(*) FILTER (WHERE what = 'DELETE') FROM done"
    ).format(
        change.target,
        change.staging,
        equal(change.key, "t", "s"),
        update if change.others else sql.SQL(""),
        identifiers(change.columns),
        identifiers(change.columns, of="s"),
    )
    return _changed(session, statement)


def upsert(session: Session, change: Change) -> Changed:
    """Insert what is new, update what differs, delete nothing; needs a unique index on the key."""
    update = sql.SQL("UPDATE SET {} WHERE {}").format(
        _assignments(change.others, "excluded"), differ(change.others, "t", "excluded")
    )
    statement = sql.SQL(
        "WITH done AS (INSERT INTO {} AS t ({}) SELECT {} FROM {} ON CONFLICT ({}) DO {}"
        " RETURNING t.xmax = 0 AS is_new)"
        " SELECT count(*) FILTER (WHERE is_new), count(*) FILTER (WHERE NOT is_new), 0 FROM done"
    ).format(
        change.target,
        identifiers(change.columns),
        identifiers(change.columns),
        change.staging,
        identifiers(change.key),
        update if change.others else sql.SQL("NOTHING"),
    )
    return _changed(session, statement)


def replace_rows(session: Session, change: Change, *, part: sql.Composable | None = None) -> Changed:
    """Delete, then insert, only what differs between staging and the target's `part`; rows may repeat.

    A row of the target outside the part goes as well where its key comes back in staging. With a key,
    a row deleted and inserted again counts as updated.
    """
    columns = identifiers(change.columns)
    old = sql.SQL("SELECT {} FROM {} WHERE {}").format(columns, change.target, part or sql.SQL("true"))
    new = sql.SQL("SELECT {} FROM {}").format(columns, change.staging)
    fresh, gone = sql.Identifier("pg_temp", "fresh rows"), sql.Identifier("pg_temp", "gone rows")
    vanished = sql.SQL("SELECT {}, count(*) AS {} FROM ({} EXCEPT ALL {}) AS d GROUP BY {}")
    _keep(session, fresh, sql.SQL("{} EXCEPT ALL {}").format(new, old))
    _keep(session, gone, vanished.format(columns, _COPIES, old, new, columns))
    if change.key:
        known, outside = _delete_keys(session, change, gone), _delete_keys(session, change, fresh)
        deleted, updated = known + outside, outside + _count_common(session, change, gone, fresh)
    else:
        deleted, updated = _delete_copies(session, change, gone), 0
    insert = sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {}").format(change.target, columns, columns, fresh)
    inserted = session.execute(insert).rowcount
    return Changed(inserted=inserted - updated, updated=updated, deleted=deleted - updated)


def _keep(session: Session, name: sql.Identifier, rows: sql.Composed) -> None:
    session.execute(sql.SQL("CREATE TEMPORARY TABLE {} ON COMMIT DROP AS {}").format(name, rows))


def _delete_keys(session: Session, change: Change, keys: sql.Identifier) -> int:
    statement = sql.SQL("DELETE FROM {} AS t USING {} AS s WHERE {}")
    return session.execute(statement.format(change.target, keys, equal(change.key, "t", "s"))).rowcount


def _count_common(session: Session, change: Change, one: sql.Identifier, other: sql.Identifier) -> int:
    statement = sql.SQL("SELECT count(*) FROM {} AS t JOIN {} AS s ON {}")
    row = session.execute(statement.format(one, other, equal(change.key, "t", "s"))).fetchone()
    return int(row[0]) if row else 0


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


def _changed(session: Session, statement: sql.Composed) -> Changed:
    row = session.execute(statement).fetchone()
    assert row is not None
    return Changed(inserted=row[0], updated=row[1], deleted=row[2])
