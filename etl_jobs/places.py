"""Where the rows of staging stand in the source, when not all of its records got there."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from psycopg import sql

from etl_jobs.sources import Source
from etl_jobs.sources.encodings import python_name
from etl_jobs.staging import copy_into, definitions
from etl_jobs.tables import Table
from etl_jobs.warehouse import Session

_LONGEST_FIELD = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Places:
    """Says where a row of staging stands in the source, given its number there: the first is 1.

    `moved` are the numbers of rows that were taken out of staging. `kept` finds the number of a row among the source's
    records, where only a part of them was copied; it is asked only when something is to be shown. `unread` are the
    numbers of the records that could not be read.
    """

    source: Source
    kept: Callable[[int], int | None] | None = None
    unread: tuple[int, ...] = ()
    moved: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        return self.source.name

    def of(self, row: int) -> str:
        """The place in words, as exact as the source knows it."""
        copied = _past(row, self.moved)
        record = self.kept(copied) if self.kept else copied
        if record is None:
            return f"row {copied} of those copied"
        return self.source.place(record=_past(record, self.unread))

    def without(self, rows: Iterable[int]) -> Places:
        """The same when these rows, too, have been taken out."""
        return replace(self, moved=(*self.moved, *(_past(row, self.moved) for row in rows)))


def _past(number: int, missing: Iterable[int]) -> int:
    """The number of the n-th that is there, where the missing ones count as well."""
    for gone in sorted(missing):
        number += gone <= number
    return number


def kept_records(
    session: Session, source: Source, table: Table, header: tuple[str, ...], part: sql.Composable | None
) -> Callable[[int], int | None] | None:
    """Finds records by copying the source again, all of it this time; None where all of it was copied before."""
    if part is None:
        return None
    again = sql.Identifier("pg_temp", "all records")
    copied = False

    def kept(row: int) -> int | None:
        nonlocal copied
        if not copied:
            session.execute(sql.SQL("CREATE TEMPORARY TABLE {} ({})").format(again, definitions(table.columns)))
            copy_into(session, again, source, header, skipped=[] if table.reject_limit else None)
            copied = True
        number = sql.Identifier("record no")
        statement = sql.SQL(
            "SELECT {} FROM (SELECT row_number() OVER () AS {}, * FROM {}) AS r WHERE {} ORDER BY 1 OFFSET {} LIMIT 1"
        )
        found = session.execute(statement.format(number, number, again, part, sql.Literal(row - 1))).fetchone()
        return int(found[0]) if found else None

    return kept


def records_at(source: Source, lines: Iterable[int]) -> dict[int, tuple[int, list[str]]]:
    """For every line that a record ends on: the record's number and its fields. Reads the source again."""
    wanted, found = set(lines), {}
    csv.field_size_limit(_LONGEST_FIELD)
    escape = source.escape if source.escape != source.quote else None
    reader = csv.reader(
        _lines(source), delimiter=source.delimiter, quotechar=source.quote, escapechar=escape, doublequote=not escape
    )
    for number, fields in enumerate(reader):
        if reader.line_num in wanted:
            found[reader.line_num] = (number, fields)
            if len(found) == len(wanted):
                break
    return found


def _lines(source: Source) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(python_name(source.encoding))("replace")
    rest = ""
    for block in source.blocks():
        *whole, rest = (rest + decoder.decode(bytes(block))).split("\n")
        yield from (f"{line}\n" for line in whole)
    if rest:
        yield rest
