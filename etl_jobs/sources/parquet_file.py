"""One Parquet file: what its end says of it, and its columns, some rows at a time."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from etl_jobs.errors import DataRejectedError, MisconfiguredError, UnavailableError
from etl_jobs.names import clip
from etl_jobs.sources.arrow_types import INTERVAL
from etl_jobs.sources.files import fingerprint_of

_ROWS = 4096  # at once: few enough that reading, encoding and the server's work overlap in the socket
_BYTES = 4 * 1024 * 1024  # at once, as far as a file says how large its rows are
_BUFFER = 64 * 1024  # of every column; without one, a row group's columns are read whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Footer:
    """What is kept of a file's end. `stamp` is the file's fingerprint, `at_once` how many rows are read together."""

    stamp: str
    fields: tuple[pa.Field, ...]
    rows: int
    at_once: int


def footer_of(path: Path, *, lossy: Collection[str] = ()) -> Footer:
    """Raises DataRejectedError for what is no Parquet file, or not a whole one.

    `lossy` are the columns that may lose nanoseconds, by their names in PostgreSQL.
    """
    with _opened(path, lossy=lossy) as file:
        return _footer(path, file)


def batches(path: Path, footer: Footer, *, lossy: Collection[str] = ()) -> Iterator[list[pa.Array]]:
    """The file's columns, some rows at a time, as `footer_of` has found them.

    Raises DataRejectedError where it is broken, UnavailableError where it is not the file of this footer any more.
    """
    done = 0
    with _opened(path, lossy=lossy) as file:
        if _footer(path, file) != footer:
            raise UnavailableError(f"{path} was changed while it was read", hint="try again")
        read = _read(file, footer)
        try:
            while (batch := next(read, None)) is not None:
                done += batch.num_rows
                yield [_meant(c, field.type) for c, field in zip(batch.columns, footer.fields, strict=True)]
                del batch  # before the next one is read
        except (pa.ArrowException, OSError) as error:
            said = f"{path} cannot be read to its end: {_first_line(error)} (after {done:,} rows)"
            raise DataRejectedError(said) from error


@contextlib.contextmanager
def _opened(path: Path, *, lossy: Collection[str]) -> Iterator[parquet.ParquetFile]:
    """The file; its INT96 columns in microseconds where all may lose something: as nanoseconds, years far away wrap."""
    with _open(path) as file:
        old = [f"{clip(leaf.path)}." for leaf in _leaves(file) if leaf.physical_type == "INT96"]
        if not old or not all(path.startswith(tuple(f"{name}." for name in lossy)) for path in old):
            yield file
            return
    with _open(path, coerce_int96_timestamp_unit="us") as file:
        yield file


def _open(path: Path, **options: str) -> parquet.ParquetFile:
    try:
        return parquet.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False, **options)
    except UnicodeEncodeError as error:
        raise MisconfiguredError(f"{path}: its name is no text that pyarrow can open", hint="rename it") from error
    except (pa.ArrowException, OSError) as error:
        raise DataRejectedError(f"{path}: {_first_line(error)}") from error


def _footer(path: Path, file: parquet.ParquetFile) -> Footer:
    return Footer(
        stamp=fingerprint_of([path]),
        fields=tuple(_fields(file)),
        rows=file.metadata.num_rows,
        at_once=_rows_at_once(file.metadata),
    )


def _fields(file: parquet.ParquetFile) -> Iterator[pa.Field]:
    """The file's columns; an INTERVAL, which Arrow takes for any twelve bytes, as what it is."""
    intervals = {leaf.path for leaf in _leaves(file) if leaf.converted_type == "INTERVAL"}
    for field in file.schema_arrow:
        yield field.with_type(INTERVAL) if field.name in intervals else field


def _leaves(file: parquet.ParquetFile) -> Iterator[parquet.ColumnSchema]:
    return (file.schema.column(number) for number in range(len(file.schema)))


def _rows_at_once(seen: parquet.FileMetaData) -> int:
    groups = (seen.row_group(number) for number in range(seen.num_row_groups))
    largest = max((group.total_byte_size // (group.num_rows or 1) for group in groups), default=0)
    return max(1, min(_ROWS, _BYTES // (largest or 1)))


def _read(file: parquet.ParquetFile, footer: Footer) -> Iterator[pa.RecordBatch]:
    """Row group by row group: what one needed is given back before the next begins."""
    for number in range(file.num_row_groups):
        yield from file.iter_batches(footer.at_once, row_groups=[number], use_threads=False)


def _meant(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Twelve bytes as the interval that they are: months, days, milliseconds (Parquet's "Logical Types", INTERVAL)."""
    if kind != INTERVAL:
        return column
    parts = (None if value is None else struct.unpack("<III", value) for value in column.to_pylist())
    return pa.array([None if part is None else (*part[:2], part[2] * 1_000_000) for part in parts], INTERVAL)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
