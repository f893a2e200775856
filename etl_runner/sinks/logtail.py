"""The end of a log file."""

from __future__ import annotations

import os
from pathlib import Path

from etl_runner.words import failure_tail

READ_AT_MOST = 64 * 1024


def read_failure_tail(path: Path) -> list[str]:
    """The lines of a log that say why its attempt failed, harmless to print; empty if there is no such file."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - READ_AT_MOST, 0))
            data = file.read(READ_AT_MOST)
    except OSError:
        return []
    if size > READ_AT_MOST and b"\n" in data:
        data = data.split(b"\n", 1)[1]
    return failure_tail(data.decode("utf-8", errors="replace"))
