"""Records of named or nested values as rows of CSV text."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from etl_jobs.entries import guess
from etl_jobs.errors import DataRejectedError, MisconfiguredError
from etl_jobs.sources.paths import ABSENT, Path, found, path_of
from etl_jobs.tables import Table

ENCODER = msgspec.json.Encoder(decimal_format="number")
DECODER = msgspec.json.Decoder(float_hook=Decimal)  # every digit of a number is kept


def header(columns: Iterable[str]) -> bytes:
    """The line of column names."""
    return (",".join(_quoted(name) for name in columns) + "\n").encode()


def lines(rows: Iterable[Sequence[Any]], arrays: Sequence[bool]) -> bytes:
    """The rows as CSV: empty is null, everything else is told apart from it. `arrays`: which columns are arrays.

    A row of one null is an empty line, which COPY reads as that row.
    """
    fields = [_array_field if is_array else _field for is_array in arrays]
    text = [",".join([f(v) for f, v in zip(fields, row, strict=True)]) for row in rows]
    return "\n".join([*text, ""]).encode("utf-8", "surrogatepass")


def are_arrays(columns: Mapping[str, str]) -> list[bool]:
    """Which declared types are arrays."""
    return [kind.rstrip().endswith("]") for kind in columns.values()]


def paths_of(table: Table) -> dict[str, Path]:
    """Where in a record every declared column is: at its name, or where the table's source says.

    Raises MisconfiguredError where none is declared: records have no header, what is wanted of them must be said.
    """
    if not table.columns:
        raise MisconfiguredError(
            f"table {table.name!r}: 'columns' is missing, its source has no header", hint="declare the columns to read"
        )
    named = table.source.get("paths", {})
    return {column: path_of(named[column]) if column in named else (column,) for column in table.columns}


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _field(value: Any) -> str:
    if value is None:
        return ""
    return _quoted(value if isinstance(value, str) else text_of(value))


def text_of(value: Any) -> str:
    """A value as PostgreSQL reads it; what is nested is JSON."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float() | Decimal():
            return str(value)
        case dict() | list() | tuple():
            return ENCODER.encode(value).decode()
        case bytes() | bytearray() | memoryview():
            return "\\x" + bytes(value).hex()
        case dt.datetime() | dt.date() | dt.time():
            return value.isoformat()
        case _:
            return str(value)


def _array_field(value: Any) -> str:
    return _quoted(array_of(value)) if isinstance(value, list | tuple) else _field(value)


def array_of(items: Iterable[Any]) -> str:
    """A list as PostgreSQL writes arrays."""
    return "{" + ",".join(_item(item) for item in items) + "}"


def _item(item: Any) -> str:
    if item is None:
        return "NULL"
    if isinstance(item, list | tuple):
        return array_of(item)
    return '"' + (item if isinstance(item, str) else text_of(item)).replace("\\", "\\\\").replace('"', '\\"') + '"'


def check_paths(records: Sequence[Any], paths: Mapping[str, Path], *, source: str) -> None:
    """Raise DataRejectedError for columns that no record of a page has: a typo rather than missing values."""
    for column, path in paths.items():
        if records and all(found(record, path) is ABSENT for record in records):
            meant = guess(str(path[0]), sorted({key for record in records for key in record}))
            raise DataRejectedError(
                f"{source}: column {column!r}: no record has {_dotted(path)!r}{meant}", hint=_they_have(records)
            )


def still_there(records: Sequence[Any], usual: Mapping[str, Path], *, failed: Callable[[str], str]) -> dict[str, Path]:
    """Those of the columns that every record has, too.

    Raises DataRejectedError for one that none has, although every record before had it: it has another name now.
    """
    left = dict(usual)
    for column, path in usual.items():
        absent = sum(found(record, path) is ABSENT for record in records)
        if absent and absent == len(records):
            gone = f"no record of this page has {_dotted(path)!r} any more, those before all had it"
            raise DataRejectedError(failed(f"column {column!r}: {gone}"), hint=_they_have(records))
        if absent:
            del left[column]
    return left


def _dotted(path: Path) -> str:
    return ".".join(map(str, path))


def _they_have(records: Iterable[Any]) -> str:
    names = sorted({key for record in records for key in record})
    return f"they have {', '.join(names[:40])}; `paths` in the table's source says where a column is"


def rows_of(
    records: Iterable[Any], paths: Sequence[Path], *, clean: Sequence[Callable[[Any], Any]] | None = None
) -> Iterator[list[Any]]:
    """The records' values at the paths, each made `clean`; what is absent is null."""
    for record in records:
        values = [found(record, path) for path in paths]
        if clean is not None:
            values = [c(v) for c, v in zip(clean, values, strict=True)]
        yield [None if v is ABSENT else v for v in values]
