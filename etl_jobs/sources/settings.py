"""What a catalogue may say about its source: the keys of every kind, checked without importing what reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from etl_jobs.entries import NUMBER, TEXT, TEXTS, WHOLE, Entries, Kind


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
    if options.get("delimiter", ",") == options.get("quote", '"'):
        entries.problems.append(f"{where}: delimiter and quote are the same character")


def _check_query(where: str, options: Mapping[str, Any], entries: Entries) -> None:
    if "query" in options and ("table" in options or "schema" in options):
        entries.problems.append(f"{where}: either `query` or `table` and `schema`")


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
    "sample": SourceKind(top={"scale": NUMBER, "seed": WHOLE}),
}
