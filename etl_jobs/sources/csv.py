"""A folder of CSV files as source: the bytes go to the server as they are."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from etl_jobs.catalogue import SourceSettings
from etl_jobs.errors import DataRejectedError, MisconfiguredError

BLOCK = 256 * 1024
_PYTHON_NAMES = {"UTF8": "utf-8-sig", "UTF-8": "utf-8-sig"}


class CsvSource:
    """One CSV file with a header line."""

    def __init__(self, folder: Path, file: str, *, settings: SourceSettings) -> None:
        self.path = folder / file
        self.name = str(self.path)
        self.delimiter = settings.delimiter
        self.quote = settings.quote
        self.null = settings.null
        self.encoding = settings.encoding

    def columns(self) -> tuple[str, ...]:
        self._must_exist()
        try:
            header = next(self._records(), ((), 1, 1))[0]
        except UnicodeDecodeError as error:
            raise DataRejectedError(f"{self.name} line 1: not {self.encoding} text: {error.reason}") from error
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
        try:
            for number, (_, first, last) in enumerate(self._records()):
                if number == record or last == line:
                    return f"{self.name} line {first}" + (f"–{last}" if last != first else "")
        except (UnicodeDecodeError, csv.Error):
            pass
        return f"{self.name} line {line}" if line is not None else f"{self.name} record {record}"

    def _records(self) -> Iterator[tuple[tuple[str, ...], int, int]]:
        """Every record with the first and last line it stands on, the header included."""
        with self._text() as file:
            reader = csv.reader(file, delimiter=self.delimiter, quotechar=self.quote)
            first = 1
            for fields in reader:
                yield tuple(fields), first, reader.line_num
                first = reader.line_num + 1

    def _text(self) -> TextIO:
        return self.path.open(encoding=_PYTHON_NAMES.get(self.encoding.upper(), self.encoding), newline="")

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
