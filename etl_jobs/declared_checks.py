"""What a table's `checks` and `rejects` may say."""

from __future__ import annotations

from typing import Any

from etl_jobs.entries import FLAG, LIST, NUMBER, TEXT, TEXTS, WHOLE, Entries, Kind
from etl_jobs.names import clip
from etl_jobs.tables import Check

_LIMIT = Kind("a number, or a text such as a date", lambda value: isinstance(value, int | float | str))
_KINDS = {
    "not_null": FLAG,
    "unique": TEXTS,
    "accepted": LIST,
    "min": _LIMIT,
    "max": _LIMIT,
    "fresh": TEXT,
    "row_change": NUMBER,
    "sql": TEXT,
}
_CHECK_KEYS = {"column": TEXT, "name": TEXT, "severity": TEXT, **_KINDS}
_OF_A_COLUMN = {"not_null", "accepted", "min", "max", "fresh"}
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
    kinds = {"range" if kind in {"min", "max"} else kind for kind in found if kind in _KINDS}
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
