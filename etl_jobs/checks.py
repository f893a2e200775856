"""Whether a staged table is as the catalogue says: one statement counts everything, a failure is shown by example."""

from __future__ import annotations

from dataclasses import dataclass, replace

import psycopg
from psycopg import sql

from etl_jobs.bisecting import first_refused
from etl_jobs.checksums import checksum
from etl_jobs.errors import DataRejectedError, MisconfiguredError
from etl_jobs.places import RECORD_NO, Places
from etl_jobs.refusals import REFUSED_ROWS, words_of
from etl_jobs.rules import Lot, Rule, check_name, rules_of

_SHOWN = 3
HIDDEN = "***"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What is in staging. `checksum` is of all rows whatever their order, `watermark` the greatest one as text.

    `counts` are of the table's rules, in their order.
    """

    rows: int
    checksum: int
    watermark: str | None
    duplicates: int
    orphans: tuple[int, ...]
    counts: tuple[int, ...]


def count_problems(lot: Lot, *, places: Places | None = None) -> Found:
    """Count rows and everything the rules of the table ask for in one statement.

    Raises MisconfiguredError where a check cannot be asked at all, DataRejectedError where it cannot be asked of a row,
    which `places` names.
    """
    table = lot.table
    try:
        row = lot.session.execute(_counting(lot)).fetchone()
    except (psycopg.ProgrammingError, *REFUSED_ROWS) as error:
        if places is not None:
            refuse_checks(lot)
            _refuse_row(lot, places)
        kind = DataRejectedError if isinstance(error, REFUSED_ROWS) else MisconfiguredError
        said = words_of(error, secret=bool(table.secret))
        raise kind(f"table {table.name!r}: {said}", hint="see the table's checks in the catalogue") from error
    assert row is not None
    rows, total, watermark, *counts = row
    first = len(table.never_null)
    duplicates, counted = (counts[first], first + 1) if table.key else (0, first)
    return Found(
        rows=rows,
        checksum=int(total),
        watermark=watermark,
        duplicates=duplicates,
        orphans=tuple(counts[counted : counted + len(table.references)]),
        counts=tuple(counts),
    )


def refuse_checks(lot: Lot) -> None:
    """Raise MisconfiguredError where the checks cannot even be asked of no rows. So no value can be in what is said."""
    nothing = sql.SQL("(SELECT * FROM {} AS s LIMIT 0)").format(lot.staging)
    try:
        lot.session.execute(_counting(replace(lot, staging=nothing)))
    except psycopg.errors.UndefinedFunction as error:
        raise MisconfiguredError(
            f"table {lot.table.name!r}: {error.diag.message_primary}",
            hint="columns that refer to each other need comparable types, and every type must have equality",
        ) from error
    except (psycopg.ProgrammingError, psycopg.DataError) as error:
        raise MisconfiguredError(
            f"table {lot.table.name!r}: {error.diag.message_primary}", hint="see the table's checks in the catalogue"
        ) from error


def _refuse_row(lot: Lot, places: Places) -> None:
    """Raise DataRejectedError for the first row of which an SQL check cannot be asked."""
    for check in lot.table.checks:
        if check.sql and (found := first_refused(lot.session, lot.staging, check.sql)):
            number, error = found
            said = words_of(error, secret=bool(lot.table.secret))
            raise DataRejectedError(
                f"{places.of(number)}: check {check.title!r} cannot be asked: {said}",
                hint="the table is as it was; the check has to be a condition that every row can be asked about",
            ) from error


def _counting(lot: Lot) -> sql.Composed:
    """Rows, checksum, greatest watermark, then what each rule counts."""
    table, rules = lot.table, rules_of(lot)
    greatest = sql.SQL("max({})").format(sql.Identifier("s", table.watermark)) if table.watermark else sql.SQL("NULL")
    counts = [sql.SQL("count(*)"), checksum(table.columns), greatest + sql.SQL("::text"), *(r.count for r in rules)]
    joins = [r.join for r in rules if r.join is not None]
    return sql.SQL("SELECT {} FROM {} {}").format(sql.SQL(", ").join(counts), checked(lot), sql.SQL(" ").join(joins))


def checked(lot: Lot, *more: sql.Composable) -> sql.Composed:
    """Staging as `s`, with `more` columns and one for every SQL check: whether the row fails it."""
    checks = [(check_name(n), sql.SQL(c.sql)) for n, c in enumerate(lot.table.checks) if c.sql]
    named = [sql.SQL("(({}) IS FALSE) AS {}").format(expression, name) for name, expression in checks]
    columns: list[sql.Composable] = [*more, *named, sql.SQL("*")]
    return sql.SQL("(SELECT {} FROM {} AS own) AS s").format(sql.SQL(", ").join(columns), lot.staging)


def judge(lot: Lot, found: Found, *, places: Places, rows_before: int | None) -> list[str]:
    """Raise one DataRejectedError that lists every failed check with its first rows; return what is only a warning.

    `rows_before` is how many rows the last load read.
    """
    table = lot.table
    said: dict[str, list[str]] = {"fail": [], "warn": [], "count": []}
    if found.rows < table.min_rows:
        said["fail"].append(f"{found.rows} rows, expected at least {table.min_rows} (min_rows)")
    for check in table.checks:
        if check.row_change is not None and _changed_by_more(found.rows, rows_before, share=check.row_change):
            limit = f"row_change = {check.row_change:g} allows"
            said[check.severity].append(f"{found.rows} rows, {rows_before} in the last load, more change than {limit}")
    for rule, count in zip(rules_of(lot), found.counts, strict=True):
        if count and rule.severity != "count":
            shown = _examples(lot, rule, places)
            said[rule.severity].append(rule.said(count) + (f": {shown}" if shown else ""))
    if said["fail"]:
        raise DataRejectedError("\n".join(f"{places.name}: {s}" for s in said["fail"]), hint="the table is as it was")
    return [f"{places.name}: {s}" for s in said["warn"]]


def _changed_by_more(rows: int, before: int | None, *, share: float) -> bool:
    """Nothing is a share of no rows."""
    return before is not None and before > 0 and abs(rows - before) > share * before


def _examples(lot: Lot, rule: Rule, places: Places) -> str:
    """The first bad rows with their place in the source: staging lies in the source's order."""
    shown = [sql.Literal(HIDDEN) if c in lot.table.secret else sql.Identifier("s", c) for c in rule.columns]
    values = sql.SQL("ROW({})::text").format(sql.SQL(", ").join(shown)) if shown else sql.SQL("''")
    statement = sql.SQL("SELECT s.{n}, {} FROM {} {} WHERE {} ORDER BY 1 LIMIT {}").format(
        values,
        checked(lot, sql.SQL("row_number() OVER () AS {}").format(RECORD_NO)),
        rule.join or sql.SQL(""),
        rule.where,
        sql.Literal(_SHOWN),
        n=RECORD_NO,
    )
    with lot.session.transaction():
        lot.session.execute("SET LOCAL synchronize_seqscans = off")
        rows = lot.session.execute(statement).fetchall()
    return "; ".join(f"{places.of(n)}{' ' + text if text else ''}" for n, text in rows)
