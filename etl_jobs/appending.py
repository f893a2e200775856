"""A target that only grows: a row, or without a key a batch, that is there already is not added again."""

from __future__ import annotations

from psycopg import sql

from etl_jobs.changes import Change, Changed, equal
from etl_jobs.checksums import checksum, compared
from etl_jobs.errors import MisconfiguredError
from etl_jobs.repeating import insert_all
from etl_jobs.sources.types import parse
from etl_jobs.staging import identifiers
from etl_jobs.tables import Table
from etl_jobs.taken import keepers, refuse_kept_away
from etl_jobs.warehouse import Session

_WHOLE = frozenset(("smallint", "integer", "bigint"))


def append(session: Session, change: Change, *, name: str, batch: tuple[int, int]) -> Changed:
    """Add the rows whose key is new; without a key all of them, unless this batch was added before.

    `batch` is its number of rows and their checksum, `name` the target's.
    """
    columns = identifiers(change.columns)
    insert = sql.SQL("INSERT INTO {} AS s ({}) SELECT {} FROM {}").format(
        change.target, columns, columns, change.staging
    )
    if not change.key:
        if not remember_batch(session, name, change):
            return Changed(grown=(0, 0))
        insert_all(session, change, insert, wanted=batch[0])
        return Changed(inserted=batch[0], grown=batch)
    row = session.execute(
        sql.SQL("WITH s AS ({} ON CONFLICT ({}) DO NOTHING RETURNING {}) SELECT count(*), {} FROM s").format(
            insert, identifiers(change.key), columns, checksum(change.columns)
        )
    ).fetchone()
    assert row is not None
    if row[0] != batch[0] and keepers(session, change.target):
        _refuse_missing(session, change, batch[0])
    return Changed(inserted=row[0], grown=(row[0], int(row[1])))


def _refuse_missing(session: Session, change: Change, wanted: int) -> None:
    """Raise where the keys of staging are not all in the target."""
    found = session.execute(
        sql.SQL("SELECT count(*) FROM {} AS s WHERE EXISTS (SELECT FROM {} AS t WHERE {})").format(
            change.staging, change.target, equal(change.key, "t", "s")
        )
    ).fetchone()
    refuse_kept_away(session, change.target, done=found[0] if found else 0, wanted=wanted, what="inserted")


def remember_batch(session: Session, name: str, change: Change) -> bool:
    """Write down, in the transaction of its rows, that the batch in staging is there; False if it was already.

    It is the same batch in whatever order its rows and columns are, and whatever its whole numbers are called.
    """
    mark = sql.SQL("SELECT {}, count(*), coalesce(sum(hash_record_extended(ROW({}), 0)), 0) FROM {} AS s").format(
        sql.Literal(name),
        sql.SQL(", ").join(_alike(c, change.columns[c]) for c in sorted(change.columns)),
        change.staging,
    )
    statement = sql.SQL("INSERT INTO etl.batch (target, rows, checksum) {} ON CONFLICT DO NOTHING").format(mark)
    return session.execute(statement).rowcount == 1


def _alike(column: str, kind: str) -> sql.Composable:
    """An expression whose hash is the same for all types of numbers that are told exactly."""
    known = parse(kind)
    if known.name in _WHOLE and not known.array:
        return sql.SQL("{}::numeric").format(sql.Identifier("s", column))
    return compared({column: kind}, of="s")


def refuse_unknown_batches(session: Session, name: str, table: Table) -> None:
    """Refuse to add to what loads of another kind have left: nobody knows whether the source is part of it."""
    if not table.batched:
        return
    row = session.execute(
        "SELECT strategy FROM etl.load WHERE target = %(target)s"
        " AND NOT EXISTS (SELECT FROM etl.batch WHERE target = %(target)s) ORDER BY id DESC LIMIT 1",
        {"target": name},
    ).fetchone()
    if row:
        raise MisconfiguredError(
            f"table {table.name!r}: its rows are of loads that did not say which batches they were ({row[0]}):"
            " append could add them once more",
            hint="--full-refresh once makes the table equal to the source, and goes on from there;"
            " or leave the strategy as it was",
        )


def forget_batches(session: Session, name: str) -> None:
    """Of a table that is made anew, or grows otherwise."""
    session.execute("DELETE FROM etl.batch WHERE target = %s", [name])
