"""What SQLite holds in spite of its types: they promise nothing, so each value is looked at where one could be cut."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from etl_jobs.sources.types import Type, parse

_HOLDS = {"smallint": "bigint", "integer": "bigint", "numeric": "numeric", "real": "double precision"}
_TEXT = ("character", "date", "time", "interval")
_DAY = re.compile(r"\d{4,}-\d\d?-\d\d?")
_CLOCK = re.compile(r"\d\d?:\d\d(?::\d\d(?:\.(?P<fraction>\d+))?)?\s*(?P<zone>Z|UTC|GMT|[+-]\d)?", re.IGNORECASE)
_PART, _ZONE, _DIGITS = "a part of the time would be lost", "the time zone would be lost", "digits would be lost"

Check = Callable[[Any], str]


def holding(kind: str) -> str:
    """The type of PostgreSQL that holds whatever a column has that SQLite calls by this one."""
    name = parse(kind).name
    return "text" if name.startswith(_TEXT) else _HOLDS.get(name, kind)


def checks_of(columns: Mapping[str, str], names: Sequence[str]) -> list[tuple[int, Check]]:
    """For each of the columns, by its place in `names`, that could cut a value: what says which part would be lost."""
    found = ((names.index(column), _check(parse(kind))) for column, kind in columns.items() if column in names)
    return [(place, check) for place, check in found if check is not None]


def _check(kind: Type) -> Check | None:
    if kind.array:
        return None
    if kind.name == "numeric" and kind.args:
        return lambda value: _lost_of_number(value, kind.args[1] if len(kind.args) > 1 else 0)
    if kind.name == "date" or kind.name.startswith("time"):
        return lambda value: _lost_of_time(value, kind)
    return None


def _lost_of_number(value: Any, scale: int) -> str:
    try:
        _, digits, exponent = Decimal(str(value).strip()).as_tuple()
    except InvalidOperation:
        return ""  # no number: the server says so
    too_many = -exponent - scale if isinstance(exponent, int) else 0
    return _DIGITS if too_many > 0 and any(digits[-too_many:]) else ""


def _lost_of_time(value: Any, kind: Type) -> str:
    clock = _CLOCK.search(value) if isinstance(value, str) else None
    if clock is None:
        return ""
    if kind.name == "date":
        return _PART if re.search("[1-9]", clock[0].removesuffix(clock["zone"] or "")) else ""
    if kind.name.startswith("time ") and _DAY.search(value):
        return _PART
    if kind.name.endswith("without time zone") and clock["zone"]:
        return _ZONE
    return _DIGITS if (clock["fraction"] or "")[kind.args[0] if kind.args else 6 :].strip("0") else ""
