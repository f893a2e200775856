"""DuckDB's types in PostgreSQL's words, and how to write values so that PostgreSQL reads them."""

from __future__ import annotations

import re

from etl_jobs.sources.types import parse

_SERVER = {
    "TINYINT": "smallint", "UTINYINT": "smallint", "SMALLINT": "smallint", "USMALLINT": "integer",
    "INTEGER": "integer", "UINTEGER": "bigint", "BIGINT": "bigint", "UBIGINT": "numeric(20)",
    "HUGEINT": "numeric(39)", "UHUGEINT": "numeric(39)", "FLOAT": "real", "DOUBLE": "double precision",
    "DATE": "date", "BOOLEAN": "boolean", "UUID": "uuid", "BLOB": "bytea",
    "TIME": "time without time zone", "TIME WITH TIME ZONE": "time with time zone", "INTERVAL": "interval",
    "TIMESTAMP": "timestamp without time zone", "TIMESTAMP_S": "timestamp without time zone",
    "TIMESTAMP_MS": "timestamp without time zone", "TIMESTAMP_NS": "timestamp without time zone",
    "TIMESTAMP WITH TIME ZONE": "timestamp with time zone",
}  # fmt: skip
_DECIMAL = re.compile(r"DECIMAL\((\d+),\s*(\d+)\)")
_NESTED = ("STRUCT(", "MAP(", "UNION(", "JSON", "VARIANT")
_WHOLE = {"smallint", "integer", "bigint"}


def server_type(kind: str) -> str:
    """PostgreSQL's word for a type of DuckDB: `jsonb` for what is nested, `text` for what has none."""
    if _is_list(kind) or kind.startswith(_NESTED):
        return "jsonb"
    if match := _DECIMAL.fullmatch(kind):
        return f"numeric({match[1]},{match[2]})"
    return _SERVER.get(kind, "text")


def expression(name: str, kind: str, declared: str, *, lossy: bool = False) -> str:
    """The column as DuckDB is to write it for a column of the declared type."""
    column = '"' + name.replace('"', '""') + '"'
    if _is_list(kind) and declared.rstrip().endswith("]"):
        return _array(column, kind)
    if _is_list(kind) or kind.startswith(_NESTED):
        return f"to_json({column})"
    if kind == "BLOB":
        return f"'\\x' || hex({column})"
    if kind == "TIMESTAMP_NS":
        return _microseconds(column, name, lossy=lossy)
    if kind in ("FLOAT", "DOUBLE") and parse(declared).name in _WHOLE:
        return f"regexp_replace({column}::VARCHAR, '\\.0$', '')"  # 1.0 is whole; 1.5 is refused by the server
    return column


def _microseconds(column: str, name: str, *, lossy: bool) -> str:
    """PostgreSQL keeps microseconds: what is finer is an error where it is not said to be lossy."""
    if lossy:
        return f"{column}::TIMESTAMP"
    said = f"column {name!r} has nanoseconds, which would be lost; allow it by source = {{ lossy = [{name!r}] }}"
    quoted = said.replace("'", "''")
    return f"CASE WHEN epoch_ns({column}) % 1000 = 0 THEN {column}::TIMESTAMP ELSE error('{quoted}')::TIMESTAMP END"


def _is_list(kind: str) -> bool:
    return kind.endswith("]")


def _array(value: str, kind: str, depth: int = 0) -> str:
    """A list as PostgreSQL writes arrays."""
    inner, item = kind[: kind.rindex("[")], f"e{depth}"
    if _is_list(inner):
        text = _array(item, inner, depth + 1)
    else:
        text = f"""'"' || replace(replace({item}::VARCHAR, '\\', '\\\\'), '"', '\\"') || '"'"""
    listed = f"list_transform({value}, lambda {item}: coalesce({text}, 'NULL'))"
    return f"CASE WHEN {value} IS NOT NULL THEN '{{' || array_to_string({listed}, ',') || '}}' END"
