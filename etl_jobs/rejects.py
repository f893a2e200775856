"""Rows that are not loaded, with the reason, in a table beside the target: `<table>__rejects`."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from etl_jobs.checks import HIDDEN, Found, checked, count_problems
from etl_jobs.complaints import Skipped
from etl_jobs.errors import DataRejectedError
from etl_jobs.names import own
from etl_jobs.owned import REJECTS, is_rejects
from etl_jobs.places import RECORD_NO, Places, records_at
from etl_jobs.records import Attempt
from etl_jobs.rules import ROW_PLACE, Lot, Rule, rules_of
from etl_jobs.sources import Source
from etl_jobs.sources.encodings import python_name
from etl_jobs.sources.framing import LONGEST
from etl_jobs.tables import Table
from etl_jobs.warehouse import Session

_RECORD = sql.Identifier(own("whole row"))
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
    """One record of the source that is not loaded."""

    place: str
    reason: str
    record: dict[str, str | None]


def unreadable(
    source: Source, header: Sequence[str], skipped: Sequence[Skipped], *, table: Table
) -> tuple[list[Rejected], tuple[int, ...]]:
    """The records that COPY could not read, and their numbers among the source's records, in order."""
    if not skipped:
        return [], ()
    _refuse_too_many(table, len(skipped), [_shown(source, one) for one in skipped[:3]])
    known = records_at(source, {s.line for s in skipped if s.number is None})
    rejected, numbers = [], []
    for one in skipped:
        number, text = known.get(one.line, (None, b"")) if one.number is None else (one.number, one.text)
        place = source.place(line=one.line) if number is None else source.place(record=number)
        record = _record_of(text, source, header, table)
        rejected.append(Rejected(place=place, reason=_reason(one, table), record=record))
        numbers += [] if number is None else [number]
    return rejected, tuple(sorted(numbers))


def _shown(source: Source, one: Skipped) -> str:
    return source.place(line=one.line) + (f", column {one.column!r}" if one.column else f": {one.said}")


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


def sort_out(lot: Lot, *, places: Places, already: int) -> tuple[Found, list[Rejected], Places]:
    """Count what is wrong with the rows, and take those that fail a rule out of staging if the table rejects rows.

    Returns what is left there, the rejected rows, and where the rows that are left stand. Asks again for as long as
    there are any: a row taken out may have been another one's parent, or the one that it repeats. Those rejected
    `already` count towards the limit; raises DataRejectedError where there are more, and what `count_problems` raises.
    """
    rejected: list[Rejected] = []
    while True:
        found = count_problems(lot, places=places)
        rules = _failing(lot, found) if lot.table.reject_limit else []
        moved, places = _moved(lot, rules, places, already=already + len(rejected)) if rules else ([], places)
        if not moved:
            return found, rejected, places
        rejected += moved


def _failing(lot: Lot, found: Found) -> list[Rule]:
    """The rules that rows fail, as was `found`. A row repeats another one only if nothing else is wrong with that."""
    counted = zip(rules_of(lot), found.counts, strict=True)
    failing = [rule for rule, count in counted if count and rule.severity == "fail" and rule.of_rows]
    return [rule for rule in failing if rule.surplus is None] or failing[:1]


def _moved(lot: Lot, rules: Sequence[Rule], places: Places, *, already: int) -> tuple[list[Rejected], Places]:
    """Take the rows that fail one of the rules out of staging."""
    with lot.session.transaction():
        lot.session.execute("SET LOCAL synchronize_seqscans = off")
        rows = lot.session.execute(_finding(lot, rules)).fetchall()
        _refuse_too_many(lot.table, already + len(rows), [f"{places.of(n)}: {reason}" for _, n, reason, _ in rows[:3]])
        _take_out(lot, [place for place, *_ in rows])
    named = places.of_all(number for _, number, *_ in rows)
    rejected = [
        Rejected(place=place, reason=reason, record=_masked(record, lot.table))
        for place, (*_, reason, record) in zip(named, rows, strict=True)
    ]
    return rejected, places.without(number for _, number, *_ in rows)


def _finding(lot: Lot, rules: Sequence[Rule]) -> sql.Composed:
    """A query for the rows that fail a rule: where they lie, their numbers, why, the row; one more than is allowed."""
    reasons = sql.SQL(", ").join(
        sql.SQL("CASE WHEN {} THEN {} END").format(r.surplus or r.where, sql.Literal(r.reason)) for r in rules
    )
    numbered = sql.SQL("ctid AS {}, row_number() OVER () AS {}, to_jsonb(own.*) AS {}").format(
        ROW_PLACE, RECORD_NO, _RECORD
    )
    return sql.SQL(
        "SELECT * FROM (SELECT s.{}, s.{}, concat_ws('; ', {}) AS reason, s.{} FROM {} {}) AS judged"
        " WHERE reason <> '' ORDER BY 2 LIMIT {}"
    ).format(
        ROW_PLACE,
        RECORD_NO,
        reasons,
        _RECORD,
        checked(lot, numbered),
        sql.SQL(" ").join(r.join for r in rules if r.join is not None),
        sql.Literal(lot.table.reject_limit + 1),
    )


def _take_out(lot: Lot, places: Sequence[str]) -> None:
    delete = sql.SQL("DELETE FROM {} WHERE ctid = ANY({}::tid[])")
    lot.session.execute(delete.format(lot.staging, sql.Literal(list(places))))


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
    for batch in _batches(rejected):
        places, reasons, records = (sql.Literal(list(values)) for values in zip(*batch, strict=True))
        of_rows = {"places": places, "reasons": reasons, "records": records}
        session.execute(_KEEP.format(name=name, **of_rows, **{k: sql.Literal(v) for k, v in who.items()}))


def _batches(rejected: Iterable[Rejected]) -> Iterator[list[tuple[str, str, str]]]:
    """Places, reasons and records as JSON, as many together as go with one statement."""
    batch: list[tuple[str, str, str]] = []
    size = 0
    for one in rejected:
        batch.append((one.place, one.reason, json.dumps(one.record)))
        size += sum(map(len, batch[-1]))
        if size >= _STATEMENT:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _refuse_too_many(table: Table, count: int, shown: Sequence[str]) -> None:
    if count > table.reject_limit:
        raise DataRejectedError(
            f"table {table.name!r}: more than {table.reject_limit} rows are rejected: {'; '.join(shown)}",
            hint="the table is as it was; rejects = { limit = … } says how many may be",
        )


def _masked(record: dict[str, str | None], table: Table) -> dict[str, str | None]:
    return {c: HIDDEN if c in table.secret and v is not None else v for c, v in record.items()}
