"""What a table's `checks` and `rejects` may say."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from etl_jobs.entries import FILLED, FROM_ZERO, LIST, SPAN, TEXT, TEXTS, WHOLE, Entries, Kind
from etl_jobs.errors import MisconfiguredError
from etl_jobs.names import clip
from etl_jobs.tables import Check, Table


def _is_limit(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
    return number or isinstance(value, str)


_LIMIT = Kind("a number, or a text such as a date", _is_limit)
_KINDS = {
    "not_null": Kind("true", lambda value: value is True),
    "unique": TEXTS,
    "accepted": LIST,
    "min": _LIMIT,
    "max": _LIMIT,
    "fresh": SPAN,
    "row_change": FROM_ZERO,
    "sql": FILLED,
}
_CHECK_KEYS = {"column": TEXT, "name": TEXT, "severity": TEXT, **_KINDS}
_OF_A_COLUMN = {"not_null", "accepted", "min", "max", "fresh"}
_FAMILIES = {
    "a number": "smallint|int|int2|int4|int8|integer|bigint|numeric|decimal|real|double precision|float|float4|float8",
    "a time": "date|timestamptz|timestamp.*",
    "a text": "text|(national )?char(acter)?( varying)?|varchar|bpchar",
    "true or false": "bool|boolean",
}
REJECTS = Kind('"fail" or { limit = … }', lambda value: value == "fail" or isinstance(value, dict))


def read_rejects(entries: Entries, where: str, value: object) -> int:
    """How many rows may be rejected; 0: none."""
    if not isinstance(value, dict):
        return 0
    found = entries.known(value, where, {"limit": WHOLE}, needed=("limit",))
    limit: int = found.get("limit", 1)
    if not 0 < limit <= 100_000:
        entries.problems.append(f"{where}.limit: expected 1 to 100000, got {limit}")
    return limit


def read_check(entries: Entries, where: str, entry: object) -> Check:
    """One of a table's `checks`: it says one thing, about a column where that is meant."""
    found: dict[str, Any] = entries.known(entry, where, _CHECK_KEYS)
    entries.one_of(found.get("severity", "fail"), ("fail", "warn"), f"{where}.severity")
    asked = entry if isinstance(entry, dict) else {"sql": entry}
    kinds = {"range" if kind in {"min", "max"} else kind for kind in asked if kind in _KINDS}
    if len(kinds) != 1:
        expected = ", ".join(_KINDS)
        entries.problems.append(f"{where}: expected one of {expected}, got {', '.join(sorted(kinds)) or 'none'}")
    if any(kind in _OF_A_COLUMN for kind in found) and not found.get("column"):
        entries.problems.append(f"{where}: 'column' is missing")
    if "unique" in found:
        found["unique"] = [clip(name) for name in found["unique"]]
    if "column" in found:
        found["column"] = clip(found["column"])
    for key in ("unique", "accepted"):
        if key in found:
            found[key] = tuple(found[key])
            if not found[key]:
                entries.problems.append(f"{where}.{key}: name at least one")
    if any(not isinstance(value, str | int | float) for value in found.get("accepted", ())):
        entries.problems.append(f"{where}.accepted: expected texts, numbers, true or false")
    return Check(**found)


def check_fits(entries: Entries, where: str, check: Check, columns: Mapping[str, str]) -> None:
    """The check's values are of the declared type of its column; what does not fit becomes a problem."""
    kind = str(columns.get(check.column, ""))
    family = _family(kind)
    if not family:
        return
    if check.fresh and family != "a time":
        entries.problems.append(f"{where}.fresh: column {check.column!r} is {kind}, not a time")
    values = [("accepted", value) for value in check.accepted] + [("min", check.min), ("max", check.max)]
    for key, value in values:
        if value is not None and not _fits(value, family):
            entries.problems.append(f"{where}.{key}: column {check.column!r} is {kind}, got {value!r}")


def check_lag(entries: Entries, where: str, table: Table) -> None:
    """The lag can be taken away from the declared type of the watermark."""
    kind, lag = str(table.columns.get(table.watermark, "")), table.lag
    said = f"{where}: column {table.watermark!r} is {kind}"
    match _family(kind):
        case "a number" if isinstance(lag, str):
            entries.problems.append(f"{said}, got {lag!r}, not a number")
        case "a time" if lag and not isinstance(lag, str) and not (kind.lower() == "date" and isinstance(lag, int)):
            entries.problems.append(f'{said}, got {lag!r}, not a span of time such as "2 days"')
        case "a text" | "true or false" | "a list" if lag:
            entries.problems.append(f"{said}, from which nothing is taken away")


def refuse_unfit(table: Table) -> None:
    """Raise MisconfiguredError where checks or the lag do not fit the types of the columns that have been found."""
    entries, where = Entries(), f"table {table.name!r}"
    for number, check in enumerate(table.checks):
        check_fits(entries, f"{where}: checks.{number}", check, table.columns)
    if table.watermark:
        check_lag(entries, f"{where}: lag", table)
    if entries.problems:
        raise MisconfiguredError("\n".join(entries.problems))


def _family(kind: str) -> str:
    """What the values of a type are, empty where we do not know."""
    if "[" in kind:
        return "a list"
    name = re.sub(r" ?\(.*?\)", "", kind).lower()
    return next((family for family, names in _FAMILIES.items() if re.fullmatch(names, name)), "")


def _fits(value: object, family: str) -> bool:
    match family:
        case "a number" if isinstance(value, str):
            return (
                re.fullmatch(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*|[+-]?inf(inity)?", value, re.I) is not None
            )
        case "a number":
            return not isinstance(value, bool)
        case "true or false":
            return isinstance(value, bool | str)
    return isinstance(value, str)
