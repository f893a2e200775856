"""Finding the records that COPY cannot read: the server is asked about them in batches, and keeps none.

A COPY ends with the first record it cannot read. So nothing is looked for until one has failed. Then the text is cut
into records and sent again, in batches, by a COPY whose condition is never true: the server judges every record and
keeps no row. Where it stops, the record it names is asked about alone, and the next batch begins behind that one.
Batches are halved when one fails and doubled when one passes. Only the bad records are remembered.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Container, Iterator, Mapping, Sequence
from itertools import accumulate

import psycopg
from psycopg import sql

from etl_jobs.complaints import Complaint, Skipped, complaint_of
from etl_jobs.errors import DataRejectedError, UnavailableError
from etl_jobs.sources import Source
from etl_jobs.sources.framing import (
    TooLongError,
    in_batches,
    is_open,
    line_end,
    lines_of,
    mark_of,
    quoted_mark,
    records,
)
from etl_jobs.warehouse import Session

_BATCH = 1024 * 1024
_BLOCK = 256 * 1024
_MOST = 1 << 20
_KEPT = 1024 * 1024  # bytes of a bad record that are kept to be shown


def source_records(source: Source) -> Iterator[bytes]:
    """The source's text, record by record, the header first."""
    try:
        yield from records(source.blocks(), quote=source.quote.encode(), escape=source.escape.encode())
    except TooLongError as error:
        raise TooLongError(
            f"{source.name}: {error.message}, where records that cannot be read are looked for", hint=error.hint
        ) from error


def without(source: Source, gone: Mapping[int, bytes]) -> Iterator[bytes]:
    """The source's text less the records with these numbers.

    Raises UnavailableError where one of them is no longer what it was, if there is a digest of that.
    """
    number = 0
    for batch in in_batches(source_records(source), size=_BLOCK):
        kept = []
        for text in batch:
            if number not in gone:
                kept.append(text)
            elif gone[number] not in (b"", _digest(text)):
                raise UnavailableError(f"{source.name} was changed while it was read", hint="try again")
            number += 1
        yield b"".join(kept)


def screen(
    session: Session,
    statement: sql.Composed,
    source: Source,
    *,
    limit: int,
    end_mark: bool,
    secret: Container[str] = (),
) -> list[Skipped]:
    """The records that the statement, a COPY that keeps nothing, cannot read.

    With `end_mark` a line `\\.` would end the data. Raises DataRejectedError where there are more than `limit`, which
    0 does not limit. An open quote counts as many as it has lines: nobody knows how many records it has swallowed.
    """
    found: list[Skipped] = []
    spent = 0
    for one, lost in _bad_records(_Judge(session, statement, end_mark=end_mark, secret=secret), source):
        spent += lost
        if limit and spent > limit:
            raise DataRejectedError(
                f"{source.place(record=one.number)}{_told(one, secret)};"
                f" with it more than {limit} lines cannot be read, the limit of rejects",
                hint="the table is as it was; rejects = { limit = … } says how many may be",
            )
        found.append(one)
    return found


def _told(one: Skipped, secret: Container[str]) -> str:
    if one.column is None:
        return f": {one.said}"
    if one.column in secret:
        return f", column {one.column!r}: {one.said}"
    return f", column {one.column!r}, value {one.value!r}: {one.said}"


def _bad_records(judge: _Judge, source: Source) -> Iterator[tuple[Skipped, int]]:
    """Every record that cannot be read, and how many lines are lost with it."""
    quote, escape = source.quote.encode(), source.escape.encode()
    texts = source_records(source)
    header = next(texts, b"")
    mark = mark_of(header)
    judge.head, judge.quote = b"x" + line_end(header), quote  # the end of the first line is that of all
    number, line = 1, lines_of(header, b"\r")
    for batch in in_batches(texts, size=_BATCH):
        ends = list(accumulate((lines_of(text, mark) for text in batch), initial=line))
        for at, complaint in judge.bad_of(batch, mark):
            text = batch[at]
            opened = complaint.column is None and is_open(text, quote=quote, escape=escape)
            yield _skipped(text, complaint, number=number + at, line=ends[at + 1]), text.count(b"\n") if opened else 1
        number, line = number + len(batch), ends[-1]


def _skipped(text: bytes, complaint: Complaint, *, number: int, line: int) -> Skipped:
    return Skipped(
        line=line,
        column=complaint.column,
        value=complaint.value,
        said=complaint.said,
        number=number,
        text=text[:_KEPT],
        digest=_digest(text),
    )


class _Judge:
    """Asks the server about records. `head` is a header line with the line end of the source.

    With `end_mark` a record `\\.` ends the data for it, unless it is in quotes.
    """

    def __init__(self, session: Session, statement: sql.Composed, *, end_mark: bool, secret: Container[str]) -> None:
        self._session, self._statement, self._end_mark, self._secret = session, statement, end_mark, secret
        self._size = _MOST  # how many records are asked about at once
        self.head, self.quote = b"", b'"'

    def bad_of(self, batch: Sequence[bytes], mark: bytes) -> Iterator[tuple[int, Complaint]]:
        """The numbers of the bad records in the batch, with what the server says."""
        start = 0
        while start < len(batch):
            part = batch[start : start + self._size]
            complaint = self._complaint(part)
            if complaint is None:
                start += len(part)
                self._size = min(self._size * 2, _MOST)
                continue
            at = _named(complaint, part, mark)
            if own := complaint if len(part) == 1 else self._complaint(part[at : at + 1]):
                yield start + at, own
                start += at + 1
            self._size = max(1, len(part) // 2)

    def _complaint(self, texts: Sequence[bytes]) -> Complaint | None:
        sent = (quoted_mark(text, self.quote) for text in texts) if self._end_mark else texts
        try:
            with self._session.transaction(), self._session.cursor().copy(self._statement) as copy:
                copy.write(b"".join((self.head, *sent)))
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            return complaint_of(error, self._secret)
        return None


def _named(complaint: Complaint, texts: Sequence[bytes], mark: bytes) -> int:
    """Which of the records the server names, or may mean."""
    if complaint.line is None:
        return len(texts) // 2
    ends = list(accumulate((lines_of(text, mark) for text in texts), initial=1))
    return min(bisect_left(ends, complaint.line, lo=1) - 1, len(texts) - 1)


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()
