"""Which columns a load has, and of which types: declared, pinned by the target, or still to be inferred."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from etl_jobs.errors import MisconfiguredError
from etl_jobs.tables import HISTORY, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The `table` with all its columns; those `unknown` are text until their types are inferred.

    `added` are the columns that an existing target has not yet.
    """

    table: Table
    unknown: tuple[str, ...]
    added: tuple[str, ...]


def shape_of(
    table: Table, header: tuple[str, ...], held: Mapping[str, str], *, own: Mapping[str, str] | None = None
) -> Shape:
    """Settle the columns of a load from the catalogue, the source's header and the target's columns.

    `own` are the types of a source that knows them: they hold where neither the catalogue nor the target has one.

    Raises MisconfiguredError where the catalogue speaks of columns that are not there.
    """
    pinned, own = pinned_columns(table, held), own or {}
    columns = {c: pinned.get(c) or own.get(c, "text") for c in (*pinned, *(h for h in header if h not in pinned))}
    shaped = replace(table, columns=columns)
    _refuse_absent(shaped)
    return Shape(
        table=shaped,
        unknown=tuple(c for c in columns if c not in pinned and c not in own),
        added=tuple(c for c in columns if held and c not in held),
    )


def pinned_columns(table: Table, held: Mapping[str, str]) -> dict[str, str]:
    """The declared columns; and where the catalogue leaves columns to the source, those that the target has."""
    if table.columns and table.new_columns != "add":
        return table.columns
    history = HISTORY if table.strategy == "scd2" else {}
    return table.columns | {c: k for c, k in held.items() if c not in table.columns and c not in history}


def refuse_text_watermark(table: Table, inferred: Mapping[str, str]) -> None:
    """Raise MisconfiguredError where a watermark that nobody declared was found to be text."""
    if table.grows and inferred.get(table.watermark) == "text":
        raise MisconfiguredError(
            f"table {table.name!r}: watermark: column {table.watermark!r} would be text, which has no order to go by:"
            " '9' comes after '10'",
            hint=f'declare its type: columns = {{ {table.watermark} = "…" }}, "text" if its order is right',
        )


def _refuse_absent(table: Table) -> None:
    spoken_of = {
        "key": table.key,
        "required": table.required,
        "secret": table.secret,
        "watermark": (table.watermark,) if table.watermark else (),
        "references": tuple(c for r in table.references for c in r.columns),
        "checks": tuple(c for check in table.checks for c in (check.column, *check.unique) if c),
    }
    absent = [f"{word}: no column {c!r}" for word, names in spoken_of.items() for c in names if c not in table.columns]
    if table.strategy == "scd2":
        absent += [f"strategy 'scd2' makes the column {c!r} itself" for c in HISTORY if c in table.columns]
    if absent:
        raise MisconfiguredError(
            f"table {table.name!r}: {'; '.join(absent)}", hint=f"the columns are {', '.join(table.columns)}"
        )
