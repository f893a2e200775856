"""Staging: a source's text into an unlogged table of the declared types, and what can be wrong with it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass

import psycopg
from psycopg import sql

from etl_jobs.errors import DataRejectedError, MisconfiguredError
from etl_jobs.names import clip, collisions
from etl_jobs.sources import Source
from etl_jobs.tables import Table
from etl_jobs.warehouse import Session, server_version

_END_MARK = re.compile(rb"[\r\n]\\\.[\r\n]")
_SKIPPED = re.compile(r'at line (\d+) for column "(.+?)": (?:"(.*)"|null input)', re.S)
_CONTEXT = re.compile(r'COPY .+?, line (\d+)(?:, column (.+?): (?:"(.*)"|null input))?', re.S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A record that could not be converted: the line it ends on, its first bad column and the value there."""

    line: int
    column: str
    value: str | None


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


def check_header(source: Source, table: Table, *, pinned: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """The source's columns in its order, cut to the length of a name.

    Raises DataRejectedError where they are not the `pinned` ones, or new ones although the catalogue does not allow it.
    Without `pinned` that is what the catalogue declares; where it declares nothing, everything is right.
    """
    names = source.columns()
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


def copy_into(
    session: Session,
    target: sql.Identifier,
    source: Source,
    columns: tuple[str, ...],
    *,
    part: sql.Composable | None = None,
    freeze: bool = False,
    skipped: list[Skipped] | None = None,
    limit: int = 0,
    secret: Container[str] = (),
) -> int:
    """Send the source's text as it is, keeping the rows of `part`; returns how many bytes were sent.

    `freeze` shows the rows to every snapshot, however old; the table must be made in the same transaction.

    Raises DataRejectedError with line, column and value (unless it is secret) where a record does not fit. With a list
    for `skipped` such records are added to it instead, and left out; more than `limit` of them are an error again.
    """
    statement = copy_statement(
        session, target, source, columns, part=part, freeze=freeze, skips=skipped is not None, limit=limit
    )
    sent = 0
    try:
        with _noting(session, skipped), session.cursor().copy(statement) as copy:
            for block in source.blocks() if server_version(session) >= 18 else without_end_mark(source):
                copy.write(block)
                sent += len(block)
    except psycopg.DataError as error:
        raise bad_value(source, error, secret=secret) from error
    return sent


def copy_statement(
    session: Session,
    target: sql.Identifier,
    source: Source,
    columns: tuple[str, ...],
    *,
    part: sql.Composable | None,
    freeze: bool,
    skips: bool,
    limit: int,
) -> sql.Composed:
    """The COPY that fits the source's text; older servers cannot skip what they cannot convert."""
    dialect = (source.delimiter, source.quote, source.escape, source.null, source.encoding)
    options = [
        sql.SQL("FREEZE, " if freeze else ""),
        sql.SQL("ON_ERROR ignore, LOG_VERBOSITY verbose, " if skips and server_version(session) >= 17 else ""),
        sql.SQL("REJECT_LIMIT {}, ").format(limit) if limit and server_version(session) >= 18 else sql.SQL(""),
    ]
    statement = sql.SQL(
        "COPY {} ({}) FROM STDIN (FORMAT csv, {}HEADER true, DELIMITER {}, QUOTE {}, ESCAPE {}, NULL {}, ENCODING {})"
    ).format(target, identifiers(columns), sql.Composed(options), *map(sql.Literal, dialect))
    if part is not None:
        statement += sql.SQL(" WHERE ") + part
    return statement


@contextlib.contextmanager
def _noting(session: Session, skipped: list[Skipped] | None) -> Iterator[None]:
    """Keep what COPY says about the records it leaves out."""
    if skipped is None:
        yield
        return

    def note(diagnostic: psycopg.errors.Diagnostic) -> None:
        if said := _SKIPPED.search(diagnostic.message_primary or ""):
            line, column, value = said.groups()
            skipped.append(Skipped(line=int(line), column=column, value=value))

    session.execute("SET client_min_messages = 'notice'")
    session.add_notice_handler(note)
    try:
        yield
    finally:
        session.remove_notice_handler(note)


def without_end_mark(source: Source) -> Iterator[bytes]:
    """The source's blocks; raises at a line `\\.`, which before PostgreSQL 18 silently ends the data."""
    before, line = b"", 1
    for block in source.blocks():
        text = before + bytes(block)
        if mark := _END_MARK.search(text):
            line += text.count(b"\n", len(before), mark.end() - 1)
            raise DataRejectedError(
                f"{source.name} line {line}: a line with nothing but \\. ends the data for this server",
                hint='write it as "\\." in quotes, or use PostgreSQL 18',
            )
        line += block.count(b"\n")
        before = text[-3:]
        yield block


def bad_value(source: Source, error: psycopg.DataError, *, secret: Container[str] = ()) -> DataRejectedError:
    """What COPY said about a record, in terms of the file: PostgreSQL counts the line a record ends on."""
    said = error.diag.message_primary or str(error)
    context = _CONTEXT.search(error.diag.context or "")
    if context is None:
        return DataRejectedError(f"{source.name}: {said}")
    line, column, value = context.groups()
    where = source.place(line=int(line))
    if column is None:
        return DataRejectedError(f"{where}: {said}")
    if said.startswith("skipped more than REJECT_LIMIT"):
        said = "and too many before it do not fit their types: more than the limit of rejects"
    if column in secret:
        return DataRejectedError(f"{where}, column {column!r}: the value does not fit the column's type")
    shown = "null" if value is None else repr(value)
    return DataRejectedError(f"{where}, column {column!r}, value {shown}: {said}")
