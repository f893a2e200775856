"""Parquet files as source: in PostgreSQL's binary format where the types are made for it, else as CSV text."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from etl_jobs.errors import DataRejectedError, NotBinaryError
from etl_jobs.sources.extras import needed
from etl_jobs.sources.files import Stream, find_files, fingerprint_of, size_of
from etl_jobs.sources.records import header
from etl_jobs.sources.types import check_types
from etl_jobs.tables import SourceSettings, Table

# The library's own allocators keep more of what was freed: 30 MiB here, and more the longer a file is.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")

with needed("parquet", "Parquet"):
    import pyarrow as pa
    from pgpq import ArrowToPostgresBinaryEncoder
    from pyarrow import parquet

    from etl_jobs.sources.arrow_text import as_text, rows
    from etl_jobs.sources.arrow_types import INTERVAL, converted, sent_as, server_type

_ROWS = 4096  # at once: few enough that reading, encoding and the server's work overlap in the socket
_BYTES = 4 * 1024 * 1024  # at once, as far as a file says how large its rows are
_BUFFER = 64 * 1024  # of every column; without one, a row group's columns are read whole


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
        types = _server_types(first)
        for path in others:
            if (found := _server_types(path)) != types:
                raise DataRejectedError(
                    f"{path}: its columns are not those of {first.name}: {_difference(found, types)}",
                    hint="the files of a table need the same columns of the same types",
                )
        check_types(dict(types), self._table.columns, table=self._table.name, source=self.name, lossy=self._lossy)
        return (*([self._file_column] if self._file_column else []), *(name for name, _ in types))

    def types(self) -> dict[str, str]:
        return ({self._file_column: "text"} if self._file_column else {}) | dict(_server_types(self._files()[0]))

    def blocks(self) -> Iterator[bytes]:
        yield header(field.name for field in self._fields(self._files()[0]))
        for path in self._files():
            declared = [(f.name, self._table.columns.get(f.name, "text")) for f in self._fields(path)]
            for columns in self._batches(path):
                yield rows(
                    [
                        as_text(column, kind, name=name, lossy=name in self._lossy)
                        for column, (name, kind) in zip(columns, declared, strict=True)
                    ]
                )

    def binary(self, kinds: Sequence[str]) -> Iterator[bytes] | None:
        sent = [self._sent_as(path, kinds) for path in self._files()]
        known = [[kind for kind in of_file if kind is not None] for of_file in sent]
        return self._encoded(known[0]) if known == sent else None

    def _sent_as(self, path: Path, kinds: Sequence[str]) -> list[pa.DataType | None]:
        return [sent_as(field.type, kind) for field, kind in zip(self._fields(path), kinds, strict=True)]

    def _encoded(self, sent: Sequence[pa.DataType]) -> Iterator[bytes]:
        schema = pa.schema([pa.field(str(number), kind) for number, kind in enumerate(sent)])
        lossy = [field.name in self._lossy for field in self._fields(self._files()[0])]
        encoder = ArrowToPostgresBinaryEncoder(schema)
        yield encoder.write_header()
        for path in self._files():
            for columns in self._batches(path):
                try:
                    ready = [converted(c, k, lossy=may) for c, k, may in zip(columns, sent, lossy, strict=True)]
                except pa.ArrowInvalid as error:
                    raise NotBinaryError from error
                yield encoder.write_batch(pa.RecordBatch.from_arrays(ready, schema=schema))
        yield encoder.finish()

    def fingerprint(self) -> str:
        return fingerprint_of(self._files())

    def size(self) -> int | None:
        return size_of(self._files())

    def place(self, *, record: int | None = None, line: int | None = None) -> str:
        """The file and the row in it, found by reading again."""
        number = record if record is not None else self._record_at(line or 1)
        for path in self._files():
            with _opened(path) as file:
                there = file.metadata.num_rows
            if number <= there:
                return f"{path} row {number:,}"
            number -= there
        return f"{self.name} row {number:,}"

    def _record_at(self, line: int) -> int:
        reader = csv.reader(io.TextIOWrapper(io.BufferedReader(Stream(self.blocks())), "utf-8", newline=""))
        return next((number for number, _ in enumerate(reader) if reader.line_num >= line), 0)

    def _files(self) -> list[Path]:
        return find_files(self._folder, self._table.files)

    def _fields(self, path: Path) -> list[pa.Field]:
        named = [pa.field(self._file_column, pa.string())] if self._file_column else []
        return [*named, *_fields(path)]

    def _batches(self, path: Path) -> Iterator[list[pa.Array]]:
        """The file's columns, some rows at a time; raises DataRejectedError where it is broken."""
        done = 0
        with _opened(path) as file:
            fields, batches = _fields_of(file), _batches_of(file)
            while True:
                try:
                    batch = next(batches, None)
                except (pa.ArrowException, OSError) as error:
                    said = f"{path} cannot be read to its end: {_first_line(error)} (after {done:,} rows)"
                    raise DataRejectedError(said) from error
                if batch is None:
                    return
                done += batch.num_rows
                named = [pa.repeat(str(path.relative_to(self._folder)), batch.num_rows)] if self._file_column else []
                yield named + [_meant(c, field.type) for c, field in zip(batch.columns, fields, strict=True)]


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[parquet.ParquetFile]:
    try:
        file = parquet.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False)
    except (pa.ArrowException, OSError) as error:
        raise DataRejectedError(f"{path}: {_first_line(error)}") from error
    with file:
        yield file


