"""A source's text into a table by COPY, and what becomes of records that cannot be read."""

from __future__ import annotations

import contextlib
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import psycopg
from psycopg import sql

from etl_jobs.complaints import Skipped, UnclearError, complaint_of, noting
from etl_jobs.errors import DataRejectedError
from etl_jobs.listening import ListeningWriter
from etl_jobs.screening import screen, without
from etl_jobs.sources import Source
from etl_jobs.sources.framing import with_quoted_marks
from etl_jobs.staging import identifiers
from etl_jobs.warehouse import Session, server_version

_BAD_RECORD = (psycopg.DataError, psycopg.IntegrityError)  # the latter of domains


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """The `columns` of a source, in its order, and where they go; of its rows those of `part`, or all of them.

    `freeze` shows the rows to every snapshot, however old; the table must be made in the same transaction. Up to
    `limit` records that cannot be read are left out. What `secret` columns hold is in no message.
    """

    session: Session
    target: sql.Identifier
    source: Source
    columns: tuple[str, ...]
    secret: Container[str]
    part: sql.Composable | None = None
    freeze: bool = False
    limit: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """How many bytes were sent, and the records that were left out."""

    bytes: int
    skipped: tuple[Skipped, ...] = ()


def copy_text(copy: Copy) -> Copied:
    """Send the source's text as it is.

    Raises DataRejectedError with line, column and value where more records than may be left out cannot be read.
    The server itself leaves out values that do not fit their types, since PostgreSQL 17; the rest has to be looked for.
    """
    try:
        return _noted(copy)
    except UnclearError:
        pass
    except _BAD_RECORD as error:
        if not copy.limit or complaint_of(error).too_many:
            raise _bad_value(copy, error) from error
    return _screened(copy)


def _noted(copy: Copy) -> Copied:
    """The whole text at once; raises UnclearError where it is not clear which records the server has left out."""
    skipped: list[Skipped] = []
    limit, blocks = copy.limit, _understood(copy, copy.source.blocks())
    watched = noting(copy.session, skipped, copy.columns, limit=limit) if limit else contextlib.nullcontext()
    with emptied(copy), watched:
        sent = send(copy.session, text_statement(copy), blocks, listens=bool(limit))
    return Copied(bytes=sent, skipped=tuple(skipped))


def _screened(copy: Copy) -> Copied:
    """The text without its bad records, which are looked for first."""
    nothing = text_statement(replace(copy, part=_kept_by_none(copy.part), freeze=False, limit=0))
    end_mark = _knows_an_end_mark(copy.session)
    skipped = screen(copy.session, nothing, copy.source, limit=copy.limit, end_mark=end_mark, secret=copy.secret)
    gone = {one.number: one.digest for one in skipped if one.number is not None}
    return replace(copy_rest(copy, gone), skipped=tuple(skipped))


def copy_rest(copy: Copy, gone: Mapping[int, bytes]) -> Copied:
    """Send the text less the records with these numbers, of which the digests are compared where there are any."""
    blocks = without(copy.source, gone) if gone else copy.source.blocks()
    try:
        with emptied(copy):
            sent = send(copy.session, text_statement(replace(copy, limit=0)), _understood(copy, blocks))
    except _BAD_RECORD as error:
        raise _bad_value(copy, error) from error
    return Copied(bytes=sent)


def send(session: Session, statement: sql.Composed, blocks: Iterable[bytes], *, listens: bool = False) -> int:
    """Carry out a COPY FROM STDIN with these blocks; returns how many bytes they were.

    One of which the server may have much to say needs somebody who `listens`.
    """
    sent, cursor = 0, session.cursor()
    with cursor.copy(statement, writer=ListeningWriter(cursor) if listens else None) as copying:
        for block in blocks:
            copying.write(block)
            sent += len(block)
    return sent


@contextlib.contextmanager
def emptied(copy: Copy) -> Iterator[None]:
    """A transaction, or a part of one, that can be taken back, with the table emptied in it.

    That is what COPY FREEZE wants. And only then the server puts every row behind those before it, so that a row's
    number in the table is its number in the source; else a short one may go to where an earlier page has room.
    """
    with copy.session.transaction():
        copy.session.execute(sql.SQL("TRUNCATE {}").format(copy.target))
        yield


def text_statement(copy: Copy) -> sql.Composed:
    """The COPY that fits the source's text; older servers cannot skip what they cannot convert."""
    source, version = copy.source, server_version(copy.session)
    dialect = (source.delimiter, source.quote, source.escape, source.null, source.encoding)
    options: list[sql.Composable] = []
    if copy.limit and version >= 17:
        options.append(sql.SQL("ON_ERROR ignore, LOG_VERBOSITY verbose"))
    if copy.limit and version >= 18:
        options.append(sql.SQL("REJECT_LIMIT {}").format(copy.limit))
    reading = sql.SQL("HEADER true, DELIMITER {}, QUOTE {}, ESCAPE {}, NULL {}, ENCODING {}")
    return statement(copy, "csv", *options, reading.format(*map(sql.Literal, dialect)))


def statement(copy: Copy, form: str, *options: sql.Composable) -> sql.Composed:
    """The COPY in this format, with what it says of the table and of the rows that are kept."""
    known = [sql.SQL(f"FORMAT {form}"), *([sql.SQL("FREEZE")] if copy.freeze else []), *options]
    into = sql.SQL("COPY {} ({}) FROM STDIN ({})")
    whole = into.format(copy.target, identifiers(copy.columns), sql.SQL(", ").join(known))
    return whole if copy.part is None else whole + sql.SQL(" WHERE ") + copy.part


def _kept_by_none(part: sql.Composable | None) -> sql.Composable:
    """A condition that is never true, and never found to be so before `part` has been asked."""
    if part is None:
        return sql.SQL("false")
    return sql.SQL("({}) AND clock_timestamp() IS NULL").format(part)


def _understood(copy: Copy, blocks: Iterable[bytes]) -> Iterable[bytes]:
    """The source's blocks as this server reads them rightly."""
    if not _knows_an_end_mark(copy.session):
        return blocks
    return with_quoted_marks(blocks, quote=copy.source.quote.encode(), escape=copy.source.escape.encode())


def _knows_an_end_mark(session: Session) -> bool:
    """Whether a line `\\.` ends the data for this server."""
    return server_version(session) < 18


def _bad_value(copy: Copy, error: psycopg.Error) -> DataRejectedError:
    """What COPY said about a record, in terms of the file: PostgreSQL counts the line a record ends on."""
    found = complaint_of(error, copy.secret)
    if found.line is None:
        return DataRejectedError(f"{copy.source.name}: {found.said}")
    where, said = copy.source.place(line=found.line), found.said
    if found.column is None:
        return DataRejectedError(f"{where}: {said}")
    if found.too_many:
        said = "and too many before it do not fit their types: more than the limit of rejects"
    if found.hidden:
        return DataRejectedError(f"{where}, column {found.column!r}: {said}")
    shown = "null" if found.value is None else repr(found.value)
    return DataRejectedError(f"{where}, column {found.column!r}, value {shown}: {said}")
