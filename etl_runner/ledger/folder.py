"""The folder that the ledger is in."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def make_folder(folder: Path) -> None:
    """Create the home, and keep it out of version control. A folder of another name was there for others first."""
    if folder.is_dir() and (folder.name != ".etl" or (folder / ".gitignore").exists()):
        return
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in made:
        _synchronize(path.parent)  # or a power cut takes the folder, and with it all that is safe in it
    (folder / ".gitignore").write_text("*\n", encoding="utf-8")


def highest_run(home: Path) -> int:
    """The highest run number with a folder: after the loss of a ledger no run writes into old logs."""
    runs = home / "runs"
    if not runs.is_dir():
        return 0
    return max((int(p.name) for p in runs.iterdir() if p.name.isascii() and p.name.isdecimal()), default=0)


def _synchronize(folder: Path) -> None:
    """Have the names in a folder on the disk; some file systems cannot do that, and need not."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
