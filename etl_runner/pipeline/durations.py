"""Durations as people write them: "90s", "10m", "1h 30m", or a number of seconds."""

from __future__ import annotations

import re

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
PATTERN = r"^ *[0-9]+(\.[0-9]+)? *(ms|s|m|h|d)( *[0-9]+(\.[0-9]+)? *(ms|s|m|h|d))* *$"
EXPECTED = 'a duration such as "90s", "10m" or "1h 30m"'
LONGEST = 10 * 365 * 86400.0

_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?) *(ms|s|m|h|d)")


def parse_duration(value: str | float) -> float:
    """Seconds of a duration; raises ValueError if it is none, is negative, or is longer than ten years."""
    if isinstance(value, str):
        if not re.match(PATTERN, value):
            raise ValueError(f"expected {EXPECTED}, got {value!r}")
        value = sum(float(number) * UNITS[unit] for number, unit in _PART.findall(value))
    if not 0 <= value <= LONGEST:
        raise ValueError(f"expected {EXPECTED}, at most ten years, got {value!r}")
    return float(value)


def format_duration(seconds: float) -> str:
    """The shortest text `parse_duration` reads back: 90 → "1m 30s", 0.25 → "250ms"."""
    if seconds < 1:
        return f"{seconds * 1000:g}ms" if seconds else "0s"
    parts = []
    whole = int(seconds)
    for unit in ("d", "h", "m"):
        number, whole = divmod(whole, int(UNITS[unit]))
        if number:
            parts.append(f"{number}{unit}")
    rest = round(whole + seconds % 1, 3)
    if rest:
        parts.append(f"{rest:g}s")
    return " ".join(parts)
