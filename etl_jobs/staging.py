"""Staging: a source's text into an unlogged table of the declared types, and what can be wrong with it."""

from __future__ import annotations

import contextlib
from collections.abc import Container, Iterable, Iterator, Mapping
from functools import partial

import psycopg
from psycopg import sql

from etl_jobs.complaints import Skipped, UnclearError, complaint_of, noting
from etl_jobs.errors import DataRejectedError, MisconfiguredError
from etl_jobs.names import clip, collisions, unfit
from etl_jobs.owned import STAGING
from etl_jobs.screening import screen, without
from etl_jobs.sources import Source
from etl_jobs.sources.framing import with_quoted_marks
from etl_jobs.tables import Table
from etl_jobs.warehouse import Session, server_version

_BAD_RECORD = (psycopg.DataError, psycopg.IntegrityError)  # the latter of domains


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


def copy_into(
    session: Session,
    target: sql.Identifier,
    source: Source,
    columns: tuple[str, ...],
    *,
    secret: Container[str],
    part: sql.Composable | None = None,
    freeze: bool = False,
    skipped: list[Skipped] | None = None,
    limit: int = 0,
) -> int:
    """Send the source's text as it is, keeping the rows of `part`; returns how many bytes were sent.

    `freeze` shows the rows to every snapshot, however old; the table must be made in the same transaction.

    Raises DataRejectedError with line, column and value (unless it is secret) where a record cannot be read. With a
    list for `skipped` such records are put into it instead, and left out; more than `limit` of them are an error again.
    The server itself leaves out values that do not fit their types, since PostgreSQL 17; the rest has to be looked for.
    """
    copying = partial(copy_statement, session, target, source, columns)
    blocks = understood(session, source, source.blocks())
    try:
        watched = contextlib.nullcontext() if skipped is None else noting(session, skipped, columns)
        with emptied(session, target), watched:
            return send(session, copying(part=part, freeze=freeze, skips=skipped is not None, limit=limit), blocks)
    except UnclearError:
        if skipped is None:
            raise
    except _BAD_RECORD as error:
        if skipped is None or complaint_of(error).too_many:
            raise bad_value(source, error, secret=secret) from error
    looking = copying(part=_kept_by_none(part), freeze=False, skips=False, limit=0)
    skipped[:] = screen(session, looking, source, limit=limit, end_mark=server_version(session) < 18, secret=secret)
    try:
        with emptied(session, target):
            rest = understood(session, source, without(source, skipped))
            return send(session, copying(part=part, freeze=freeze, skips=False, limit=0), rest)
    except _BAD_RECORD as error:
        raise bad_value(source, error, secret=secret) from error


def send(session: Session, statement: sql.Composed, blocks: Iterable[bytes]) -> int:
    """Carry out a COPY FROM STDIN with these blocks; returns how many bytes they were."""
    sent = 0
    with session.cursor().copy(statement) as copy:
        for block in blocks:
            copy.write(block)
            sent += len(block)
    return sent


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


@contextlib.contextmanager
def emptied(session: Session, target: sql.Identifier) -> Iterator[None]:
    """A transaction, or a part of one, that can be taken back, with the table emptied in it.

    That is what COPY FREEZE wants. And only then the server puts every row behind those before it, so that a row's
    number in the table is its number in the source; else a short one may go to where an earlier page has room.
    """
    with session.transaction():
        session.execute(sql.SQL("TRUNCATE {}").format(target))
        yield


def _kept_by_none(part: sql.Composable | None) -> sql.Composable:
    """A condition that is never true, and never found to be so before `part` has been asked."""
    if part is None:
        return sql.SQL("false")
    return sql.SQL("({}) AND clock_timestamp() IS NULL").format(part)


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


def understood(session: Session, source: Source, blocks: Iterable[bytes]) -> Iterable[bytes]:
    """The source's blocks as this server reads them rightly."""
    if server_version(session) >= 18:
        return blocks
    return with_quoted_marks(blocks, quote=source.quote.encode(), escape=source.escape.encode())


def bad_value(source: Source, error: psycopg.Error, *, secret: Container[str] = ()) -> DataRejectedError:
    """What COPY said about a record, in terms of the file: PostgreSQL counts the line a record ends on."""
    found = complaint_of(error, secret)
    if found.line is None:
        return DataRejectedError(f"{source.name}: {found.said}")
    where, said = source.place(line=found.line), found.said
    if found.column is None:
        return DataRejectedError(f"{where}: {said}")
    if found.too_many:
        said = "and too many before it do not fit their types: more than the limit of rejects"
    if found.hidden:
        return DataRejectedError(f"{where}, column {found.column!r}: {said}")
    shown = "null" if found.value is None else repr(found.value)
    return DataRejectedError(f"{where}, column {found.column!r}, value {shown}: {said}")
