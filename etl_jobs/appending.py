"""A target that only grows: a row, or without a key a batch, that is there already is not added again."""

from __future__ import annotations

from psycopg import sql

from etl_jobs.changes import Change, Changed
from etl_jobs.checksums import checksum
from etl_jobs.staging import identifiers
from etl_jobs.warehouse import Session


def append(session: Session, change: Change, *, name: str, batch: tuple[int, int]) -> Changed:
    """Add the rows whose key is new; without a key all of them, unless this batch was added before.

    `batch` says which one it is: its number of rows and their checksum. `name` is the target's.
    """
    columns = identifiers(change.columns)
    insert = sql.SQL("INSERT INTO {} AS s ({}) SELECT {} FROM {}").format(
        change.target, columns, columns, change.staging
    )
    if not change.key:
        is_new = remember_batch(session, name, batch)
        return Changed(inserted=session.execute(insert).rowcount, grown=batch) if is_new else Changed(grown=(0, 0))
    row = session.execute(
        sql.SQL("WITH s AS ({} ON CONFLICT ({}) DO NOTHING RETURNING {}) SELECT count(*), {} FROM s").format(
            insert, identifiers(change.key), columns, checksum(change.columns)
        )
    ).fetchone()
    assert row is not None
    return Changed(inserted=row[0], grown=(row[0], int(row[1])))


def remember_batch(session: Session, name: str, batch: tuple[int, int]) -> bool:
    """Write down, in the transaction of its rows, that the batch is there; False if it was already."""
    statement = "INSERT INTO etl.batch (target, rows, checksum) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
    return session.execute(statement, [name, *batch]).rowcount == 1


def forget_batches(session: Session, name: str) -> None:
    """Of a table that is made anew."""
    session.execute("DELETE FROM etl.batch WHERE target = %s", [name])
