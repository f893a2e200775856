"""Staging: a source's text into an unlogged table of the declared types, and what can be wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

import psycopg
from psycopg import sql

from etl_jobs.errors import DataRejectedError, MisconfiguredError
from etl_jobs.sources import Source
from etl_jobs.tables import Table
from etl_jobs.warehouse import Session, server_version

_END_MARK = re.compile(rb"[\r\n]\\\.[\r\n]")
_CONTEXT = re.compile(r'COPY .+?, line (\d+)(?:, column (.+?): (?:"(.*)"|null input))?', re.S)


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
    try:
        session.execute(create.format(kind, staging, definitions({c: table.columns[c] for c in names})))
    except (psycopg.errors.UndefinedObject, psycopg.errors.SyntaxError, psycopg.errors.DataError) as error:
        raise MisconfiguredError(f"table {table.name!r}: {error.diag.message_primary}") from error


def check_header(source: Source, table: Table) -> tuple[str, ...]:
    """The source's columns in its order; raises DataRejectedError where they are not the declared ones."""
    header = source.columns()
    missing = [c for c in table.columns if c not in header]
    extra = [c for c in header if c not in table.columns]
    if not missing and not extra:
        return header
    said = []
    if missing:
        said.append(f"no column {', '.join(map(repr, missing))}")
    if extra:
        said.append(f"unexpected column {', '.join(map(repr, extra))}")
    raise DataRejectedError(
        f"{source.name} line 1: {' and '.join(said)}", hint=f"the catalogue declares {', '.join(table.columns)}"
    )


def copy_into(
    session: Session,
    target: sql.Identifier,
    source: Source,
    columns: tuple[str, ...],
    *,
    part: sql.Composable | None = None,
    freeze: bool = False,
) -> int:
    """Send the source's text as it is, keeping the rows of `part`; returns how many bytes were sent.

    `freeze` shows the rows to every snapshot, however old; the table must be made in the same transaction.

    Raises DataRejectedError with line, column and value where a record does not fit.
    """
    dialect = (source.delimiter, source.quote, source.escape, source.null, source.encoding)
    statement = sql.SQL(
        "COPY {} ({}) FROM STDIN (FORMAT csv, {}HEADER true, DELIMITER {}, QUOTE {}, ESCAPE {}, NULL {}, ENCODING {})"
    ).format(target, identifiers(columns), sql.SQL("FREEZE, " if freeze else ""), *map(sql.Literal, dialect))
    if part is not None:
        statement += sql.SQL(" WHERE ") + part
    sent = 0
    try:
        with session.cursor().copy(statement) as copy:
            for block in source.blocks() if server_version(session) >= 18 else without_end_mark(source):
                copy.write(block)
                sent += len(block)
    except psycopg.DataError as error:
        raise bad_value(source, error) from error
    return sent


def without_end_mark(source: Source) -> Iterator[bytes]:
    """The source's blocks; raises at a line `\\.`, which before PostgreSQL 18 silently ends the data."""
    before, line = b"", 1
    for block in source.blocks():
        text = before + block
        if mark := _END_MARK.search(text):
            line += text.count(b"\n", len(before), mark.end() - 1)
            raise DataRejectedError(
                f"{source.name} line {line}: a line with nothing but \\. ends the data for this server",
                hint='write it as "\\." in quotes, or use PostgreSQL 18',
            )
        line += block.count(b"\n")
        before = text[-3:]
        yield block


def bad_value(source: Source, error: psycopg.DataError) -> DataRejectedError:
    """What COPY said about a record, in terms of the file: PostgreSQL counts the line a record ends on."""
    said = error.diag.message_primary or str(error)
    context = _CONTEXT.search(error.diag.context or "")
    if context is None:
        return DataRejectedError(f"{source.name}: {said}")
    line, column, value = context.groups()
    where = source.place(line=int(line))
    if column is None:
        return DataRejectedError(f"{where}: {said}")
    shown = "null" if value is None else repr(value)
    return DataRejectedError(f"{where}, column {column!r}, value {shown}: {said}")
