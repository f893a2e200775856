"""What messages tell of a foreign text or document: its beginning, or no more than its form."""

from __future__ import annotations

from typing import Any

_SHOWN = 200


def shown(text: str) -> str:
    """The beginning of a foreign text, fit for a line of a log."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * _SHOWN]).split())
    return line[:_SHOWN] + ("…" if len(line) > _SHOWN else "") or "(empty)"


def form_of(document: Any) -> str:
    """What kind of JSON it is, and an object's names: none of its values."""
    match document:
        case None:
            return "null"
        case dict():
            return "an object " + (f"with {shown(', '.join(map(repr, document)))}" if document else "of nothing")
        case list():
            return f"a list of {len(document)}"
        case str():
            return "a text"
        case bool():
            return "true or false"
        case _:
            return "a number"
