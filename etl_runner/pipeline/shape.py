"""Every key known, every value of its kind: the file's data against the structs, all problems at once."""

from __future__ import annotations

import types
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import FieldInfo, fields

from etl_runner.pipeline.file import Changes, File, JobTable, Limits, PhaseTable, PipelineTable
from etl_runner.pipeline.positions import Path
from etl_runner.pipeline.source import Source

STAND_IN = "?"  # for a required value that is missing or wrong: the rest can still be checked

_BAD = object()
_TABLES: dict[str, type[Struct]] = {
    "[defaults] or a job": Limits,
    "[pipeline]": PipelineTable,
    "a job": JobTable,
    "[phases.NAME]": PhaseTable,
    "the file itself": File,
}


def read_shape(source: Source) -> File:
    """The file as structs. Problems are added to `source`; what is wrong is left out of the result."""
    profiles = source.data.pop("profiles", {})
    cleaned = _Shape(source).value(File, source.data, ())
    source.data["profiles"] = profiles
    return msgspec.convert(cleaned, File)


def check_profiles(source: Source) -> None:
    """Add the problems of all profiles, merged or not."""
    profiles = source.data.get("profiles", {})
    if not isinstance(profiles, dict):
        source.add(("profiles",), f"expected a table, got {_shown(profiles)}")
        return
    for name, changes in profiles.items():
        _Shape(source).value(Changes, changes, ("profiles", name))


class _Shape:
    def __init__(self, source: Source) -> None:
        self.source = source

    def value(self, kind: Any, value: Any, path: Path, expected: str = "") -> Any:
        """The value with everything wrong left out, or _BAD."""
        kind, expected = _bare(kind, expected)
        match value:
            case dict() if table := _table_kind(kind):
                return self._table(table, value, path)
            case list() if items := _list_kind(kind):
                return self._list(items, value, path)
            case _:
                return self._leaf(kind, value, path, expected)

    def _table(self, kind: Any, value: dict[str, Any], path: Path) -> Any:
        if get_origin(kind) is dict:
            item = get_args(kind)[1]
            return self._kept({key: self.value(item, inner, (*path, key)) for key, inner in value.items()})
        known = _fields(kind)
        cleaned = self._kept(
            {key: self.value(known[key].type, inner, (*path, key)) for key, inner in value.items() if key in known}
        )
        meant = {self._unknown_key(kind, key, path) for key in value if key not in known}
        for name, field in known.items():
            if field.required and name not in cleaned:
                cleaned[name] = STAND_IN
                if name not in value and name not in meant:
                    self.source.add(path, f"{name!r} is missing", on_key=True)
        return cleaned

    def _list(self, item: Any, value: list[Any], path: Path) -> Any:
        cleaned = [self.value(item, inner, (*path, index)) for index, inner in enumerate(value)]
        return [inner for inner in cleaned if inner is not _BAD]

    def _leaf(self, kind: Any, value: Any, path: Path, expected: str) -> Any:
        try:
            msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            said = f"expected {expected}, got {_shown(value)}" if expected else str(error).lower()
            self.source.add(path, said, _cure(kind, value, path))
            return _BAD
        return value

    def _kept(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in values.items() if value is not _BAD}

    def _unknown_key(self, kind: type[Struct], key: str, path: Path) -> str:
        """Add the problem; returns the known key that was probably meant, or nothing."""
        from etl_runner.pipeline.words import key_meant, nearest

        names = list(_fields(kind))
        elsewhere = _belongs(key, kind)
        meant = key_meant(key, names) or ("" if elsewhere else nearest(key, names))
        cure = f"did you mean {meant!r}?" if meant else elsewhere
        if not cure and len(names) <= 10:
            cure = f"known keys: {', '.join(names)}"
        self.source.add((*path, key), f"unknown key {key!r}", cure, on_key=True, named=path)
        return meant


@cache
def _fields(kind: type[Struct]) -> dict[str, FieldInfo]:
    return {field.name: field for field in fields(kind)}


def _belongs(key: str, kind: type[Struct]) -> str:
    """Where a key belongs that is known elsewhere."""
    for where, table in _TABLES.items():
        if table is not kind and key in _fields(table):
            return f"{key!r} belongs in {where}"
    return ""


def _bare(kind: Any, expected: str) -> tuple[Any, str]:
    """The kind without its annotations and without None, and what it says it expects."""
    while True:
        if get_origin(kind) is Annotated:
            extras = (meta.extra for meta in kind.__metadata__ if isinstance(meta, Meta))
            expected = next((extra["expected"] for extra in extras if extra), expected)
            inner = kind.__origin__
            if _is_leaf(inner):
                return kind, expected
            kind = inner
            continue
        members = [member for member in _members(kind) if member is not types.NoneType]
        if len(members) != 1 or members[0] is kind:
            return kind, expected or _default_expectation(kind)
        kind = members[0]


def _is_leaf(kind: Any) -> bool:
    return get_origin(kind) is None


def _members(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)


def _table_kind(kind: Any) -> Any:
    for member in _members(kind):
        bare = member.__origin__ if get_origin(member) is Annotated else member
        if get_origin(bare) is dict or (isinstance(bare, type) and issubclass(bare, Struct)):
            return bare
    return None


def _list_kind(kind: Any) -> Any:
    for member in _members(kind):
        bare = member.__origin__ if get_origin(member) is Annotated else member
        if get_origin(bare) is list:
            return get_args(bare)[0]
    return None


def _default_expectation(kind: Any) -> str:
    return "a table" if _table_kind(kind) is not None else ""


def _cure(kind: Any, value: Any, path: Path) -> str:
    from enum import EnumType

    if isinstance(value, str):
        from etl_runner.pipeline.words import did_you_mean

        bare = kind.__origin__ if get_origin(kind) is Annotated else kind
        if isinstance(bare, EnumType):
            members: list[Any] = list(bare.__members__.values())
            return did_you_mean(value, [str(member.value) for member in members])
        if (bare is int and value.isdigit()) or (bare is bool and value in ("true", "false")):
            return "without the quotes"
    if isinstance(value, list) and path and _table_kind(kind) is not None and _list_kind(kind) is None:
        return f"write one table for each: [{path[-1]}.NAME]"
    return ""


def _shown(value: Any) -> str:
    """A value as the file's writer knows it."""
    match value:
        case bool():
            return "true" if value else "false"
        case dict():
            return "a table"
        case list():
            return "a list"
        case str() if len(value) > 60:
            return repr(f"{value[:57]}…")
        case _:
            return repr(value) if isinstance(value, str | int | float) else str(value)
