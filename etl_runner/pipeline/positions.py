"""Where each key and value of a TOML text stands.

`tomllib` gives values without places. This scanner reads a text that tomllib has already accepted, so it need not
check anything: it only walks over keys and values and notes where they begin and end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

Path = tuple[str | int, ...]

_BLANK = re.compile(r"[ \t]*")
_FILLER = re.compile(r"(?:[ \t\n\r,]|#[^\n]*)*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^,\]}#\n]*")
_STRINGS = (
    re.compile(r'"""(?:[^"\\]|\\.|"{1,2}(?!"))*"{3,5}', re.DOTALL),
    re.compile(r"'''(?:[^']|'{1,2}(?!'))*'{3,5}", re.DOTALL),
    re.compile(r'"(?:[^"\\]|\\.)*"'),
    re.compile(r"'[^']*'"),
)


class Place(Struct, kw_only=True):
    """Offsets of a key and of its value (end exclusive). An array's element has no key: there key == value."""

    key: tuple[int, int]
    value: tuple[int, int]


def scan(text: str) -> dict[Path, Place]:
    """The place of every key path that tomllib yields for `text` (with line ends as \\n). Array elements count from 0.

    A table made by a header, or by a dotted key alone, has the key part that first names it as its key and value.
    """
    return _Scan(text).places


class _Scan:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.places: dict[Path, Place] = {}
        self._arrays: dict[Path, int] = {}
        self._document()

    def _document(self) -> None:
        table: Path = ()
        while self._skip(_FILLER) < len(self.text):
            if self.text.startswith("[[", self.at):
                table = self._header(2)
            elif self.text[self.at] == "[":
                table = self._header(1)
            else:
                self._pair(table)

    def _skip(self, pattern: re.Pattern[str]) -> int:
        found = pattern.match(self.text, self.at)
        if found:
            self.at = found.end()
        return self.at

    def _header(self, brackets: int) -> Path:
        self.at += brackets
        parts = list(self._key())
        path: Path = ()
        for number, (name, start, end) in enumerate(parts, start=1):
            path = (*path, name)
            self._note(path, (start, end), (start, end))
            if brackets == 2 and number == len(parts):
                self._arrays[path] = self._arrays.get(path, -1) + 1
            if path in self._arrays:
                path = (*path, self._arrays[path])
                self._note(path, (start, end), (start, end))
        self.at += brackets
        return path

    def _pair(self, table: Path) -> None:
        parts = list(self._key())
        self._skip(_BLANK)
        self.at += 1  # the "="
        self._skip(_BLANK)
        path = table
        for name, start, end in parts[:-1]:
            path = (*path, name)
            self._note(path, (start, end), (start, end))
        name, start, end = parts[-1]
        self._value((*path, name), (start, end))

    def _key(self) -> Iterator[tuple[str, int, int]]:
        while True:
            start = self._skip(_BLANK)
            if self.text[start] in "\"'":
                name = _unquoted(self.text[start : self._string()])
            else:
                name = self.text[start : self._skip(_BARE)]
            yield name, start, self.at
            self._skip(_BLANK)
            if self.text[self.at] != ".":
                return
            self.at += 1

    def _value(self, path: Path, key: tuple[int, int] | None) -> None:
        start = self.at
        match self.text[start]:
            case "[":
                self._array(path)
            case "{":
                self._inline_table(path)
            case '"' | "'":
                self._string()
            case _:
                scalar = self.text[start : self._skip(_SCALAR)]
                self.at = start + len(scalar.rstrip())
        self._note(path, key or (start, self.at), (start, self.at))

    def _array(self, path: Path) -> None:
        self.at += 1
        index = 0
        while self.text[self._skip(_FILLER)] != "]":
            self._value((*path, index), None)
            index += 1
        self.at += 1

    def _inline_table(self, path: Path) -> None:
        self.at += 1
        while self.text[self._skip(_FILLER)] != "}":
            self._pair(path)
        self.at += 1

    def _string(self) -> int:
        for pattern in _STRINGS:
            if pattern.match(self.text, self.at):
                return self._skip(pattern)
        raise AssertionError(f"no TOML string at offset {self.at}")

    def _note(self, path: Path, key: tuple[int, int], value: tuple[int, int]) -> None:
        self.places.setdefault(path, Place(key=key, value=value))


def _unquoted(quoted: str) -> str:
    if "\\" not in quoted or quoted.startswith("'"):
        return quoted[1:-1]
    import tomllib

    name: str = tomllib.loads(f"key = {quoted}")["key"]
    return name
