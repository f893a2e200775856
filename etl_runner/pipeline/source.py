"""The text of a pipeline file, what it says, and problems put in their place."""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

from etl_runner.pipeline.positions import Path, Place, scan
from etl_runner.pipeline.problems import PipelineProblems, Problem
from etl_runner.secrecy import passwords_in

_PLACE_IN_MESSAGE = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)
HIDDEN = "***"
_BARE = re.compile(r"[A-Za-z0-9_-]+")


class Source:
    """A pipeline file that is TOML: `data` is what it says, with the profile's changes merged in.

    `problems` collects what is wrong; `add` puts a problem in its place, `raise_problems` ends the reading.
    """

    def __init__(self, text: str, *, file: str) -> None:
        """Raises PipelineProblems if the text is no TOML."""
        self.file = file
        self.text = text.removeprefix("\ufeff").replace("\r\n", "\n")
        self.problems: list[Problem] = []
        self._starts = [0, *(m.end() for m in re.finditer("\n", self.text))]
        self.data: dict[str, Any] = self._parse()
        self._places: dict[Path, Place] | None = None
        self._moved: dict[Path, Path] = {}

    def _parse(self) -> dict[str, Any]:
        try:
            return tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            raise PipelineProblems([self._syntax_problem(str(error))]) from None

    def _syntax_problem(self, message: str) -> Problem:
        found = _PLACE_IN_MESSAGE.fullmatch(message)
        said = found[1] if found else message
        if found and found[2]:
            start = self._starts[int(found[2]) - 1] + int(found[3]) - 1
        else:
            start = len(self.text.rstrip())
        end = start + 1
        if said.startswith("Cannot"):  # the place is the end of a statement: show all of its line
            start = self._starts[bisect_right(self._starts, max(0, start - 1)) - 1]
            end = start + len(self.text[start:].split("\n", 1)[0].rstrip())
        said, cure = _plain_words(said)
        return self._problem((start, end), key="", message=said, cure=cure)

    def merge(self, changes: Mapping[str, Any], *, path: Path) -> None:
        """Merge a profile's table over the data: tables key by key, anything else replaced."""
        self._merge(self.data, changes, (), path)

    def _merge(self, base: dict[str, Any], changes: Mapping[str, Any], at: Path, path: Path) -> None:
        for key, value in changes.items():
            old = base.get(key)
            if isinstance(old, dict) and isinstance(value, dict):
                self._merge(old, value, (*at, key), (*path, key))
            else:
                base[key] = value
                self._moved[(*at, key)] = (*path, key)

    def add(
        self,
        path: Path,
        message: str,
        cure: str = "",
        *,
        on_key: bool = False,
        token: str = "",
        named: Path | None = None,
    ) -> None:
        """Note a problem at a key path; the same problem at the same place is noted once.

        The carets stand under the value, or the key, or the first `token` inside the value. `named` is the path to
        show, where it is not `path` itself.
        """
        written = self._written(path)
        place = self._place(written)
        start, end = place.key if on_key else place.value
        if token and (at := self.text.find(token, start, end)) >= 0:
            start, end = at, at + len(token)
        shown = written if named is None else written[: len(written) - len(path) + len(named)]
        problem = self._problem((start, end), key=_dotted(shown), message=message, cure=cure)
        if problem not in self.problems:
            self.problems.append(problem)

    def add_hidden(self, file: str, line: int, message: str) -> None:
        """Note a problem of another file that this one names, and whose lines may be secret."""
        cure = "not shown: it may be a secret"
        found = Problem(
            file=file, line=line, col=1, width=len(HIDDEN), key="", message=message, suggestion=cure, text=HIDDEN
        )
        self.problems.append(found)

    def raise_problems(self) -> None:
        if self.problems:
            raise PipelineProblems(self.problems)

    def _written(self, path: Path) -> Path:
        """The path where a (merged) path is written in the file: a profile's values stand in its own table."""
        for length in range(len(path), 0, -1):
            if moved := self._moved.get(path[:length]):
                return (*moved, *path[length:])
        return path

    def _place(self, path: Path) -> Place:
        if self._places is None:
            self._places = scan(self.text)
        while path and path not in self._places:
            path = path[:-1]
        return self._places.get(path) or Place(key=(0, 0), value=(0, 0))

    def _problem(self, span: tuple[int, int], *, key: str, message: str, cure: str) -> Problem:
        number = bisect_right(self._starts, span[0])
        start = self._starts[number - 1]
        text = self.text[start:].split("\n", 1)[0]
        width = min(span[1], start + len(text)) - span[0]
        return Problem(
            file=self.file,
            line=number,
            col=span[0] - start + 1,
            width=max(1, width),
            key=key,
            message=message,
            suggestion=cure,
            text=_without_passwords(text),
        )


def _without_passwords(line: str) -> str:
    """The line with stars for the letters of passwords inside URLs, so that carets stand where they did."""
    for password in passwords_in(line) if "://" in line else ():
        line = line.replace(password, "*" * len(password))
    return line


def _dotted(path: Path) -> str:
    """A key path as TOML writes it."""
    return ".".join(str(p) if isinstance(p, int) or _BARE.fullmatch(p) else f'"{p}"' for p in path)


def _plain_words(said: str) -> tuple[str, str]:
    """What tomllib says, for people: a message and a cure."""
    match said:
        case "Invalid value":
            return "no TOML value", 'text goes in quotes: "…"'
        case "Cannot overwrite a value":
            return "this is already set above", "keep one of the two"
        case "Illegal character '\\n'":
            return "the text has no closing quote on this line", 'several lines go between """ and """'
        case _ if found := re.fullmatch(r"Cannot declare \((.*)\) twice", said):
            name = ".".join(part.strip(" '\"") for part in found[1].split(",") if part.strip())
            return f"[{name}] is already there above", "put the keys together under one of them"
        case _:
            return f"{said[:1].lower()}{said[1:]}", ""
