"""Which other tables say whether the rows of a table have parents."""

from __future__ import annotations

from dataclasses import replace

from etl_jobs.tables import Catalogue, Table


def judged(table: Table) -> bool:
    """Whether the table's own load rejects rows, so that they are no parents. Of a slice nobody knows the rest."""
    return bool(table.reject_limit) and table.strategy != "slice"


def deciding(table: Table) -> Table:
    """The table with those references alone that decide which of its rows its own load keeps."""
    kept = (r for r in table.references if judged(table) and r.orphans == "fail")
    return replace(table, references=tuple(kept))


def ancestors(catalogue: Catalogue, table: Table) -> list[tuple[str, ...]]:
    """The tables that are to be read: those it refers to, and those on which it depends which of their rows are kept.

    Each stands behind those that it depends on. Where tables depend on each other, they stand together.
    """
    names = {r.table for r in table.references}
    names |= {name for parent in names for name in _reached(catalogue, parent)}
    reached = {name: _reached(catalogue, name) for name in names}
    in_order = sorted(names, key=lambda name: catalogue.named(name).id)
    together = {
        tuple(n for n in in_order if n == name or (n in reached[name] and name in reached[n])) for name in names
    }
    return sorted(together, key=lambda group: (len(reached[group[0]] | {*group}), catalogue.named(group[0]).id))


def _reached(catalogue: Catalogue, name: str) -> set[str]:
    """All on which it depends which rows of the table are kept; that may be the table itself."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        parents = {r.table for r in deciding(catalogue.named(waiting.pop())).references} - found
        found |= parents
        waiting += parents
    return found
