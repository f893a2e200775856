"""Places in nested values: `partner_id.0`."""

from __future__ import annotations

from typing import Any

ABSENT = object()
Path = tuple[str | int, ...]


def path_of(text: str) -> Path:
    """`partner_id.0` as the steps it means: names, and places in lists."""
    return tuple(int(step) if step.isdigit() else step for step in text.split("."))


def found(value: Any, path: Path) -> Any:
    """What lies at the path; None where something on the way is null or false, ABSENT where nothing is there."""
    for step in path:
        if value is None or value is False:
            return None
        if isinstance(value, dict):
            value = value.get(step, ABSENT) if step in value else value.get(str(step), ABSENT)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return ABSENT
        if value is ABSENT:
            return ABSENT
    return value
