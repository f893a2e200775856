"""Where the rows of staging stand in the source, when not all of its records got there."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from psycopg import sql

from etl_jobs.copying import Copy, copy_rest
from etl_jobs.names import own
from etl_jobs.screening import source_records
from etl_jobs.sources import Source
from etl_jobs.sources.framing import lines_of, mark_of
from etl_jobs.staging import definitions
from etl_jobs.tables import Table

RECORD_NO = sql.Identifier(own("record no"))  # of rows in the order of the source: their number, from 1
_KEPT = sql.SQL(
    "SELECT nth, {n} FROM (SELECT {n}, row_number() OVER (ORDER BY {n}) AS nth FROM"
    " (SELECT row_number() OVER () AS {n}, * FROM {again}) AS r WHERE {part}) AS k WHERE nth = ANY({rows}::bigint[])"
)


@dataclass(frozen=True, slots=True)
class Places:
    """Says where a row of staging stands in the source, given its number there: the first is 1.

    `moved` are the numbers of rows that were taken out of staging, in order. `kept` finds the numbers of rows among the
    records that could be read, where only a part of them was copied; it is asked only when something is to be shown.
    `unread` are the numbers of the records that could not be read, in order.
    """

    source: Source
    kept: Callable[[Sequence[int]], Mapping[int, int]] | None = None
    unread: tuple[int, ...] = ()
    moved: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        return self.source.name

    def of(self, row: int) -> str:
        """The place in words, as exact as the source knows it."""
        return self.of_all([row])[0]

    def of_all(self, rows: Iterable[int]) -> list[str]:
        """The places of many rows, which are best in order: then the source is read once."""
        copied = [self.copied(row) for row in rows]
        records = self.kept(copied) if self.kept else dict(zip(copied, copied, strict=True))
        return [self._place(records[row]) if row in records else f"row {row} of those copied" for row in copied]

    def _place(self, record: int) -> str:
        return self.source.place(record=_past(record, self.unread))

    def copied(self, row: int) -> int:
        """The row's number among those that were copied."""
        return _past(row, self.moved)

    def without(self, rows: Iterable[int]) -> Places:
        """The same when these rows, too, have been taken out."""
        return replace(self, moved=tuple(sorted((*self.moved, *(_past(row, self.moved) for row in rows)))))


def _past(number: int, missing: Sequence[int]) -> int:
    """The number of the n-th that is there, where the `missing` ones, in order, count as well."""
    # Below a missing one `missing[index] - index - 1` are there: it counts where these are fewer than `number`.
    return number + bisect_right(range(len(missing)), number, key=lambda index: missing[index] - index)


def kept_records(
    copy: Copy, table: Table, *, unread: tuple[int, ...]
) -> Callable[[Sequence[int]], Mapping[int, int]] | None:
    """Finds records by copying the source again, all of it but what is `unread`; None where there was no `part`."""
    name = sql.Identifier("pg_temp", own(f"all records {table.id}"))
    part, again = copy.part, replace(copy, target=name, part=None, freeze=False)
    if part is None:
        return None
    copied = False

    def kept(rows: Sequence[int]) -> dict[int, int]:
        nonlocal copied
        if not rows:
            return {}
        if not copied:
            columns = definitions(table.columns)
            copy.session.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(name))
            copy.session.execute(sql.SQL("CREATE TEMPORARY TABLE {} ({})").format(name, columns))
            copy_rest(again, dict.fromkeys(unread, b""))
            copied = True
        statement = _KEPT.format(n=RECORD_NO, again=name, part=part, rows=sql.Literal(list(rows)))
        return dict(copy.session.execute(statement).fetchall())

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
