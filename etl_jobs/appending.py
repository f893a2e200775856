"""A target that only grows: a row, or without a key a batch, that is there already is not added again."""

from __future__ import annotations

from psycopg import sql

from etl_jobs.changes import Change, Changed
from etl_jobs.staging import identifiers
from etl_jobs.warehouse import Session


def append(session: Session, change: Change, *, name: str, batch: tuple[int, int]) -> Changed:
    """Add the rows whose key is new; without a key all of them, unless this batch was added before.

    `batch` says which one it is: its number of rows and their checksum. `name` is the target's.
    """
    if not change.key and not _is_new(session, name, batch):
        return Changed()
    conflict = sql.SQL(" ON CONFLICT ({}) DO NOTHING").format(identifiers(change.key)) if change.key else sql.SQL("")
    columns = identifiers(change.columns)
    insert = sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {}").format(change.target, columns, columns, change.staging)
    return Changed(inserted=session.execute(insert + conflict).rowcount)


def forget_batches(session: Session, name: str, *, but: tuple[int, int] | None = None) -> None:
    """Of a table that is made anew, perhaps from this one batch."""
    session.execute("DELETE FROM etl.batch WHERE target = %s", [name])
    if but is not None:
        _is_new(session, name, but)


def _is_new(session: Session, name: str, batch: tuple[int, int]) -> bool:
    """Remember the batch, in the transaction of its rows."""
    statement = "INSERT INTO etl.batch (target, rows, checksum) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
    return session.execute(statement, [name, *batch]).rowcount == 1
