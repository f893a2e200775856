"""Kernel locks on files: they end with their holders, however these end, and cannot go stale."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from etl_runner.postgres.account import Account

# A lock file is never removed: two processes could then hold "the" lock on two files.


def open_lock(path: Path, account: Account) -> int:
    """A new descriptor for a lock file, closed on exec; the file is made if need be and follows no link."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    if account.borrowed and os.fstat(descriptor).st_uid != account.uid:
        os.fchown(descriptor, account.uid, account.gid)
    return descriptor


@contextmanager
def locked(path: Path, account: Account) -> Iterator[int]:
    """Hold a lock alone, waiting for it as long as it takes; gives its descriptor.

    A program that inherits the descriptor keeps the lock if we die before it ends.
    """
    descriptor = open_lock(path, account)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def share(descriptor: int) -> None:
    """Become one of the lock's sharers."""
    fcntl.flock(descriptor, fcntl.LOCK_SH)


def take(descriptor: int) -> bool:
    """Get the lock alone if nobody else has it (a shared hold of ours is turned into it)."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def drop(descriptor: int) -> None:
    """Let go, also of copies of this descriptor that a fork left elsewhere."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def is_free(path: Path, account: Account) -> bool:
    """Whether nobody holds the lock at this moment."""
    descriptor = open_lock(path, account)
    try:
        return take(descriptor)
    finally:
        os.close(descriptor)


def holders(path: Path) -> list[int]:
    """The processes that hold the lock, as far as the kernel tells (Linux); for messages only."""
    try:
        inode = str(path.stat().st_ino)
        rows = [line.split() for line in Path("/proc/locks").read_text(encoding="ascii").splitlines()]
    except OSError:
        return []
    return sorted({int(row[4]) for row in rows if row[1] == "FLOCK" and row[5].rpartition(":")[2] == inode})
