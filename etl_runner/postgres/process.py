"""The server as a process: is it ours, how to signal it without ever meeting a stranger."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from etl_runner.postgres.place import Place


def postmaster(place: Place) -> int | None:
    """The pid of our running postmaster, or None.

    The pid in postmaster.pid may have been given to a stranger since; so the process itself is asked.
    """
    pid = _noted_pid(place)
    return pid if pid is not None and _serves(pid, place.data) else None


def signal_postmaster(place: Place, number: signal.Signals) -> bool:
    """Send a signal to our postmaster; False, and nothing is sent, if there is none."""
    pid = _noted_pid(place)
    return pid is not None and _signal_checked(pid, place.data, number)


def signal_all(place: Place, number: signal.Signals) -> None:
    """Send a signal to every process of our server that we can see (Linux)."""
    if not sys.platform.startswith("linux"):
        return
    for pid in _processes():
        if _works_in(pid, place.data):
            _signal_checked(pid, place.data, number)


def _noted_pid(place: Place) -> int | None:
    try:
        pid = int((place.data / "postmaster.pid").read_bytes().partition(b"\n")[0])
    except (OSError, ValueError):
        return None
    return pid if pid > 1 else None


def _signal_checked(pid: int, data: Path, number: signal.Signals) -> bool:
    """A pidfd stays with its process, so a pid reused between check and signal hits nobody."""
    if not hasattr(os, "pidfd_open"):
        if _serves(pid, data):
            os.kill(pid, number)
            return True
        return False
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if not _serves(pid, data):
            return False
        signal.pidfd_send_signal(handle, number)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)


def _serves(pid: int, data: Path) -> bool:
    """Whether a process is of the server on `data`: it works in that folder, or was started with `-D data`."""
    if _works_in(pid, data):
        return True
    if not sys.platform.startswith("linux"):
        return f"-D {data}" in _command_line_by_ps(pid)
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return words[0].endswith(b"postgres") and words[1:3] == [b"-D", os.fsencode(data)]
    return False


def _works_in(pid: int, data: Path) -> bool:
    # Nobody but PostgreSQL works in a folder of mode 0700 that we made, save a shell someone entered it with.
    with suppress(OSError):
        program = Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0]
        return b"postgres" in program and Path(f"/proc/{pid}/cwd").samefile(data)
    return False


def _command_line_by_ps(pid: int) -> str:
    ended = subprocess.run(
        ["ps", "-o", "command=", "-ww", "-p", str(pid)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return os.fsdecode(ended.stdout).strip()


def _processes() -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            yield int(entry.name)
