"""The commands that are timed: ours, of the interpreter that runs the benchmarks, and peers on PATH."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BARE = (sys.executable, "-c", "pass")


def etl_run(*words: str) -> tuple[str, ...]:
    """`etl-run` as users start it, of this interpreter's environment."""
    script = Path(sys.executable).with_name("etl-run")
    return (str(script), *words) if script.exists() else (sys.executable, "-m", "etl_runner", *words)


def environment(**changes: str) -> dict[str, str]:
    """Our environment without what would change a run, or have Python compile our modules at every start."""
    foreign = ("ETL_", "PG", "DATABASE_URL", "PYTHONDONTWRITEBYTECODE")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    return {**kept, **changes}


def peer(name: str, *, package: str) -> tuple[str, str]:
    """A program's path, or an empty text and how to get it."""
    found = shutil.which(name)
    return (found, "") if found else ("", f"{name} is not here: apt install {package}")


def children(pid: int) -> list[int]:
    """The processes that a process has started and that are there still."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
