"""PostgreSQL's types by their many names, and what would be lost silently on the way from one to another."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

from etl_jobs.errors import MisconfiguredError
from etl_jobs.names import clip

HOW_TO_ALLOW = 'declare a type that holds it, convert it in a query, or name it in source = { lossy = ["…"] }'
_FORM = re.compile(
    r"\s*(?P<name>[^(\[]+?)\s*(?:\((?P<args>[^)]*)\))?\s*(?P<zone>with(?:out)? time zone)?\s*(?P<array>(?:\[\d*\])*)\s*"
)
_ALIASES = {
    "int": "integer", "int4": "integer", "int2": "smallint", "int8": "bigint", "bool": "boolean", "decimal": "numeric",
    "float8": "double precision", "float": "double precision", "float4": "real", "varchar": "character varying",
    "char": "character", "bpchar": "character", "timestamptz": "timestamp with time zone",
    "timestamp": "timestamp without time zone", "time": "time without time zone", "timetz": "time with time zone",
}  # fmt: skip
_ROUNDED = "digits would be lost"
_EXACT_IN = {
    "real": {"smallint", "real"},
    "double precision": {"smallint", "integer", "real", "double precision"},
}
_NUMBERS = {"smallint", "integer", "bigint", "numeric", "real", "double precision"}
_TIME_CUT = "a part of the time would be lost"
_FIELDS = ("year", "month", "day", "hour", "minute", "second")


class Type(NamedTuple):
    """A type by its proper name."""

    name: str
    args: tuple[int, ...] = ()
    array: bool = False


def parse(text: str) -> Type:
    """The type a text names, whatever alias it uses."""
    match = _FORM.fullmatch(text.lower())
    if match is None:
        return Type(text.lower())
    name = " ".join([*match["name"].split(), *(match["zone"] or "").split()])
    args = tuple(int(a) for a in (match["args"] or "").split(",") if a.strip().removeprefix("-").isdigit())
    return Type(_ALIASES.get(name, name), args, bool(match["array"]))


def lost(source: Type, declared: Type) -> str:
    """What the server would drop without a word when it reads `source`'s text as `declared`; empty where nothing."""
    if source.name in _NUMBERS and declared.name in _NUMBERS:
        return _lost_of_number(source, declared)
    if source.name.startswith("time"):
        return _lost_of_time(source, declared)
    if source.name.startswith("interval") and declared.name.startswith("interval"):
        return _lost_of_interval(source, declared)
    return ""


def _lost_of_number(source: Type, declared: Type) -> str:
    if declared.name in _EXACT_IN:
        return "" if source.name in _EXACT_IN[declared.name] else _ROUNDED
    if declared.name != "numeric" or not declared.args:
        return ""  # a whole number refuses fractions by itself
    whole = source.args or source.name in ("smallint", "integer", "bigint")
    scale = source.args[1] if len(source.args) > 1 else 0 if whole else None
    allowed = declared.args[1] if len(declared.args) > 1 else 0
    return _ROUNDED if scale is None or scale > allowed else ""


def _lost_of_time(source: Type, declared: Type) -> str:
    if declared.name == "date" or (declared.name.startswith("time ") and source.name.startswith("timestamp")):
        return _TIME_CUT
    if not declared.name.startswith("time"):
        return ""
    if source.name.endswith("with time zone") and declared.name.endswith("without time zone"):
        return "the time zone would be lost"
    return _lost_of_second(source, declared)


def _lost_of_interval(source: Type, declared: Type) -> str:
    """Fields limit what comes after the last one they name, and nothing else."""
    return _TIME_CUT if _last_field(source) > _last_field(declared) else _lost_of_second(source, declared)


def _last_field(interval: Type) -> int:
    named = [_FIELDS.index(word) for word in interval.name.split() if word in _FIELDS]
    return named[-1] if named else len(_FIELDS) - 1


def _lost_of_second(source: Type, declared: Type) -> str:
    return _ROUNDED if declared.args and declared.args[0] < (source.args[0] if source.args else 6) else ""


def wider(kind: str) -> str:
    """A type that holds the numbers that are too large for this one."""
    return "bigint" if parse(kind).name in ("smallint", "integer") else "numeric"


def losses(found: Mapping[str, str], here: Mapping[str, str], *, lossy: Collection[str] = ()) -> dict[str, str]:
    """What would be lost silently, in words, of every column of a source on its way into the types `here`."""
    said = {}
    for name, kind in found.items():
        column = clip(name)
        if column in here and column not in lossy and (what := lost(parse(kind), parse(here[column]))):
            said[column] = f"column {column!r} is {kind} there, {here[column]} here: {what}"
    return said


def check_types(
    found: Mapping[str, str], declared: Mapping[str, str], *, table: str, source: str, lossy: Collection[str] = ()
) -> None:
    """Raise MisconfiguredError for every column that would lose something silently, but for those named `lossy`."""
    if said := losses(found, declared, lossy=lossy):
        raise MisconfiguredError(
            "\n".join(f"table {table!r}, {source}: {s}" for s in said.values()),
            hint=HOW_TO_ALLOW,
        )
