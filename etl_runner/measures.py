"""What jobs report, in few words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from etl_runner.model import Metric
from etl_runner.words import clean, size

TROUBLES = ("rejected", "orphans", "duplicates", "differences", "errors", "warnings")
CHANGES = ("inserted", "updated", "deleted")
_TOTALS = ("of",)  # means something beside `rows` only
_NUMBERS = ("load",)  # tell which one, not how many


def line(values: Mapping[str, Metric], *, dot: str = "·") -> str:
    """All that a job reported but zeros, in one line; what tells which one, and not how many, at the end."""
    numbers = [f"{name} {number}" for name, number in _numbers(values, _NUMBERS)]
    return f" {dot} ".join([*notes(values), *numbers])


def notes(values: Mapping[str, Metric]) -> list[str]:
    """What a job reported, the most telling first: `4,656 rows`, `3 rejected`, `12 inserted`, `people`, `1.2 MB`.

    Texts stand without their names; zeros other than rows and measured seconds are left out.
    """
    known = {"rows", *(name for name, _ in _numbers(values, (*TROUBLES, *CHANGES, *_NUMBERS)))}
    rest = [name for name in values if name not in known]
    said = sorted(rest, key=lambda name: _weight(name, values[name]))
    told = [_metric("rows", values["rows"])] if "rows" in values else []
    told += [*troubles(values), *_changes(values), *(_metric(name, values[name]) for name in said)]
    return [text for text in told if text]


def troubles(values: Mapping[str, Metric]) -> list[str]:
    """What of it is not as it should be: `3 rejected`, `1 orphan`."""
    return [_counted(number, name.removesuffix("s"), name) for name, number in _numbers(values, TROUBLES) if number]


def _changes(values: Mapping[str, Metric]) -> list[str]:
    """What a load changed: `12 inserted`, `3 updated`; in one word where it was everything or nothing."""
    numbers, rows = dict(_numbers(values, CHANGES)), values.get("rows")
    changed = {name: number for name, number in numbers.items() if number}
    if rows and changed == {"inserted": rows}:
        return ["all inserted"]
    if rows and not changed and len(numbers) == len(CHANGES):
        return ["unchanged"]
    return [f"{number:,} {name}" for name, number in changed.items()]


def _numbers(values: Mapping[str, Metric], names: Iterable[str]) -> Iterator[tuple[str, int]]:
    for name in names:
        value = values.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            yield name, value


def _counted(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _weight(name: str, value: Metric) -> int:
    kinds = (isinstance(value, str), isinstance(value, int) and name != "bytes", name == "bytes", True)
    return kinds.index(True)


def _metric(name: str, value: Metric) -> str:
    word = clean(name).replace("_", " ")
    match value:
        case None | False:
            return ""
        case True:
            return word
        case str():
            return clean(value)
        case int() if name == "bytes":
            return size(value) if value else ""
        case int():
            return f"{value:,} {word}" if (value and name not in _TOTALS) or name == "rows" else ""
        case float():
            return "" if word.endswith("seconds") else f"{word} {value:,.4g}"
