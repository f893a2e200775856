"""Checking parts of a TOML file: what keys may be there, of which type; every problem is kept, with a guess."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Kind:
    """What a value must be: in words, and as a test."""

    said: str
    fits: Callable[[object], bool]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and "\0" not in value


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_from_zero(value: object) -> bool:
    return _is_number(value) and 0 <= value < math.inf  # type: ignore[operator]


_UNIT = (
    "microseconds?|us|milliseconds?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d|weeks?|w|months?|mons?"
    "|years?|yrs?|y|decades?|century|centuries|millennium|millennia"
)
_SPAN = re.compile(
    rf"\s*@?\s*((\d+(\.\d+)?\s*({_UNIT})\b|\d+:\d\d(:\d\d(\.\d+)?)?|\d+)\s*)+|P[\dYMWDTHS.]+", re.I | re.A
)


def _is_span(value: object) -> bool:
    return isinstance(value, str) and _SPAN.fullmatch(value) is not None


def _maps_texts(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(v, str) for v in value.values())


TEXT = Kind("a text", _is_text)
FILLED = Kind("a text that is not empty", lambda value: _is_text(value) and value != "")
FLAG = Kind("true or false", lambda value: isinstance(value, bool))
WHOLE = Kind("a whole number", lambda value: isinstance(value, int) and not isinstance(value, bool))
NUMBER = Kind("a number", _is_number)
SHARE = Kind("a number from 0 to 1", lambda value: _is_from_zero(value) and value <= 1)  # type: ignore[operator]
FROM_ZERO = Kind("a number from 0 on", _is_from_zero)
COUNT = Kind("a whole number from 0 on", lambda value: isinstance(value, int) and _is_from_zero(value))
SPAN = Kind('a span of time such as "2 days"', _is_span)
LAG = Kind(f"{FROM_ZERO.said}, or {SPAN.said}", lambda value: _is_from_zero(value) or _is_span(value))
TEXTS = Kind("a list of texts", _are_texts)
TEXTS_ONCE = Kind("a list of texts, each of them once", lambda v: _are_texts(v) and len({*v}) == len([*v]))  # type: ignore[misc]
TEXT_OR_TEXTS = Kind("a text or a list of texts", lambda value: _is_text(value) or _are_texts(value))
LIST = Kind("a list", lambda value: isinstance(value, list))
PART = Kind("a table", lambda value: isinstance(value, dict))
MAP = Kind("a table of texts", _maps_texts)


@dataclass(frozen=True, slots=True)
class Entries:
    """Reads entries and collects what is wrong with them."""

    problems: list[str] = field(default_factory=list)

    def known(
        self, entry: object, where: str, kinds: Mapping[str, Kind], *, needed: Iterable[str] = ()
    ) -> dict[str, Any]:
        """The entry's values of the right type; anything else is a problem."""
        dot = f"{where}: " if where else ""
        if not isinstance(entry, dict):
            self.problems.append(f"{dot}expected a table, got {entry!r}")
            return {}
        good = {}
        for key, value in entry.items():
            if key not in kinds:
                self.problems.append(f"{dot}unknown key {key!r}{guess(key, kinds)}")
            elif not kinds[key].fits(value):
                self.problems.append(f"{dot}{key}: expected {kinds[key].said}, got {value!r}")
            else:
                good[key] = value
        self.problems.extend(f"{dot}{key!r} is missing" for key in needed if key not in entry)
        return good

    def one_of(self, value: object, allowed: Iterable[str], where: str) -> None:
        allowed = tuple(allowed)
        if value not in allowed:
            expected = " or ".join(repr(a) for a in allowed)
            self.problems.append(f"{where}: expected {expected}, got {value!r}{guess(str(value), allowed)}")


def guess(word: str, known: Iterable[str]) -> str:
    """What was probably meant, as the end of a sentence."""
    from difflib import get_close_matches  # only where something is wrong

    close = get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
