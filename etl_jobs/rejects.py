"""Rows that are not loaded, with the reason, in a table beside the target: `<table>__rejects`."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from psycopg import sql

from etl_jobs.checks import HIDDEN
from etl_jobs.complaints import Skipped
from etl_jobs.errors import DataRejectedError
from etl_jobs.owned import REJECTS, is_rejects
from etl_jobs.places import records_at
from etl_jobs.records import Attempt
from etl_jobs.sources import Source
from etl_jobs.sources.encodings import python_name
from etl_jobs.sources.framing import LONGEST
from etl_jobs.tables import Table
from etl_jobs.warehouse import Session

_COLUMNS = ", ".join(" ".join((column, *said)) for column, said in REJECTS.items())
_STATEMENT = 4 * 1024 * 1024  # about how many characters of rejected records go with one statement
_KEEP = sql.SQL("""
    INSERT INTO {name} (run, job, attempt, place, reason, record)
    SELECT {run}::bigint, {job}, {attempt}, place, reason, record
    FROM (
        SELECT DISTINCT ON (place, reason, record) *
        FROM unnest({places}::text[], {reasons}::text[], {records}::jsonb[])
            WITH ORDINALITY AS r (place, reason, record, nth)
        ORDER BY place, reason, record, nth
    ) AS r
    WHERE NOT EXISTS (SELECT FROM {name} AS k WHERE (k.place, k.reason, k.record) = (r.place, r.reason, r.record))
    ORDER BY nth
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """One record of the source that is not loaded; the `record` is JSON."""

    place: str
    reason: str
    record: str


def unreadable(
    source: Source, header: Sequence[str], skipped: Sequence[Skipped], *, table: Table
) -> tuple[list[Rejected], tuple[int, ...]]:
    """The records that COPY could not read, and their numbers among the source's records, in order."""
    if not skipped:
        return [], ()
    if len(skipped) > table.reject_limit:
        refuse_too_many(table, [_shown(source, one, table) for one in skipped[:3]])
    known = records_at(source, {s.line for s in skipped if s.number is None})
    rejected, numbers = [], []
    for one in skipped:
        number, text = known.get(one.line, (None, b"")) if one.number is None else (one.number, one.text)
        place = source.place(line=one.line) if number is None else source.place(record=number)
        record = _record_of(text, source, header, table)
        rejected.append(Rejected(place=place, reason=_reason(one, table), record=json.dumps(record)))
        numbers += [] if number is None else [number]
    return rejected, tuple(sorted(numbers))


def _shown(source: Source, one: Skipped, table: Table) -> str:
    place = source.place(line=one.line)
    if one.column is None:
        return f"{place}: {one.said}"
    value = "null" if one.value is None else repr(one.value)
    return f"{place}, column {one.column!r}, value {HIDDEN if one.column in table.secret else value}"


def _reason(one: Skipped, table: Table) -> str:
    if one.column is None:
        return one.said
    value = HIDDEN if one.column in table.secret else repr(one.value)
    return f"column {one.column!r}: {value} is no {table.columns.get(one.column, 'value')}"


def _record_of(text: bytes, source: Source, header: Sequence[str], table: Table) -> dict[str, str | None]:
    """The record's fields by their columns; where it has others or cannot be decoded, all of it as one text."""
    with contextlib.suppress(csv.Error, UnicodeError):
        decoded = text.decode(python_name(source.encoding))
        rows = list(csv.reader(io.StringIO(decoded, newline=""), **_dialect(source)))
        if len(rows) == 1 and len(rows[0]) == len(header) and "\0" not in decoded:
            return _masked(dict(zip(header, rows[0], strict=True)), table)
    shown = text.rstrip(b"\r\n").decode(python_name(source.encoding), "backslashreplace").replace("\0", "\\x00")
    return {"record": HIDDEN if table.secret else shown}


def _dialect(source: Source) -> dict[str, Any]:
    csv.field_size_limit(LONGEST)
    escape = source.escape if source.escape != source.quote else None
    return {
        "delimiter": source.delimiter,
        "quotechar": source.quote,
        "escapechar": escape,
        "doublequote": not escape,
        "strict": True,
    }


def keep_rejected(
    session: Session,
    name: sql.Identifier,
    rejected: Sequence[Rejected],
    *,
    attempt: Attempt,
    anew: bool,
    alone: bool = False,
) -> None:
    """Write them down in the transaction of the load, `anew` instead of those of earlier loads. Each is there once.

    `alone`: instead of those of earlier loads by the same job only.
    """
    if not rejected and not is_rejects(session, name):
        return
    session.execute(sql.SQL("CREATE TABLE IF NOT EXISTS {} ({})").format(name, sql.SQL(_COLUMNS)))
    if anew:
        those = sql.SQL("job = {}").format(sql.Literal(attempt.job)) if alone else sql.SQL("true")
        session.execute(sql.SQL("DELETE FROM {} WHERE {}").format(name, those))
    who = {"run": attempt.run, "job": attempt.job, "attempt": attempt.number}
    for portion in _portions(rejected):
        places, reasons, records = (sql.Literal(list(values)) for values in zip(*portion, strict=True))
        of_rows = {"places": places, "reasons": reasons, "records": records}
        session.execute(_KEEP.format(name=name, **of_rows, **{k: sql.Literal(v) for k, v in who.items()}))


def _portions(rejected: Iterable[Rejected]) -> Iterator[list[tuple[str, str, str]]]:
    """Places, reasons and records as JSON, as many together as go with one statement."""
    portion: list[tuple[str, str, str]] = []
    size = 0
    for one in rejected:
        place = one.place.encode(errors="backslashreplace").decode()  # a file's name may be no text
        portion.append((place, one.reason, one.record))
        size += sum(map(len, portion[-1]))
        if size >= _STATEMENT:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion


def refuse_too_many(table: Table, shown: Sequence[str]) -> NoReturn:
    """Raise DataRejectedError; `shown` are the first of those that are rejected."""
    raise DataRejectedError(
        f"table {table.name!r}: more than {table.reject_limit} rows are rejected: {'; '.join(shown)}",
        hint="the table is as it was; rejects = { limit = … } says how many may be",
    )


def _masked(record: dict[str, str | None], table: Table) -> dict[str, str | None]:
    return {c: HIDDEN if c in table.secret and v is not None else v for c, v in record.items()}
