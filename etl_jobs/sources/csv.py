"""Folders of CSV files as source: the bytes go to the server as they are."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from etl_jobs.errors import DataRejectedError, MisconfiguredError
from etl_jobs.names import unfit
from etl_jobs.sources.encodings import hint_for, python_name, server_name
from etl_jobs.sources.files import Stream, find_files, fingerprint_of, read_blocks, size_of
from etl_jobs.sources.framing import (
    LONGEST,
    ended,
    in_utf8,
    line_end,
    lines_of,
    mark_of,
    records,
    with_first_field,
    with_line_end,
    without_header,
)
from etl_jobs.tables import SourceSettings, Table

_MARK = b"\xef\xbb\xbf\r\n"
_DELIMITERS = (";", "\t", "|", ",")


class _Record(NamedTuple):
    """Where a record stands: in which file, from which line to which, and its last line in all as the server counts."""

    number: int
    path: Path
    first: int
    last: int
    line: int


class CsvSource:
    """One or many CSV files, each with the same header line, read one after the other."""

    def __init__(self, settings: SourceSettings, table: Table) -> None:
        assert settings.folder is not None
        dialect = settings.options
        self._folder, self._patterns = settings.folder, table.files
        self.name = ", ".join(str(settings.folder / pattern) for pattern in table.files)
        self.delimiter: str = dialect.get("delimiter", ",")
        self.quote: str = dialect.get("quote", '"')
        self.escape: str = dialect.get("escape", self.quote)
        self.null: str = dialect.get("null", "")
        self._written = dialect.get("encoding", "UTF8")
        self._codec = python_name(self._written)
        self._foreign = server_name(self._written) is None
        self.encoding = "UTF8" if self._foreign else self._written
        self._file_column: str | None = table.source.get("file_column")
        self._declared = tuple(table.columns)
        self._last: _Record | None = None
        self._walk = self._records()
        if self._file_column and self.escape != self.quote:
            raise MisconfiguredError(f"table {table.name!r}: file_column needs a dialect whose escape is its quote")

    def columns(self) -> tuple[str, ...]:
        first, *others = self._files()
        header = self._header(first)
        if header[0] not in self._declared:
            _refuse_other_delimiter(first, header, delimiter=self.delimiter)
        for path in others:
            found = self._header(path)
            if found != header:
                raise DataRejectedError(
                    f"{path} line 1: its header is not that of {first.name}: {_difference(found, header)}",
                    hint="the files of a table need the same columns in the same order",
                )
        if not self._file_column:
            return header
        for path in (first, *others):
            self._file_field(path)
        return (self._file_column, *header)

    def blocks(self) -> Iterator[bytes]:
        quote, escape = self.quote.encode(), self.escape.encode()
        files = self._files()
        end = self._sent_end(files)
        for number, path in enumerate(files):
            blocks = self._bytes(path)
            if self._line_end(path) not in (b"", end):
                blocks = with_line_end(blocks, end, quote=quote, escape=escape)
            if number < len(files) - 1:
                blocks = ended(blocks, end)
            if number:
                blocks = without_header(blocks, quote=quote, escape=escape)
            if self._file_column:
                blocks = with_first_field(blocks, self._file_field(path), quote=quote)
            yield from blocks

    def _sent_end(self, files: Iterable[Path]) -> bytes:
        """How every line ends in the text that is sent: as in the first file that has any, but that a field goes before
        what follows LF alone."""
        end = next(filter(None, map(self._line_end, files)), b"\n")
        return b"\n" if self._file_column and end == b"\r" else end

    def _line_end(self, path: Path) -> bytes:
        """How the file's header ends; nothing where it is all there is."""
        return line_end(next(self._split(path), b""))

    def _split(self, path: Path) -> Iterator[bytes]:
        return records(self._bytes(path), quote=self.quote.encode(), escape=self.escape.encode())

    def fingerprint(self) -> str:
        return fingerprint_of(self._files())

    def size(self) -> int | None:
        return size_of(self._files())

    def place(self, *, record: int | None = None, line: int | None = None) -> str:
        """Reads the files again: a quoted field may span lines. Places asked for in order cost one reading in all."""
        found = self._find(record, line or 1)
        if found is None:
            return f"{self.name} line {line or 1}"
        return f"{found.path} line {found.first}" + (f"–{found.last}" if found.last != found.first else "")

    def _find(self, record: int | None, line: int) -> _Record | None:
        if self._reached(record, line):
            if self._last and self._last.number == record:
                return self._last
            self._walk, self._last = self._records(), None
        with contextlib.suppress(DataRejectedError):  # its end cannot be read: it stands behind the last one
            while not self._reached(record, line) and (found := next(self._walk, None)):
                self._last = found
        return self._last

    def _reached(self, record: int | None, line: int) -> bool:
        last = self._last
        return last is not None and (last.line >= line if record is None else last.number >= record)

    def _files(self) -> list[Path]:
        return find_files(self._folder, self._patterns)

    def _header(self, path: Path) -> tuple[str, ...]:
        try:
            header = self._header_of(path)
        except csv.Error as error:
            raise DataRejectedError(f"{path} line 1: {error}") from error
        if any(_is_no_text(character) for name in header for character in name):
            hint = hint_for(next(self._bytes(path), b""))
            raise DataRejectedError(f"{path} line 1: not {self._written} text", hint=hint)
        if not any(header):
            said = "line 1 is empty" if any(block.strip(_MARK) for block in self._bytes(path)) else "is empty"
            raise DataRejectedError(f"{path} {said}", hint="its first line must name the columns")
        if wrong := unfit(header):
            said, hint = wrong
            more = "" if all(header) else ": is there a delimiter too many in every line?"
            raise DataRejectedError(f"{path} line 1: {said}", hint=hint + more)
        twice = sorted({c for c in header if header.count(c) > 1})
        if twice:
            raise DataRejectedError(f"{path} line 1: more than one column {', '.join(map(repr, twice))}")
        return header

    def _bytes(self, path: Path) -> Iterator[bytes]:
        blocks = read_blocks(path)
        return in_utf8(blocks, self._codec, name=str(path)) if self._foreign else blocks

    def _file_field(self, path: Path) -> bytes:
        name = str(path.relative_to(self._folder)) if path.is_relative_to(self._folder) else str(path)
        quoted = self.quote + name.replace(self.quote, self.quote * 2) + self.quote + self.delimiter
        try:
            return quoted.encode("utf-8" if self._foreign else self._codec.replace("-sig", ""), "surrogateescape")
        except UnicodeEncodeError as error:
            raise MisconfiguredError(
                f"{path}: its name cannot be written in {self._written}, as file_column wants it",
                hint="rename it, or leave file_column out",
            ) from error

    def _records(self) -> Iterator[_Record]:
        """Every record of the text that is sent, the header of the first file included."""
        files = self._files()
        number, line, mark = 0, 0, b"\r"
        for nth, path in enumerate(files):
            last = 0
            for text in self._split(path):
                first, last = last + 1, last + _lines(text)
                if nth == 0 or first > 1:
                    line += lines_of(text, mark)
                    yield _Record(number, path, first, last, line)
                    number += 1
                if number == 1:
                    mark = mark_of(self._sent_end(files))

    def _header_of(self, path: Path) -> tuple[str, ...]:
        csv.field_size_limit(LONGEST)
        dialect: dict[str, Any] = {"delimiter": self.delimiter, "quotechar": self.quote}
        if self.escape != self.quote:
            dialect |= {"escapechar": self.escape, "doublequote": False}
        with self._text(path) as file:
            return tuple(next(csv.reader(file, **dialect), ()))

    def _text(self, path: Path) -> TextIO:
        codec = "utf-8-sig" if self._foreign else self._codec
        raw = io.BufferedReader(Stream(self._bytes(path)))
        return io.TextIOWrapper(raw, encoding=codec, errors="surrogateescape", newline="")


def _is_no_text(character: str) -> bool:
    return "\udc80" <= character <= "\udcff" or (character < " " and character not in "\t\r\n")


def _lines(text: bytes) -> int:
    """How many lines a person sees."""
    ends = text.count(b"\n") + text.count(b"\r") - text.count(b"\r\n")
    return ends + (not text.endswith((b"\r", b"\n")))


def _refuse_other_delimiter(path: Path, header: tuple[str, ...], *, delimiter: str) -> None:
    """One column that nobody declared looks like several."""
    others = [mark for mark in _DELIMITERS if mark != delimiter and mark in header[0]]
    if len(header) == 1 and others:
        raise DataRejectedError(
            f"{path} line 1: one column only, {header[0]!r}",
            hint=f"is {others[0]!r} the delimiter? Say so in [source.csv], or declare that column",
        )


def _difference(found: tuple[str, ...], expected: tuple[str, ...]) -> str:
    missing = [repr(c) for c in expected if c not in found]
    extra = [repr(c) for c in found if c not in expected]
    said = [f"no column {', '.join(missing)}"] if missing else []
    said += [f"unexpected column {', '.join(extra)}"] if extra else []
    return " and ".join(said) or f"another order: {', '.join(found)}"
