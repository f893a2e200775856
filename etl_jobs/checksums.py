"""One number for many rows, their hashes added up, so that their order does not matter; and what can be compared."""

from __future__ import annotations

from collections.abc import Mapping

import psycopg
from psycopg import sql

from etl_jobs.errors import MisconfiguredError
from etl_jobs.sources.types import parse
from etl_jobs.warehouse import Session

# Types without a hash or without equality, or whose equality is one of areas or numbers of points.
_AS_TEXT = frozenset((
    "bit", "bit varying", "box", "circle", "json", "jsonpath", "line", "lseg", "money", "path", "point", "polygon",
    "tsquery", "tsvector", "varbit", "xml",
))  # fmt: skip


def comparable(columns: Mapping[str, str], *, of: str = "") -> sql.Composed:
    """The columns under their names, `of` an alias where one is given: as text where their types cannot be compared.

    `columns` are their names with their types, here and below.
    """
    return sql.SQL(", ").join(
        sql.SQL("{}::text AS {}").format(name, sql.Identifier(column)) if as_text else name
        for column, name, as_text in _named(columns, of)
    )


def original(columns: Mapping[str, str]) -> sql.Composed:
    """What `comparable` has made of the columns as values of their types again."""
    return sql.SQL(", ").join(
        sql.SQL("{}::{}").format(name, sql.SQL(columns[column])) if as_text else name  # type: ignore[arg-type, unused-ignore]
        for column, name, as_text in _named(columns, "")
    )


def compared(columns: Mapping[str, str], *, of: str) -> sql.Composed:
    """A list of expressions, one for every column, that can be compared and hashed."""
    return sql.SQL(", ").join(
        sql.SQL("{}::text").format(name) if as_text else name for _, name, as_text in _named(columns, of)
    )


def _named(columns: Mapping[str, str], of: str) -> list[tuple[str, sql.Identifier, bool]]:
    return [
        (column, sql.Identifier(of, column) if of else sql.Identifier(column), parse(kind).name in _AS_TEXT)
        for column, kind in columns.items()
    ]


def checksum(columns: Mapping[str, str], *, of: str = "s") -> sql.Composed:
    """An SQL aggregate over these columns of an alias. Sums of parts add up to the sum of the whole."""
    return sql.SQL("coalesce(sum({}), 0)").format(row_hash(columns, of=of))


def row_hash(columns: Mapping[str, str], *, of: str) -> sql.Composed:
    """An SQL expression, a bigint: rows that are equal have the same."""
    return sql.SQL("hash_record_extended(ROW({}), 0)").format(compared(columns, of=of))


def whole(session: Session, relation: sql.Identifier, columns: Mapping[str, str]) -> tuple[int, int]:
    """How many rows a relation has, and the checksum of these columns."""
    row = session.execute(sql.SQL("SELECT count(*), {} FROM {} AS s").format(checksum(columns), relation)).fetchone()
    return (row[0], int(row[1])) if row else (0, 0)


def refuse_incomparable(session: Session, relation: sql.Identifier, columns: Mapping[str, str], *, table: str) -> None:
    """Raise MisconfiguredError that names the columns whose types have no hash, and that no text stands for."""
    if _can_be_hashed(session, relation, columns):
        return
    bad = [c for c, kind in columns.items() if not _can_be_hashed(session, relation, {c: kind})]
    raise MisconfiguredError(
        "\n".join(f"table {table!r}: column {c!r}: values of {columns[c]} cannot be compared" for c in bad),
        hint="declare it as text or jsonb" if len(bad) == 1 else "declare them as text or jsonb",
    )


def _can_be_hashed(session: Session, relation: sql.Identifier, columns: Mapping[str, str]) -> bool:
    """The server looks for the functions when it sees a row, be it of nulls."""
    asking = sql.SQL("SELECT {} FROM (SELECT) AS one LEFT JOIN {} AS s ON false")
    try:
        with session.transaction():
            session.execute(asking.format(row_hash(columns, of="s"), relation))
    except psycopg.errors.UndefinedFunction:
        return False
    return True
