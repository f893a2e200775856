"""Batches: what was added to a table that only grows and has no key, so that it is not added again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from psycopg import sql

from etl_jobs.changes import Change
from etl_jobs.checksums import compared
from etl_jobs.errors import MisconfiguredError
from etl_jobs.sources.files import find_files
from etl_jobs.sources.types import parse
from etl_jobs.tables import Catalogue, Table
from etl_jobs.warehouse import Session

_WHOLE = frozenset(("smallint", "integer", "bigint"))


class Batch(NamedTuple):
    """Rows that come together: those of a file, where files are told apart, or all. Their number and checksum."""

    file: str | None
    rows: int
    checksum: int


def batches_in(session: Session, staging: sql.Identifier, table: Table) -> list[Batch]:
    """What is in staging as it was copied, before anything is rejected that depends on other rows and tables.

    It is the same batch in whatever order its rows and columns are, and whatever its whole numbers are called.
    """
    file: sql.Composable = sql.Identifier("s", table.file_column) if table.file_column else sql.SQL("NULL::text")
    statement = sql.SQL(
        "SELECT {file}, count(*), coalesce(sum(hash_record_extended(ROW({values}), 0)), 0) FROM {staging} AS s {groups}"
    ).format(
        file=file,
        values=sql.SQL(", ").join(_alike(c, table.columns[c]) for c in sorted(table.columns)),
        staging=staging,
        groups=sql.SQL("GROUP BY {}").format(file) if table.file_column else sql.SQL(""),
    )
    return [Batch(name, rows, int(checksum)) for name, rows, checksum in session.execute(statement).fetchall()]


def remember_batches(session: Session, name: str, change: Change, batches: Sequence[Batch], *, file_column: str) -> int:
    """Write them down, in the transaction of their rows, and take out of staging those that were there already.

    Returns how many rows were taken out.
    """
    if not batches:
        return 0
    values = sql.SQL(", ").join(sql.SQL("({})").format(sql.SQL(", ").join(map(sql.Literal, b))) for b in batches)
    fresh = session.execute(
        sql.SQL(
            "INSERT INTO etl.batch (target, file, rows, checksum)"
            " SELECT {}, file::text, rows, checksum FROM (VALUES {}) AS found (file, rows, checksum)"
            " ON CONFLICT DO NOTHING RETURNING file, rows, checksum"
        ).format(sql.Literal(name), values)
    ).fetchall()
    known = {b.file for b in batches} - {file for file, *_ in fresh}
    if not known:
        return 0
    those: sql.Composable = sql.SQL("true")
    if file_column:
        those = sql.SQL("{} = ANY({})").format(sql.Identifier(file_column), sql.Literal(sorted(map(str, known))))
    return session.execute(sql.SQL("DELETE FROM {} WHERE {}").format(change.staging, those)).rowcount


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
        "SELECT strategy FROM etl.load WHERE target = %(target)s AND held_rows > 0"
        " AND (NOT EXISTS (SELECT FROM etl.batch WHERE target = %(target)s)"
        " OR EXISTS (SELECT FROM etl.batch WHERE target = %(target)s AND (file IS NULL) = %(by_file)s))"
        " AND NOT EXISTS (SELECT FROM etl.load AS later WHERE later.target = load.target AND later.id > load.id)",
        {"target": name, "by_file": bool(table.file_column)},
    ).fetchone()
    if row:
        raise MisconfiguredError(
            f"table {table.name!r}: its rows are of loads that did not say which"
            f" {'files' if table.file_column else 'batches'} they were ({row[0]}): append could add them once more",
            hint="--full-refresh once makes the table equal to the source, and goes on from there;"
            " or leave the strategy as it was",
        )


def forget_batches(session: Session, name: str) -> None:
    """Of a table that is made anew, or grows otherwise."""
    session.execute("DELETE FROM etl.batch WHERE target = %s", [name])
