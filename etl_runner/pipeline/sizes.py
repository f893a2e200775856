"""Sizes as people write them: "100MB", "2GiB", "2G", or a number of bytes."""

from __future__ import annotations

import re

# KB, MB … are powers of ten (SI), KiB, MiB … powers of two (IEC 80000-13); a bare K, M, G is the binary one.
UNITS = {
    "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40,
}  # fmt: skip
PATTERN = r"^ *[0-9]+(\.[0-9]+)? *([KkMmGgTt](i?[Bb])?|[Bb]) *$"
EXPECTED = 'a size such as "100MB" or "2GiB"'
LARGEST = 2**50


def parse_size(value: str | int) -> int:
    """Bytes of a size; raises ValueError if it is none."""
    if isinstance(value, str):
        if not re.match(PATTERN, value):
            raise ValueError(f"expected {EXPECTED}, got {value!r}")
        number, unit = re.findall(r"([0-9.]+) *([A-Za-z]+)", value)[0]
        value = int(float(number) * UNITS[unit.lower()])
    if not 0 <= value <= LARGEST:
        raise ValueError(f"expected {EXPECTED}, got {value!r}")
    return value
