"""Arrow's types in PostgreSQL's words, and which of them are, in the binary format, what a column's type reads."""

from __future__ import annotations

import pyarrow as pa
from pyarrow import types

from etl_jobs.sources.types import parse

INTERVAL = pa.month_day_nano_interval()
WHOLE = {"smallint": pa.int16(), "integer": pa.int32(), "bigint": pa.int64()}
_SERVER = {
    pa.int8(): "smallint", pa.uint8(): "smallint", pa.int16(): "smallint", pa.uint16(): "integer",
    pa.int32(): "integer", pa.uint32(): "bigint", pa.int64(): "bigint", pa.uint64(): "numeric(20)",
    pa.float16(): "real", pa.float32(): "real", pa.float64(): "double precision", pa.bool_(): "boolean",
    pa.date32(): "date", pa.date64(): "date", INTERVAL: "interval",
}  # fmt: skip
_FRACTIONS = {pa.float32(), pa.float64()}
# What a type's receive function reads (PostgreSQL's source, `*_recv`), and which Arrow types can become that.
_RECEIVED = {
    "real": (pa.float32(), {pa.float16(), pa.float32()}),
    "double precision": (pa.float64(), {pa.float64(), pa.int8(), pa.uint8(), pa.int16(), pa.uint16(), pa.int32()}),
    "boolean": (pa.bool_(), {pa.bool_()}),
    "date": (pa.date32(), {pa.date32(), pa.date64()}),
}
_LISTS = (
    types.is_list, types.is_large_list, types.is_fixed_size_list, types.is_list_view, types.is_large_list_view,
)  # fmt: skip
_CHARACTERS = (types.is_string, types.is_large_string, types.is_string_view)
_BYTES = (types.is_binary, types.is_large_binary, types.is_binary_view, types.is_fixed_size_binary)
_TEXTS = {"text", "character varying", "character"}
# Arrays say the type of their elements, and pgpq says another one than these.
_NOT_IN_ARRAYS = {"character varying", "character", "timestamp with time zone", "uuid"}
_MICROSECONDS = {
    "time without time zone": pa.time64("us"),
    "timestamp without time zone": pa.timestamp("us"),
    "timestamp with time zone": pa.timestamp("us", "UTC"),
}


def server_type(kind: pa.DataType) -> str:
    """PostgreSQL's word for a type: `jsonb` for what is nested, `text` for what has none."""
    if isinstance(kind, pa.UuidType):
        return "uuid"
    if isinstance(kind, pa.JsonType) or types.is_nested(kind):
        return "jsonb"
    kind = stored(kind)
    if types.is_decimal(kind):
        return f"numeric({kind.precision},{kind.scale})"
    if types.is_timestamp(kind):
        return f"timestamp {'without' if kind.tz is None else 'with'} time zone"
    if types.is_time(kind):
        return "time without time zone"
    if is_bytes(kind):
        return "bytea"
    return "interval" if types.is_duration(kind) else _SERVER.get(kind, "text")


def sent_as(kind: pa.DataType, declared: str) -> pa.DataType | None:
    """The type whose binary form a column of the `declared` one reads as it is, and that holds such values.

    A single value may not fit (`converted` tells). None where there is no such type: the values go as text. Binary
    data of another type is misread without an error.
    """
    wanted = parse(declared)
    if wanted.array:
        return _list(kind, wanted.name)
    if isinstance(kind, pa.UuidType):
        return pa.binary(16) if wanted.name == "uuid" else None
    kind = stored(kind)
    if wanted.name in _RECEIVED:
        received, allowed = _RECEIVED[wanted.name]
        return received if kind in allowed else None
    if wanted.name in _MICROSECONDS:
        return _MICROSECONDS[wanted.name] if server_type(kind) == wanted.name else None
    if wanted.name in WHOLE or wanted.name == "numeric":
        return _number(kind, wanted.name)
    if wanted.name in _TEXTS:
        return pa.string() if is_text(kind) else None
    return pa.binary() if wanted.name == "bytea" and is_bytes(kind) else None


def _list(kind: pa.DataType, declared: str) -> pa.DataType | None:
    if not is_list(kind) or types.is_nested(kind.value_type) or declared in _NOT_IN_ARRAYS:
        return None
    inner = sent_as(kind.value_type, declared)
    return None if inner is None else pa.list_(inner)


def _number(kind: pa.DataType, name: str) -> pa.DataType | None:
    if types.is_decimal(kind):
        fits = name == "numeric" and kind.bit_width <= 128 and kind.scale >= 0
        return pa.decimal128(kind.precision, kind.scale) if fits else None
    if types.is_integer(kind):
        return WHOLE.get(name, pa.decimal128(20, 0))
    return WHOLE.get(name) if kind in _FRACTIONS else None


def converted(column: pa.Array, to: pa.DataType, *, lossy: bool = False) -> pa.Array:
    """The column as another type; raises pyarrow.ArrowInvalid where a value does not fit.

    Fractions of a microsecond may get lost where it is `lossy`.
    """
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    return column if column.type == to else column.cast(to, safe=not (lossy and types.is_temporal(to)))


def in_microseconds(kind: pa.DataType) -> pa.DataType:
    """The type with microseconds in place of nanoseconds, also within lists and structs."""
    if types.is_timestamp(kind) and kind.unit == "ns":
        return pa.timestamp("us", kind.tz)
    if types.is_time64(kind):
        return pa.time64("us")
    if types.is_struct(kind):
        return pa.struct([field.with_type(in_microseconds(field.type)) for field in kind])
    if types.is_map(kind):
        return pa.map_(in_microseconds(kind.key_type), in_microseconds(kind.item_type))
    if is_list(kind) and (inner := in_microseconds(kind.value_type)) != kind.value_type:
        return pa.large_list(inner)
    return kind


def stored(kind: pa.DataType) -> pa.DataType:
    """The type of the values themselves, without a dictionary or a meaning that is put on them."""
    if isinstance(kind, pa.BaseExtensionType):
        return stored(kind.storage_type)
    return stored(kind.value_type) if types.is_dictionary(kind) else kind


def is_list(kind: pa.DataType) -> bool:
    return any(check(kind) for check in _LISTS)


def is_text(kind: pa.DataType) -> bool:
    return any(check(kind) for check in _CHARACTERS)


def is_bytes(kind: pa.DataType) -> bool:
    return any(check(kind) for check in _BYTES)
