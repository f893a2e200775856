"""A target that only grows: a row, or without a key a batch, that is there already is not added again."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from etl_jobs.batches import Batch, remember_batches
from etl_jobs.changes import Change, Changed, equal
from etl_jobs.checksums import checksum, whole
from etl_jobs.repeating import insert_all
from etl_jobs.staging import identifiers
from etl_jobs.taken import keepers, refuse_kept_away
from etl_jobs.warehouse import Session


def append(
    session: Session,
    change: Change,
    *,
    name: str,
    batch: tuple[int, int],
    batches: Sequence[Batch],
    file_column: str,
) -> Changed:
    """Add the rows whose key is new; without a key all of them, but for `batches` that were added before.

    `batch` is the number of rows in staging and their checksum, `name` the target's.
    """
    columns = identifiers(change.columns)
    insert = sql.SQL("INSERT INTO {} AS s ({}) SELECT {} FROM {}").format(
        change.target, columns, columns, change.staging
    )
    if not change.key:
        if remember_batches(session, name, change, batches, file_column=file_column):
            batch = whole(session, change.staging, change.columns)
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
