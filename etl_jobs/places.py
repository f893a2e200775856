"""Where the rows of staging stand in the source, when not all of its records got there."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from psycopg import sql

from etl_jobs.copying import Copy, copy_text
from etl_jobs.names import own
from etl_jobs.screening import source_records
from etl_jobs.sources import Source
from etl_jobs.sources.framing import lines_of, mark_of
from etl_jobs.staging import definitions
from etl_jobs.tables import Table
from etl_jobs.warehouse import Session

RECORD_NO = sql.Identifier(own("record no"))  # of rows in the order of the source: their number, from 1


@dataclass(frozen=True, slots=True)
class Places:
    """Says where a row of staging stands in the source, given its number there: the first is 1.

    `moved` are the numbers of rows that were taken out of staging, in order. `kept` finds the number of a row among the
    source's records, where only a part of them was copied; it is asked only when something is to be shown. `unread` are
    the numbers of the records that could not be read, in order.
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
        return replace(self, moved=tuple(sorted((*self.moved, *(_past(row, self.moved) for row in rows)))))


def _past(number: int, missing: Sequence[int]) -> int:
    """The number of the n-th that is there, where the `missing` ones, in order, count as well."""
    # Below a missing one `missing[index] - index - 1` are there: it counts where these are fewer than `number`.
    return number + bisect_right(range(len(missing)), number, key=lambda index: missing[index] - index)


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
            secret, limit = table.secret, table.reject_limit
            copy_text(Copy(session=session, target=again, source=source, columns=header, secret=secret, limit=limit))
            copied = True
        statement = sql.SQL(
            "SELECT {} FROM (SELECT row_number() OVER () AS {}, * FROM {}) AS r WHERE {} ORDER BY 1 OFFSET {} LIMIT 1"
        )
        found = session.execute(statement.format(RECORD_NO, RECORD_NO, again, part, sql.Literal(row - 1))).fetchone()
        return int(found[0]) if found else None

    return kept


def records_at(source: Source, lines: Iterable[int]) -> dict[int, tuple[int, bytes]]:
    """For every line that a record ends on, as the server counts: the record's number and text. Reads all again."""
    wanted, found = set(lines), {}
    line, mark = 0, b"\r"
    for number, text in enumerate(source_records(source)):
        line += lines_of(text, mark)
        if number == 0:
            mark = mark_of(text)
        if line in wanted:
            found[line] = (number, text)
            if len(found) == len(wanted):
                break
    return found
