"""Parquet files as source: DuckDB reads them and writes CSV text into a pipe, the server reads the text."""

from __future__ import annotations

import contextlib
import csv
import fcntl
import io
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from etl_jobs.errors import DataRejectedError
from etl_jobs.sources.extras import needed
from etl_jobs.sources.files import Stream, find_files, fingerprint_of, size_of
from etl_jobs.sources.parquet_types import expression, server_type
from etl_jobs.sources.types import check_types
from etl_jobs.tables import SourceSettings, Table

with needed("parquet", "Parquet"):
    import duckdb

_BLOCK = 256 * 1024
_PIPE = 1024 * 1024
_SET_PIPE_SIZE = getattr(fcntl, "F_SETPIPE_SZ", None)  # Linux
_SETTINGS = {
    "threads": 1,  # more of them only wait for each other at the pipe
    "TimeZone": "UTC",
    "autoinstall_known_extensions": False,
}


class ParquetSource:
    """One or many files with the same columns."""

    delimiter, quote, escape, null, encoding = ",", '"', '"', "", "UTF8"

    def __init__(self, settings: SourceSettings, table: Table) -> None:
        assert settings.folder is not None
        self._folder, self._table = settings.folder, table
        self._file_column: str | None = table.source.get("file_column")
        self._lossy = table.source.get("lossy", ())
        self.name = ", ".join(str(settings.folder / pattern) for pattern in table.files)

    def columns(self) -> tuple[str, ...]:
        first, *others = self._files()
        with self._connected() as session:
            types = _types(session, first)
            for path in others:
                if (found := _types(session, path)) != types:
                    raise DataRejectedError(
                        f"{path}: its columns are not those of {first.name}: {_difference(found, types)}",
                        hint="the files of a table need the same columns of the same types",
                    )
        there = {name: server_type(kind) for name, kind in types.items()}
        check_types(there, self._table.columns, table=self._table.name, source=self.name, lossy=self._lossy)
        return (*([self._file_column] if self._file_column else []), *types)

    def types(self) -> dict[str, str]:
        with self._connected() as session:
            found = {name: server_type(kind) for name, kind in _types(session, self._files()[0]).items()}
        return ({self._file_column: "text"} if self._file_column else {}) | found

    def blocks(self) -> Iterator[bytes]:
        with self._connected() as session:
            yield from _piped(session, self._select(session), name=self.name)

    def fingerprint(self) -> str:
        return fingerprint_of(self._files())

    def size(self) -> int | None:
        return size_of(self._files())

    def place(self, *, record: int | None = None, line: int | None = None) -> str:
        """The file and the row in it, found by reading again."""
        number = record if record is not None else self._record_at(line or 1)
        with self._connected() as session:
            for path in self._files():
                rows = session.execute("SELECT num_rows FROM parquet_file_metadata(?)", [str(path)]).fetchall()
                if number <= rows[0][0]:
                    return f"{path} row {number:,}"
                number -= rows[0][0]
        return f"{self.name} row {number:,}"

    def _record_at(self, line: int) -> int:
        reader = csv.reader(io.TextIOWrapper(io.BufferedReader(Stream(self.blocks())), "utf-8", newline=""))
        return next((number for number, _ in enumerate(reader) if reader.line_num >= line), 0)

    def _files(self) -> list[Path]:
        return find_files(self._folder, self._table.files)

    @contextlib.contextmanager
    def _connected(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with duckdb.connect() as session:
            for name, value in _SETTINGS.items():
                session.execute(f"SET {name} = '{value}'")
            yield session

    def _select(self, session: duckdb.DuckDBPyConnection) -> str:
        files = self._files()
        columns = [self._column(name, kind) for name, kind in _types(session, files[0]).items()]
        if self._file_column:
            cut = len(str(self._folder)) + 2
            columns.insert(0, f"substr(filename, {cut}) AS {_quoted(self._file_column)}")
        listed = ", ".join("'" + str(path).replace("'", "''") + "'" for path in files)
        return (
            f"SELECT {', '.join(columns)} FROM read_parquet([{listed}], hive_partitioning = false"
            f"{', filename = true' if self._file_column else ''})"
        )

    def _column(self, name: str, kind: str) -> str:
        declared = self._table.columns.get(name, "text")
        return f"{expression(name, kind, declared, lossy=name in self._lossy)} AS {_quoted(name)}"


def _types(session: duckdb.DuckDBPyConnection, path: Path) -> dict[str, str]:
    """The file's columns with DuckDB's types."""
    try:
        described = session.execute("DESCRIBE SELECT * FROM read_parquet(?, hive_partitioning = false)", [str(path)])
    except duckdb.Error as error:
        raise DataRejectedError(f"{path}: {_first_line(error)}") from error
    return {name: kind for name, kind, *_ in described.fetchall()}


def _piped(session: duckdb.DuckDBPyConnection, select: str, *, name: str) -> Iterator[bytes]:
    """The query's rows as CSV, written by a thread of DuckDB's while they are read here."""
    reading, writing = os.pipe()
    if _SET_PIPE_SIZE is not None:
        with contextlib.suppress(OSError):  # more than this user may have
            fcntl.fcntl(reading, _SET_PIPE_SIZE, _PIPE)
    failed: list[duckdb.Error] = []

    def write() -> None:
        try:
            session.execute(f"COPY ({select}) TO '/dev/fd/{writing}' (FORMAT csv, HEADER true, USE_TMP_FILE false)")
        except duckdb.Error as error:
            failed.append(error)
        finally:
            os.close(writing)

    done = 0
    thread = threading.Thread(target=write)
    thread.start()
    try:
        with open(reading, "rb", buffering=0) as file:  # noqa: PTH123 - a descriptor
            while block := file.read(_BLOCK):
                done += len(block)
                yield block
    finally:
        thread.join()
    if failed:
        said = f"{name} cannot be read to its end: {_first_line(failed[0])} (after {done:,} bytes of text)"
        raise DataRejectedError(said) from failed[0]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def _difference(found: dict[str, str], expected: dict[str, str]) -> str:
    said = [f"no column {c!r}" for c in expected if c not in found]
    said += [f"unexpected column {c!r}" for c in found if c not in expected]
    said += [f"{c!r} is {found[c]}, not {k}" for c, k in expected.items() if c in found and found[c] != k]
    return "; ".join(said) or f"another order: {', '.join(found)}"
