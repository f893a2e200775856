"""Staging: an unlogged table of the declared types, and whether a source's header fits them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping

import psycopg
from psycopg import sql

from etl_jobs.errors import DataRejectedError, MisconfiguredError
from etl_jobs.names import clip, collisions, unfit
from etl_jobs.owned import STAGING
from etl_jobs.sources import Source
from etl_jobs.tables import Table
from etl_jobs.warehouse import Session


def identifiers(names: Iterable[str], *, of: str = "") -> sql.Composed:
    """The names quoted and separated by commas, each as a column `of` an alias where one is given."""
    return sql.SQL(", ").join(sql.Identifier(of, name) if of else sql.Identifier(name) for name in names)


def definitions(columns: Mapping[str, str]) -> sql.Composed:
    """Column names with their types. The catalogue's reader has checked the types' form."""
    return sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind)) for name, kind in columns.items()
    )


def create_staging(
    session: Session, staging: sql.Identifier, table: Table, *, first: Iterable[str] = (), logged: bool = False
) -> None:
    """An empty staging table of the declared types, without constraints; a leftover of a killed attempt goes.

    The columns are in the catalogue's order, but those named `first`. A `logged` one may become the target.
    """
    names = dict.fromkeys((*(c for c in first if c in table.columns), *table.columns))
    session.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(staging))
    create = sql.SQL("CREATE {} TABLE {} ({}) WITH (autovacuum_enabled = false)")
    kind = sql.SQL("" if logged else "UNLOGGED")
    mark = sql.SQL("COMMENT ON TABLE {} IS {}").format(staging, sql.Literal(STAGING))
    try:
        with session.transaction():
            session.execute(create.format(kind, staging, definitions({c: table.columns[c] for c in names})))
            session.execute(mark)
    except (psycopg.errors.UndefinedObject, psycopg.errors.SyntaxError, psycopg.errors.DataError) as error:
        raise MisconfiguredError(f"table {table.name!r}: {error.diag.message_primary}") from error


def check_header(source: Source, table: Table, *, pinned: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """The source's columns in its order, cut to the length of a name.

    Raises DataRejectedError where they are not the `pinned` ones, or new ones although the catalogue does not allow it.
    Without `pinned` that is what the catalogue declares; where it declares nothing, everything is right.
    """
    names = source.columns()
    if wrong := unfit(names):
        raise DataRejectedError(f"{source.name}: {wrong[0]}", hint=wrong[1])
    if same := collisions(names):
        raise DataRejectedError(f"{source.name} line 1: {'; '.join(same)}", hint="give one of them another name")
    header = tuple(map(clip, names))
    known = table.columns if pinned is None else pinned
    missing = [c for c in known if c not in header]
    extra = [c for c in header if known and c not in known and table.new_columns != "add"]
    if not missing and not extra:
        return header
    said = []
    if missing:
        said.append(f"no column {', '.join(map(repr, missing))}")
    if extra:
        said.append(f"unexpected column {', '.join(map(repr, extra))}")
    raise DataRejectedError(
        f"{source.name} line 1: {' and '.join(said)}",
        hint=f"{'the catalogue declares' if table.columns else 'the table has'} {', '.join(known)}"
        + ('; new_columns = "add" would add what is new' if extra else ""),
    )


@contextlib.contextmanager
def refusing_long_rows(table: Table) -> Iterator[None]:
    """What the server says of a row that is too long for it is a DataRejectedError."""
    try:
        yield
    except psycopg.errors.ProgramLimitExceeded as error:
        raise DataRejectedError(
            f"table {table.name!r}: {error.diag.message_primary}",
            hint="a row's values have to fit on a page of 8 kB (long texts go elsewhere, up to 1 GB):"
            " take fewer columns, or shorter types",
        ) from error
