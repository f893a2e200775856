"""Folders for tests that write much: in memory while there is plenty, and gone at last even if the tests are killed."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEMORY = Path("/dev/shm")
PLENTY = 8 << 30  # bytes; what lies there is taken from the memory that the tests themselves need
_OURS = re.compile(r"etl-test-(\d+)-")


@contextmanager
def entered_by_all() -> Iterator[Path]:
    """A temporary folder any account may enter: pytest's own belong to root alone, where we are root.

    In memory if there is plenty: making a cluster waits for a disk longer than for anything else.
    """
    place = MEMORY if _plenty() else Path("/tmp")
    sweep(place)
    folder = Path(tempfile.mkdtemp(prefix=f"etl-test-{os.getpid()}-", dir=place)).resolve()
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        _remove(folder)


def sweep(place: Path) -> None:
    """Remove the folders of tests that were killed: they would fill the memory, a killed run at a time."""
    for folder in place.iterdir():
        ours = _OURS.match(folder.name)
        if ours and not Path("/proc", ours[1]).exists():
            shutil.rmtree(folder, ignore_errors=True)


def _remove(folder: Path, *, seconds: float = 20.0) -> None:
    """Remove a folder where a server that was told to stop may still be writing."""
    limit = time.monotonic() + seconds
    while True:
        try:
            shutil.rmtree(folder)
            return
        except OSError:
            if time.monotonic() > limit:
                raise
        time.sleep(0.05)


def _plenty() -> bool:
    """Whether memory is there for the folders as well as for the tests."""
    try:
        available = re.search(r"^MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"), re.M)
        room = shutil.disk_usage(MEMORY).free
    except OSError:
        return False
    return os.access(MEMORY, os.W_OK) and available is not None and min(room, int(available[1]) << 10) > PLENTY
