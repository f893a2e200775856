"""Names as PostgreSQL keeps them: at most 63 bytes."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import md5

LONGEST_NAME = 63


def clip(name: str) -> str:
    """The name as the server cuts it: never within a character."""
    return _cut(name, LONGEST_NAME)


def derived(name: str, *, before: str = "", after: str = "") -> str:
    """A name made of another one. Where it does not fit, the other one is cut and told apart by a hash of all of it."""
    whole = f"{before}{name}{after}"
    if len(whole.encode()) <= LONGEST_NAME:
        return whole
    mark = f"~{md5(name.encode()).hexdigest()[:8]}"
    room = LONGEST_NAME - len(f"{before}{mark}{after}".encode())
    return f"{before}{_cut(name, room)}{mark}{after}"


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
