"""A folder of CSV files as source: the bytes go to the server as they are."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from etl_jobs.errors import DataRejectedError, MisconfiguredError
from etl_jobs.tables import SourceSettings

BLOCK = 256 * 1024
_LONGEST_FIELD = 16 * 1024 * 1024  # beyond it we do not look for a record's place
_PYTHON_NAMES = {"UTF8": "utf-8-sig", "UTF-8": "utf-8-sig"}


class CsvSource:
    """One CSV file with a header line."""

    def __init__(self, folder: Path, file: str, *, settings: SourceSettings) -> None:
        self.path = folder / file
        self.name = str(self.path)
        self.delimiter = settings.options.get("delimiter", ",")
        self.quote = settings.options.get("quote", '"')
        self.escape = settings.options.get("escape", self.quote)
        self.null = settings.options.get("null", "")
        self.encoding = settings.options.get("encoding", "UTF8")

    def columns(self) -> tuple[str, ...]:
        self._must_exist()
        try:
            header = next(self._records(), ((), 1, 1))[0]
        except csv.Error as error:
            raise DataRejectedError(f"{self.name} line 1: {error}") from error
        if any("\udc80" <= character <= "\udcff" for name in header for character in name):
            raise DataRejectedError(f"{self.name} line 1: not {self.encoding} text")
        if not any(header):
            raise DataRejectedError(f"{self.name} is empty", hint="its first line must name the columns")
        twice = sorted({c for c in header if header.count(c) > 1})
        if twice:
            raise DataRejectedError(f"{self.name} line 1: more than one column {', '.join(map(repr, twice))}")
        return header

    def blocks(self) -> Iterator[bytes]:
        with self.path.open("rb", buffering=0) as file:
            while block := file.read(BLOCK):
                yield block

    def fingerprint(self) -> str:
        self._must_exist()
        seen = self.path.stat()
        return f"{seen.st_size} bytes, {seen.st_mtime_ns}"

    def size(self) -> int | None:
        self._must_exist()
        return self.path.stat().st_size

    def place(self, *, record: int | None = None, line: int | None = None) -> str:
        """Reads the file again: a quoted field may span lines, so only a CSV reader knows where a record begins."""
        first, last = line or 1, line or 1
        with contextlib.suppress(csv.Error):
            for number, (_, first, last) in enumerate(self._records()):  # noqa: B007 - the last one counts
                if number == record or (line is not None and last >= line):
                    break
        return f"{self.name} line {first}" + (f"–{last}" if last != first else "")

    def _records(self) -> Iterator[tuple[tuple[str, ...], int, int]]:
        """Every record with the first and last line it stands on, the header included."""
        csv.field_size_limit(_LONGEST_FIELD)
        with self._text() as file:
            reader = csv.reader(file, delimiter=self.delimiter, quotechar=self.quote)
            first = 1
            for fields in reader:
                yield tuple(fields), first, reader.line_num
                first = reader.line_num + 1

    def _text(self) -> TextIO:
        encoding = _PYTHON_NAMES.get(self.encoding.upper(), self.encoding)
        return self.path.open(encoding=encoding, errors="surrogateescape", newline="")

    def _must_exist(self) -> None:
        folder = self.path.parent
        if not folder.is_dir():
            raise MisconfiguredError(
                f"the source folder {folder} does not exist", hint="see [source] folder in the catalogue"
            )
        if not self.path.is_file():
            raise DataRejectedError(f"{self.name} does not exist", hint=f"looked in {folder}")
        try:
            self.path.open("rb").close()
        except OSError as error:
            raise MisconfiguredError(f"cannot read {self.name}: {error.strerror}") from error
