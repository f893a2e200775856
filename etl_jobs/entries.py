"""Checking parts of a TOML file: what keys may be there, of which type; every problem is kept, with a guess."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any


@dataclass(frozen=True, slots=True)
class Kind:
    """What a value must be: in words, and as a test."""

    said: str
    fits: Callable[[object], bool]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(v, str) for v in value)


def _maps_texts(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(v, str) for v in value.values())


TEXT = Kind("a text", lambda value: isinstance(value, str))
FLAG = Kind("true or false", lambda value: isinstance(value, bool))
WHOLE = Kind("a whole number", lambda value: isinstance(value, int) and not isinstance(value, bool))
NUMBER = Kind("a number", _is_number)
TEXT_OR_NUMBER = Kind("a text or a number", lambda value: isinstance(value, str) or _is_number(value))
TEXTS = Kind("a list of texts", _are_texts)
TEXT_OR_TEXTS = Kind("a text or a list of texts", lambda value: isinstance(value, str) or _are_texts(value))
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

    def one_of(self, value: str, allowed: Iterable[str], where: str) -> None:
        allowed = tuple(allowed)
        if value not in allowed:
            expected = " or ".join(repr(a) for a in allowed)
            self.problems.append(f"{where}: expected {expected}, got {value!r}{guess(value, allowed)}")


def guess(word: str, known: Iterable[str]) -> str:
    """What was probably meant, as the end of a sentence."""
    close = get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
