"""A target that only grows: a row, or without a key a batch, that is there already is not added again."""

from __future__ import annotations

from psycopg import sql

from etl_jobs.changes import Change, Changed, equal
from etl_jobs.checksums import checksum, compared, whole
from etl_jobs.errors import MisconfiguredError
from etl_jobs.repeating import insert_all
from etl_jobs.sources.files import find_files
from etl_jobs.sources.types import parse
from etl_jobs.staging import identifiers
from etl_jobs.tables import Catalogue, Table
from etl_jobs.taken import keepers, refuse_kept_away
from etl_jobs.warehouse import Session

_WHOLE = frozenset(("smallint", "integer", "bigint"))


def append(session: Session, change: Change, *, name: str, batch: tuple[int, int], by: str) -> Changed:
    """Add the rows whose key is new; without a key all of them, but for batches that were added before.

    `batch` is the number of rows in staging and their checksum, `name` the target's, `by` as in `remember_batches`.
    """
    columns = identifiers(change.columns)
    insert = sql.SQL("INSERT INTO {} AS s ({}) SELECT {} FROM {}").format(
        change.target, columns, columns, change.staging
    )
    if not change.key:
        if remember_batches(session, name, change, by=by):
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


def remember_batches(session: Session, name: str, change: Change, *, by: str) -> int:
    """Write down, in the transaction of its rows, what is in staging; what was there already is taken out of it.

    All of it is one batch, or of each value `by` which it is told apart. It is the same batch in whatever order its
    rows and columns are, and whatever its whole numbers are called. Returns how many rows were taken out.
    """
    values = sql.SQL(", ").join(_alike(c, change.columns[c]) for c in sorted(change.columns))
    part: sql.Composable = sql.Identifier("s", by) if by else sql.SQL("NULL")
    same = sql.SQL("{} = found.part").format(part) if by else sql.SQL("true")
    statement = sql.SQL(
        "WITH found AS (SELECT {part} AS part, count(*) AS rows,"
        " coalesce(sum(hash_record_extended(ROW({values}), 0)), 0) AS checksum FROM {staging} AS s {groups}),"
        " added AS (INSERT INTO etl.batch (target, rows, checksum) SELECT {name}, rows, checksum FROM found"
        " ON CONFLICT DO NOTHING RETURNING rows, checksum)"
        " DELETE FROM {staging} AS s USING found WHERE {same}"
        " AND NOT EXISTS (SELECT FROM added WHERE added.rows = found.rows AND added.checksum = found.checksum)"
    )
    groups = sql.SQL("GROUP BY {}").format(part) if by else sql.SQL("")
    words = {"part": part, "same": same, "values": values, "groups": groups}
    return session.execute(statement.format(staging=change.staging, name=sql.Literal(name), **words)).rowcount


def _alike(column: str, kind: str) -> sql.Composable:
    """An expression whose hash is the same for all types of numbers that are told exactly."""
    known = parse(kind)
    if known.name in _WHOLE and not known.array:
        return sql.SQL("{}::numeric").format(sql.Identifier("s", column))
    return compared({column: kind}, of="s")


def refuse_untold_files(catalogue: Catalogue, table: Table) -> None:
    """Refuse files that would be one batch together: with the next file they would be another one, and come again."""
    folder = catalogue.source.folder
    if not table.batched or table.file_column or folder is None:
        return
    if len(files := find_files(folder, table.files)) > 1:
        raise MisconfiguredError(
            f"table {table.name!r}: append without a key reads one file, here are {len(files)}:"
            f" {', '.join(path.name for path in files[:3])}{', …' if len(files) > 3 else ''}",
            hint='source = { file_column = "file" } tells their rows apart, and each file is added once;'
            " or declare a key",
        )


def refuse_unknown_batches(session: Session, name: str, table: Table) -> None:
    """Refuse to add to what loads of another kind have left: nobody knows whether the source is part of it."""
    if not table.batched:
        return
    row = session.execute(
        "SELECT strategy FROM etl.load WHERE target = %(target)s"
        " AND NOT EXISTS (SELECT FROM etl.batch WHERE target = %(target)s) AND held_rows > 0"
        " AND NOT EXISTS (SELECT FROM etl.load AS later WHERE later.target = load.target AND later.id > load.id)",
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
