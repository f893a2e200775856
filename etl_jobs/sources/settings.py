"""What a catalogue may say about its source: the keys of every kind, checked without importing what reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from etl_jobs.entries import LIST, MAP, NUMBER, PART, TEXT, TEXTS, WHOLE, Entries, Kind
from etl_jobs.errors import MisconfiguredError
from etl_jobs.sources.encodings import python_name


def _nothing_more(_where: str, _options: Mapping[str, Any], _entries: Entries) -> None:
    """The types of the values say it all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceKind:
    """One `[source] kind`: keys of `[source]`, of `[source.<kind>]` and of a table's `source`."""

    top: Mapping[str, Kind] = field(default_factory=dict)
    needed: tuple[str, ...] = ()
    part: Mapping[str, Kind] = field(default_factory=dict)
    part_needed: tuple[str, ...] = ()
    table: Mapping[str, Kind] = field(default_factory=dict)
    check: Callable[[str, Mapping[str, Any], Entries], None] = _nothing_more
    check_table: Callable[[str, Mapping[str, Any], Entries], None] = _nothing_more


def _check_csv(where: str, options: Mapping[str, Any], entries: Entries) -> None:
    for key in ("delimiter", "quote", "escape"):
        if len(options.get(key, "x").encode()) != 1:
            entries.problems.append(f"{where}.{key}: expected one character, got {options[key]!r}")
    encoding = options.get("encoding", "UTF8")
    try:
        python_name(encoding if "${" not in encoding else "UTF8")
    except MisconfiguredError as error:
        entries.problems.append(error.message)
    if options.get("delimiter", ",") == options.get("quote", '"'):
        entries.problems.append(f"{where}: delimiter and quote are the same character")


def _check_paging(where: str, options: Mapping[str, Any], entries: Entries) -> None:
    """Say what is wrong with a `page` of the catalogue."""
    page = entries.known(options.get("page", {}), f"{where}.page", _PAGE)
    by = page.get("by", "none")
    entries.one_of(by, _WAYS, f"{where}.page.by")
    if by in ("cursor", "next") and "at" not in page:
        entries.problems.append(f"{where}.page: by {by!r} needs `at`: where the answer has it")
    if "size" in page and "size_parameter" not in page:
        entries.problems.append(f"{where}.page: size needs `size_parameter`: what the API calls it")


def _check_http(where: str, options: Mapping[str, Any], entries: Entries) -> None:
    _check_paging(where, options, entries)
    _check_patience(where, options, entries)


def _check_patience(where: str, options: Mapping[str, Any], entries: Entries) -> None:
    for key in ("timeout", "tries", "longest_wait", "size"):
        if options.get(key, 1) <= 0:
            entries.problems.append(f"{where}.{key}: expected a number above 0, got {options[key]!r}")
    if options.get("rate", 0) < 0:
        entries.problems.append(f"{where}.rate: expected requests per second, got {options['rate']!r}")


def _check_query(where: str, options: Mapping[str, Any], entries: Entries) -> None:
    if "query" in options and ("table" in options or "schema" in options):
        entries.problems.append(f"{where}: either `query` or `table` and `schema`")


_WAYS = ("none", "number", "offset", "cursor", "next", "link")
_PAGE = {
    "by": TEXT,
    "parameter": TEXT,
    "first": WHOLE,
    "size": WHOLE,
    "size_parameter": TEXT,
    "at": TEXT,
    "total": TEXT,
}
_PATIENCE = {"timeout": NUMBER, "tries": WHOLE, "rate": NUMBER, "longest_wait": NUMBER}

KINDS: dict[str, SourceKind] = {
    "csv": SourceKind(
        top={"folder": TEXT},
        needed=("folder",),
        part={"delimiter": TEXT, "quote": TEXT, "escape": TEXT, "null": TEXT, "encoding": TEXT},
        table={"file_column": TEXT},
        check=_check_csv,
    ),
    "postgresql": SourceKind(
        top={"url": TEXT},
        needed=("url",),
        table={"schema": TEXT, "table": TEXT, "query": TEXT, "lossy": TEXTS},
        check_table=_check_query,
    ),
    "http": SourceKind(
        top={"url": TEXT},
        needed=("url",),
        part={"headers": MAP, "records": TEXT, "page": PART, **_PATIENCE},
        table={"path": TEXT, "parameters": PART, "records": TEXT, "page": PART, "paths": MAP},
        check=_check_http,
        check_table=_check_paging,
    ),
    "jsonrpc": SourceKind(
        top={"url": TEXT},
        needed=("url",),
        part={"database": TEXT, "user": TEXT, "password": TEXT, "size": WHOLE, **_PATIENCE},
        part_needed=("database", "user", "password"),
        table={"model": TEXT, "domain": LIST, "order": TEXT, "context": PART, "size": WHOLE, "paths": MAP},
        check=_check_patience,
        check_table=_check_patience,
    ),
    "parquet": SourceKind(
        top={"folder": TEXT},
        needed=("folder",),
        table={"file_column": TEXT, "lossy": TEXTS},
    ),
    "sql": SourceKind(
        top={"url": TEXT},
        needed=("url",),
        table={"schema": TEXT, "table": TEXT, "query": TEXT, "lossy": TEXTS},
        check_table=_check_query,
    ),
    "sample": SourceKind(top={"scale": NUMBER, "seed": WHOLE}),
}
