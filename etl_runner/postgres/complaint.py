"""What PostgreSQL complained about, as an error a user can act on."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from etl_runner.errors import WarehouseError

SHOWN_LINES = 8
TELLING = re.compile(r"\b(FATAL|PANIC|ERROR|DETAIL|HINT|error|could not|cannot|denied|No space)\b")
PREFIX = re.compile(r"^\d{4}-\d\d-\d\d .*? \[\d+\] .*?(?=\b[A-Z]+: )")
HINTS = {
    "No space left on device": "free some space on that disk; nothing is lost",
    "Disk quota exceeded": "free some of the disk quota; nothing is lost",
    "Permission denied": "check who owns the folder; PostgreSQL runs as the owner of the warehouse, never as root",
    "Operation not permitted": "the file system does not let files change owner or mode: set ETL_HOME to a local disk",
    "Read-only file system": "set ETL_HOME to a folder that can be written",
    "Cannot allocate memory": "there is too little memory for a server here: free some, or set DATABASE_URL",
    "could not create shared memory": "there is too little shared memory here: set DATABASE_URL to another server",
    "lock file": "another server may use this folder; look at the process named above",
    "incompatible with server": "the data was made by another PostgreSQL: set ETL_PG_BIN to that one's programs",
}


def complaint(message: str, output: str, *, log: Path | None = None) -> WarehouseError:
    """An error from a server's log or a program's output: its telling lines, and what to do about them."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if TELLING.search(line)] or lines
    shown = [PREFIX.sub("", line) for line in telling[-SHOWN_LINES:]]
    hint = next((hint for sign, hint in HINTS.items() if sign in output), "")
    if log is not None:
        hint = f"{hint}; the server's log is {log}" if hint else f"the server's log is {log}"
    return WarehouseError("\n".join([f"{message}:", *(f"  {line}" for line in shown)]), hint=hint)


def check(ended: subprocess.CompletedProcess[bytes], message: str) -> None:
    """Raise WarehouseError if a program of PostgreSQL failed; single-user mode says so in its output alone."""
    output = (ended.stderr or b"").decode(errors="replace")
    if ended.returncode or re.search(r"\b(ERROR|FATAL|PANIC): ", output):
        raise complaint(message, output or f"exit status {ended.returncode}")
