"""One number for many rows: their hashes added up, so that their order does not matter."""

from __future__ import annotations

from collections.abc import Iterable

from psycopg import sql

from etl_jobs.staging import identifiers
from etl_jobs.warehouse import Session


def checksum(columns: Iterable[str], *, of: str = "s") -> sql.Composed:
    """An SQL aggregate over these columns of an alias. Sums of parts add up to the sum of the whole."""
    return sql.SQL("coalesce(sum({}), 0)").format(row_hash(columns, of=of))


def row_hash(columns: Iterable[str], *, of: str) -> sql.Composed:
    """An SQL expression, a bigint: rows that are equal have the same."""
    return sql.SQL("hash_record_extended(ROW({}), 0)").format(identifiers(columns, of=of))


def whole(session: Session, relation: sql.Identifier, columns: Iterable[str]) -> tuple[int, int]:
    """How many rows a relation has, and the checksum of these columns."""
    row = session.execute(sql.SQL("SELECT count(*), {} FROM {} AS s").format(checksum(columns), relation)).fetchone()
    return (row[0], int(row[1])) if row else (0, 0)
