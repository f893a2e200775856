"""Names as PostgreSQL keeps them: at most 63 bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import md5

LONGEST_NAME = 63
MOST_COLUMNS = 1590  # PostgreSQL has 1,600, and a load needs some beside those of the source
_OWN = "etl: "  # how the columns begin that a load puts beside those of the source
_OF_THE_SYSTEM = frozenset(("tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"))


def clip(name: str) -> str:
    """The name as the server cuts it: never within a character."""
    return _cut(name, LONGEST_NAME)


def own(name: str) -> str:
    """The name of a column of the load's own, which no source can have."""
    return _OWN + name


def derived(name: str, *, before: str = "", after: str = "") -> str:
    """A name made of another one. Where it does not fit, the other one is cut and told apart by a hash of all of it."""
    whole = f"{before}{name}{after}"
    if len(whole.encode()) <= LONGEST_NAME:
        return whole
    mark = f"~{md5(name.encode()).hexdigest()[:8]}"
    room = LONGEST_NAME - len(f"{before}{mark}{after}".encode())
    return f"{before}{_cut(name, room)}{mark}{after}"


def whole_name(schema: str, name: str) -> str:
    """What locks and load records call a table: `schema.table`, and in quotes where that could be another table."""
    if not set(schema) & {".", '"'}:
        return f"{schema}.{name}"
    return ".".join('"' + part.replace('"', '""') + '"' for part in (schema, name))


def _cut(name: str, room: int) -> str:
    return name.encode()[:room].decode(errors="ignore")


def collisions(names: Iterable[str]) -> list[str]:
    """What to say of names that are the same, or would be when they are cut."""
    seen: dict[str, str] = {}
    said = []
    for name in names:
        other = seen.get(clip(name))
        if other == name:
            said.append(f"column {name!r} is there twice")
        elif other is not None:
            said.append(f"{other!r} and {name!r} are the same name in the first {LONGEST_NAME} bytes")
        seen.setdefault(clip(name), name)
    return said


def unfit(names: Sequence[str]) -> tuple[str, str] | None:
    """What is wrong with these columns of a source, and what helps; None where a table can have them."""
    unnamed = [str(number) for number, name in enumerate(names, 1) if not name]
    kept = [name for name in names if name in _OF_THE_SYSTEM]
    if not names:
        return "no columns", "a table needs one at least"
    if unnamed:
        said = f"column {unnamed[0]} has" if len(unnamed) == 1 else f"columns {', '.join(unnamed)} have"
        return f"{said} no name", "give it one, or take it away"
    if kept:
        return f"PostgreSQL keeps the name {', '.join(map(repr, kept))} for itself", "give it another name there"
    if ours := [name for name in names if name.startswith(_OWN)]:
        return (
            f"the column {', '.join(map(repr, ours))} begins as those that a load makes",
            "give it another name there",
        )
    if len(names) > MOST_COLUMNS:
        said = f"{len(names):,} columns, a table can have {MOST_COLUMNS:,}"
        return said, "a file with fewer, or with rows in place of columns, can be loaded"
    return None
