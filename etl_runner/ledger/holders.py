"""Which processes have a lock's file open, and a runner pinned so that signals reach it or nobody. Linux."""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path
from typing import Self


class Runner:
    """The process that leads a run, held by a descriptor: its number may be used again, this cannot mean another."""

    def __init__(self, pid: int, pidfd: int) -> None:
        self.pid = pid
        self._pidfd = pidfd

    @classmethod
    def find(cls, pid: int, lock: Path) -> Self | None:
        """The process `pid` if it has the file `lock` open, else None. PermissionError if one may not look."""
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:  # there is no such process
            return None
        found = cls(pid, pidfd)
        # Looked at after it was pinned: if that was another process by then, ours is over and gets no signal.
        if holds(pid, lock):
            return found
        found.close()
        return None

    def send(self, number: signal.Signals) -> bool:
        """Send a signal; False if it is over already."""
        try:
            signal.pidfd_send_signal(self._pidfd, number)
        except ProcessLookupError:
            return False
        return True

    @property
    def is_over(self) -> bool:
        return bool(select.select([self._pidfd], [], [], 0)[0])

    def close(self) -> None:
        os.close(self._pidfd)


def holds(pid: int, path: Path) -> bool:
    """Whether a process has this file open. PermissionError if one may not look."""
    try:
        wanted = path.stat()
        descriptors = list(Path(f"/proc/{pid}/fd").iterdir())
    except (FileNotFoundError, ProcessLookupError):
        return False
    return any(_is(descriptor, wanted) for descriptor in descriptors)


def holders(path: Path) -> list[int]:
    """The other processes that have this file open, as far as one may look."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                if holds(int(entry.name), path):
                    found.append(int(entry.name))
            except PermissionError:
                continue
    return found


def is_left_behind(leader: int, path: Path) -> bool:
    """Whether others hold this lock and its leader does not any more: it is dead, what it started is being stopped.

    False where one cannot tell: without /proc, or where nobody of them is in sight.
    """
    try:
        return not holds(leader, path) and bool(holders(path))
    except OSError:
        return False


def _is(descriptor: Path, wanted: os.stat_result) -> bool:
    try:
        seen = descriptor.stat()
    except OSError:  # closed just now
        return False
    return (seen.st_dev, seen.st_ino) == (wanted.st_dev, wanted.st_ino)
