"""Names as PostgreSQL keeps them: at most 63 bytes."""

from __future__ import annotations

from collections.abc import Iterable

LONGEST_NAME = 63


def clip(name: str) -> str:
    """The name as the server cuts it: never within a character."""
    return name.encode()[:LONGEST_NAME].decode(errors="ignore")


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