def _batches_of(file: parquet.ParquetFile) -> Iterator[pa.RecordBatch]:
    """Row group by row group: what one needed is given back before the next begins."""
    rows = _rows_at_once(file.metadata)
    for number in range(file.num_row_groups):
        yield from file.iter_batches(rows, row_groups=[number], use_threads=False)


def _rows_at_once(seen: parquet.FileMetaData) -> int:
    groups = (seen.row_group(number) for number in range(seen.num_row_groups))
    largest = max((group.total_byte_size // (group.num_rows or 1) for group in groups), default=0)
    return max(1, min(_ROWS, _BYTES // (largest or 1)))


def _fields(path: Path) -> list[pa.Field]:
    with _opened(path) as file:
        return _fields_of(file)


def _fields_of(file: parquet.ParquetFile) -> list[pa.Field]:
    """The file's columns; an INTERVAL, which Arrow takes for any twelve bytes, as what it is."""
    leaves = {file.schema.column(n).path: file.schema.column(n) for n in range(len(file.schema))}
    return [
        field.with_type(INTERVAL) if getattr(leaves.get(field.name), "converted_type", "") == "INTERVAL" else field
        for field in file.schema_arrow
    ]


def _meant(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Twelve bytes as the interval that they are: months, days, milliseconds (Parquet's "Logical Types", INTERVAL)."""
    if kind != INTERVAL:
        return column
    parts = (None if value is None else struct.unpack("<III", value) for value in column.to_pylist())
    return pa.array([None if part is None else (*part[:2], part[2] * 1_000_000) for part in parts], INTERVAL)


def _server_types(path: Path) -> list[tuple[str, str]]:
    """The file's columns with PostgreSQL's types."""
    return [(field.name, server_type(field.type)) for field in _fields(path)]


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def _difference(found: Sequence[tuple[str, str]], expected: Sequence[tuple[str, str]]) -> str:
    there, wanted = dict(found), dict(expected)
    said = [f"no column {c!r}" for c in wanted if c not in there]
    said += [f"unexpected column {c!r}" for c in there if c not in wanted]
    said += [f"{c!r} is {there[c]}, not {kind}" for c, kind in wanted.items() if c in there and there[c] != kind]
    return "; ".join(said) or f"another order: {', '.join(there)}"
