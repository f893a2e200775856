"""Columns of Arrow as CSV text that PostgreSQL reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
from pyarrow import csv, types

from etl_jobs.errors import DataRejectedError
from etl_jobs.sources.arrow_types import INTERVAL, WHOLE, converted, in_microseconds, is_bytes, is_list, stored
from etl_jobs.sources.records import array_of, text_of
from etl_jobs.sources.types import parse

_OPTIONS = csv.WriteOptions(include_header=False, quoting_style="needed")  # all strings are quoted, so no null is empty
_WRITTEN = {pa.float16(): pa.float32(), pa.string_view(): pa.large_string()}  # what the CSV writer does not know


def rows(columns: Sequence[pa.Array]) -> bytes:
    """The rows of columns that `as_text` made."""
    sink = pa.BufferOutputStream()
    csv.write_csv(pa.RecordBatch.from_arrays(columns, names=[str(n) for n in range(len(columns))]), sink, _OPTIONS)
    return bytes(sink.getvalue())


def as_text(column: pa.Array, declared: str, *, name: str, lossy: bool = False, secret: bool = False) -> pa.Array:
    """The column as one that is written as PostgreSQL reads the `declared` type.

    Raises DataRejectedError for nanoseconds, if the column is not `lossy`, and for what text cannot say; the value is
    not told where it is `secret`.
    """
    try:
        return _text(column, declared, lossy=lossy)
    except (ValueError, OverflowError, KeyError) as error:
        said = "has a value that cannot be written as text" + ("" if secret else f": {error}")
        if isinstance(error, pa.ArrowInvalid) and "would lose data" in str(error):
            said = f"has nanoseconds, which would be lost; allow it by source = {{ lossy = [{name!r}] }}"
        raise DataRejectedError(f"column {name!r} {said}") from error


def _text(column: pa.Array, declared: str, *, lossy: bool) -> pa.Array:
    kind = column.type
    if types.is_nested(kind):
        column = column.cast(in_microseconds(kind), safe=not lossy)
        return _each(column, array_of if is_list(kind) and declared.rstrip().endswith("]") else text_of)
    if isinstance(kind, pa.UuidType):
        return _each(column, text_of)
    column = converted(column, stored(kind))
    kind = column.type
    if is_bytes(kind):
        return _each(column, text_of)
    if kind == INTERVAL:
        return _each(column, _interval)
    if types.is_duration(kind):
        return _each(converted(column, pa.duration("us"), lossy=lossy).cast(pa.int64()), "{} microseconds".format)
    if types.is_timestamp(kind):
        zone = None if kind.tz is None else "UTC"  # to write any other one, Arrow wants the system's time zones
        return converted(column, pa.timestamp("us", zone), lossy=lossy)
    if types.is_time(kind):
        return converted(column, pa.time64("us"), lossy=lossy)
    if types.is_floating(kind) and parse(declared).name in WHOLE:
        return _whole(column)
    written = _WRITTEN.get(kind)
    return column if written is None else column.cast(written)


def _whole(column: pa.Array) -> pa.Array:
    """1.0 is whole; 1.5 is refused by the server, which then says where it is."""
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid:
        return column


def _interval(value: tuple[int, int, int]) -> str:
    months, days, nanoseconds = value
    return f"{months} months {days} days {nanoseconds // 1000} microseconds"


def _each(column: pa.Array, write: Callable[[Any], str]) -> pa.Array:
    """Value by value, in Python: what the CSV writer cannot do by itself."""
    values = column.to_pylist(maps_as_pydicts="strict")
    return pa.array([None if value is None else write(value) for value in values], pa.string())
