"""The line of a catalogue that a problem is about: its key there, else the head of its part."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_HEAD = re.compile(r"\s*\[(\[)?\s*([\w.\"' -]+?)\s*\]")
_KEY = re.compile(r"\s*[\"']?([\w-]+)[\"']?(?:\.[\w.-]+)?\s*=\s*(.*)")
_QUOTES = ('"""', "'''")
_TABLE = re.compile(r"table (?:(?P<number>\d+)|(?P<name>'.*?'|\".*?\"))(?:: (?P<rest>.*))?", re.S)
_PART = re.compile(r"(?P<part>source|warehouse)\b[.:]? ?(?P<rest>.*)", re.S)


@dataclass(frozen=True, slots=True)
class _Part:
    """A `[part]` or `[[table]]`, the line of its head, and the lines and texts of its keys."""

    name: str
    line: int
    keys: dict[str, tuple[int, str]] = field(default_factory=dict)


def line_of(text: str, problem: str) -> int | None:
    """None where no line can be told, as of tables that are found."""
    parts = _parts(text)
    if found := _TABLE.match(problem):
        return _in(_table(parts, found), found["rest"] or "")
    if found := _PART.match(problem):
        words = re.findall(r"\w+", found["rest"])
        nested = f"{found['part']}.{words[0]}" if words else ""
        for part in parts:
            if part.name == nested and len(words) > 1:
                return _in([part], " ".join(words[1:]))
        return _in([part for part in parts if part.name == found["part"]], found["rest"])
    return None


def _parts(text: str) -> list[_Part]:
    parts, open_quote = [_Part("", 1)], ""
    for number, line in enumerate(text.splitlines(), 1):
        if not open_quote:
            head, key = _HEAD.match(line), _KEY.match(line)
            if head and not key:
                parts.append(_Part(head[2], number))
            elif key:
                parts[-1].keys.setdefault(key[1], (number, key[2]))
        for quote in _QUOTES:
            if open_quote in ("", quote) and line.count(quote) % 2:
                open_quote = "" if open_quote else quote
    return parts


def _table(parts: list[_Part], found: re.Match[str]) -> list[_Part]:
    tables = [part for part in parts if part.name == "table"]
    if found["number"] is not None:
        return tables[int(found["number"]) :][:1]
    name = found["name"][1:-1]
    return [
        part for part in tables if part.keys.get("name", (0, ""))[1].strip("\"' ").split("#")[0].strip("\"' ") == name
    ]


def _in(parts: list[_Part], rest: str) -> int | None:
    """The line of the key that is spoken of in the last of the parts, else of its head."""
    if not parts:
        return None
    words = re.match(r"(?:unknown key )?['`\"]?(\w+)", rest)
    known = parts[-1].keys.get(words[1]) if words else None
    return known[0] if known else parts[-1].line
