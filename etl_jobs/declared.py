"""What a `[[table]]` may say, and what its settings must fulfil together."""

from __future__ import annotations

import re
from typing import Any

from etl_jobs.declared_checks import REJECTS, check_fits, check_lag
from etl_jobs.entries import (
    COUNT,
    FILLED,
    FLAG,
    LAG,
    LIST,
    PART,
    SHARE,
    SPAN,
    TEXT,
    TEXT_OR_TEXTS,
    TEXTS,
    TEXTS_ONCE,
    Entries,
    guess,
)
from etl_jobs.names import LONGEST_NAME, clip
from etl_jobs.tables import HISTORY, Reference, Table

STRATEGIES = ("snapshot", "replace", "slice", "append", "incremental", "scd2")
_FIELD = "(year|month|day|hour|minute|second)"
_NUMBERS = r"(\ ?\(\d+(,\ ?-?\d+)?\))"
_TYPE = re.compile(
    rf"""(double\ precision|(national\ )?char(acter)?(\ varying)?{_NUMBERS}?|bit\ varying{_NUMBERS}?
    |time(stamp)?{_NUMBERS}?\ with(out)?\ time\ zone|interval\ {_FIELD}(\ to\ {_FIELD})?{_NUMBERS}?
    |(?!double\b|(small|big)?serial[248]?\b)("\w+"|[a-z_]\w*)(\.("\w+"|[a-z_]\w*))?{_NUMBERS}?)(\ ?\[\d*\])*""",
    re.I | re.X,
)

_REFERENCE_KEYS = {"columns": TEXTS, "table": TEXT, "to": TEXTS, "orphans": TEXT}
TABLE_KEYS = {
    "name": FILLED,
    "file": TEXT_OR_TEXTS,
    "source": PART,
    "columns": PART,
    "required": TEXTS,
    "key": TEXTS_ONCE,
    "duplicates": TEXT,
    "references": LIST,
    "strategy": TEXT,
    "where": TEXT,
    "watermark": TEXT,
    "lag": LAG,
    "fresh_for": SPAN,
    "skip_unchanged": FLAG,
    "min_rows": COUNT,
    "max_delete": SHARE,
    "secret": TEXTS,
    "checks": LIST,
    "rejects": REJECTS,
    "new_columns": TEXT,
    "comment": TEXT,
}

EACH_KEYS = {"each": TEXT_OR_TEXTS, "names": TEXT} | {k: v for k, v in TABLE_KEYS.items() if k not in {"name", "file"}}


def read_reference(entries: Entries, where: str, entry: dict[str, Any]) -> Reference:
    """One of a table's `references`."""
    found = entries.known(entry, where, _REFERENCE_KEYS, needed=("columns", "table"))
    entries.one_of(found.get("orphans", "fail"), ("fail", "report"), f"{where}.orphans")
    columns = tuple(map(clip, found.get("columns", ())))
    return Reference(
        columns=columns,
        table=found.get("table", ""),
        to=tuple(map(clip, found.get("to", columns))),
        orphans=found.get("orphans", "fail"),
    )


def check_table(entries: Entries, table: Table, tables: tuple[Table, ...]) -> None:
    """Every setting fits the others and leads somewhere; what does not becomes a problem of `entries`."""
    where = f"table {table.name!r}"
    entries.one_of(table.duplicates, ("fail", "report"), f"{where}: duplicates")
    entries.one_of(table.strategy, STRATEGIES, f"{where}: strategy")
    entries.one_of(table.new_columns, ("fail", "add"), f"{where}: new_columns")
    if len(table.name.encode()) > LONGEST_NAME:
        entries.problems.append(f"{where}: {table.name!r} is longer than PostgreSQL's {LONGEST_NAME} bytes for a name")
    for column, kind in table.columns.items():
        if not isinstance(kind, str) or not _TYPE.fullmatch(kind):
            entries.problems.append(f"{where}: columns.{column}: not a PostgreSQL type: {kind!r}")
    _check_columns(entries, f"{where}: required", table.required, table)
    _check_columns(entries, f"{where}: key", table.key, table)
    _check_columns(entries, f"{where}: secret", table.secret, table)
    _check_strategy(entries, where, table)
    for number, check in enumerate(table.checks):
        names = (*((check.column,) if check.column else ()), *check.unique)
        _check_columns(entries, f"{where}: checks.{number}", names, table)
        check_fits(entries, f"{where}: checks.{number}", check, table.columns)
        if check.row_change is not None and table.watermark:
            entries.problems.append(
                f"{where}: checks.{number}: row_change does not go with `watermark`: a load reads only what is new"
            )
    if table.reject_limit:
        _check_rejects(entries, where, table, tables)
    for reference in table.references:
        _check_reference(entries, where, table, reference, tables)


def _check_rejects(entries: Entries, where: str, table: Table, tables: tuple[Table, ...]) -> None:
    name = table.rejects_name
    if any(t.name == name for t in tables):
        entries.problems.append(f"{where}: rejects: {name!r} is a table of its own")


def _check_strategy(entries: Entries, where: str, table: Table) -> None:
    if table.strategy == "slice" and not table.where:
        entries.problems.append(f"{where}: strategy 'slice' needs `where`: which rows are reloaded")
    if table.where and table.strategy != "slice":
        entries.problems.append(f"{where}: `where` is for strategy 'slice'")
    if table.strategy in {"incremental", "scd2"} and not table.identity:
        entries.problems.append(f"{where}: strategy {table.strategy!r} needs a key without duplicates")
    if table.strategy == "incremental" and not table.watermark:
        entries.problems.append(f"{where}: strategy 'incremental' needs `watermark`: a column")
    if table.strategy == "append" and table.watermark and not table.identity:
        entries.problems.append(f"{where}: strategy 'append' with `watermark` needs a key without duplicates")
    for name in HISTORY if table.strategy == "scd2" else ():
        if name in table.columns:
            entries.problems.append(f"{where}: strategy 'scd2' makes the column {name!r} itself, name yours otherwise")
    if table.watermark:
        _check_columns(entries, f"{where}: watermark", (table.watermark,), table)
        check_lag(entries, f"{where}: lag", table)


def _check_reference(
    entries: Entries, where: str, table: Table, reference: Reference, tables: tuple[Table, ...]
) -> None:
    _check_columns(entries, f"{where}: references", reference.columns, table)
    parent = next((t for t in tables if t.name == reference.table), None)
    if parent is None:
        names = [t.name for t in tables]
        entries.problems.append(
            f"{where}: references {reference.table!r}, which is no table here{guess(reference.table, names)}"
        )
        return
    _check_columns(entries, f"{where}: references {parent.name}", reference.to, parent)
    if len(reference.to) != len(reference.columns):
        entries.problems.append(f"{where}: references {parent.name}: `columns` and `to` differ in length")


def _check_columns(entries: Entries, where: str, names: tuple[str, ...], table: Table) -> None:
    for name in names if table.columns else ():  # else nobody knows them yet
        if name not in table.columns:
            entries.problems.append(f"{where}: {table.name!r} has no column {name!r}{guess(name, table.columns)}")
