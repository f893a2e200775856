"""What is to be loaded: every table of a catalogue, with its source, key, checks and strategy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from etl_jobs.entries import guess
from etl_jobs.errors import MisconfiguredError
from etl_jobs.names import clip, derived

HISTORY = {"valid_from": "timestamptz", "valid_to": "timestamptz", "is_current": "boolean"}  # columns of an scd2 target


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """`columns` of the table are found in `to` of the table called `table`; rows with a null in them are free.

    `orphans` says what an unknown parent means: "fail" rejects the load, "report" counts.
    """

    columns: tuple[str, ...]
    table: str
    to: tuple[str, ...]
    orphans: str = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One of a table's `checks`: exactly one of its settings says what is checked. docs/jobs.md has them.

    `written` is its `sql` with the variables' names, for messages.
    """

    column: str = ""
    name: str = ""
    severity: str = "fail"
    not_null: bool = False
    unique: tuple[str, ...] = ()
    accepted: tuple[str | int | float, ...] = ()
    min: str | int | float | None = None
    max: str | int | float | None = None
    fresh: str = ""
    row_change: float | None = None
    sql: str = ""
    written: str = ""

    @property
    def title(self) -> str:
        """What an SQL check is called."""
        return self.name or self.written or self.sql


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One row of the catalogue; `id` is its index. docs/jobs.md says what each setting means.

    `interval` is the one that a backfill loads, empty in every other load. `written_where` is `where` with the
    variables' names, for messages.
    """

    id: int
    name: str
    files: tuple[str, ...]
    columns: dict[str, str]
    source: Mapping[str, Any] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    duplicates: str = "fail"
    references: tuple[Reference, ...] = ()
    strategy: str = "snapshot"
    where: str = ""
    written_where: str = ""
    watermark: str = ""
    lag: str | int | float = 0
    fresh_for: str = ""
    skip_unchanged: bool = False
    min_rows: int = 0
    max_delete: float = 0.5
    secret: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    reject_limit: int = 0
    new_columns: str = "fail"
    comment: str = ""
    interval: str = ""

    @property
    def file(self) -> str:
        """The files or patterns as one text."""
        return ", ".join(self.files)

    @property
    def identity(self) -> tuple[str, ...]:
        """The columns that name a row, empty where rows may repeat."""
        return self.key if self.duplicates == "fail" else ()

    @property
    def grows(self) -> bool:
        """Only what is new since the watermark is read."""
        return self.strategy in {"incremental", "append"} and bool(self.watermark)

    @property
    def goes_on(self) -> bool:
        """This load begins at the watermark and moves it. One of an interval does neither: it is of another time."""
        return self.grows and not self.interval

    @property
    def batched(self) -> bool:
        """It only grows, and nothing but what was added before says what is there."""
        return self.strategy == "append" and not self.identity

    @property
    def file_column(self) -> str:
        """The column that says of which file a row is; empty where there is none."""
        return clip(str(self.source.get("file_column", "")))

    @property
    def held_columns(self) -> dict[str, str]:
        """The target's columns with their types: the source's, and for a history when each row held."""
        return self.columns | HISTORY if self.strategy == "scd2" else self.columns

    @property
    def rejects_name(self) -> str:
        """The table beside the target that keeps the rows that were not loaded."""
        return derived(self.name, after="__rejects")

    @property
    def primary_key(self) -> tuple[str, ...]:
        """The target's primary key: the identity, and for a history since when."""
        return (*self.identity, "valid_from") if self.strategy == "scd2" else self.identity

    @property
    def never_null(self) -> tuple[str, ...]:
        """Columns that take no nulls: the required ones and the identity."""
        return tuple(dict.fromkeys((*self.required, *self.identity)))


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSettings:
    """The `[source]` part: what kind, where, and as `options` what `[source.<kind>]` says. docs/sources.md has them."""

    kind: str
    folder: Path | None = None
    url: str = ""
    scale: float = 1.0
    seed: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """A checked catalogue: every name in it leads somewhere."""

    path: Path
    source: SourceSettings
    schema: str
    tables: tuple[Table, ...]
    marts: Path | None = None

    @property
    def staging_schema(self) -> str:
        return derived(self.schema, after="_staging")

    @property
    def mart_schema(self) -> str:
        return derived(self.schema, after="_mart")

    def lists(self, name: str) -> bool:
        """One of its tables is called so."""
        return any(table.name == name for table in self.tables)

    def table(self, number: int) -> Table:
        """The table with this `--id`."""
        if not 0 <= number < len(self.tables):
            raise MisconfiguredError(
                f"{self.path.name} has no table {number}", hint=f"--id is 0 to {len(self.tables) - 1}"
            )
        return self.tables[number]

    def named(self, name: str) -> Table:
        """The table called `name`."""
        found = next((t for t in self.tables if t.name == name), None)
        if found is None:
            known = [t.name for t in self.tables]
            raise MisconfiguredError(
                f"{self.path.name} has no table {name!r}{guess(name, known)}",
                hint=f"it has {', '.join(known[:20])}" + (f" and {len(known) - 20} more" if len(known) > 20 else ""),
            )
        return found
