"""What the standard library does not have of Linux."""

from __future__ import annotations

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)

# What a shell or a service manager may have left ignored or blocked, and a job expects to be as usual.
ORDINARY = tuple(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})


def become_subreaper() -> None:
    """Orphans below this process become its children (prctl(2)); raises OSError."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int) -> None:
    """Be killed when the parent (its one thread) ends; end now if it already did."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def children() -> list[int]:
    """The direct children of this single-threaded process, zombies included (proc(5))."""
    own = os.getpid()
    try:
        with open(f"/proc/{own}/task/{own}/children", "rb") as file:
            return [int(pid) for pid in file.read().split()]
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _parent(pid) == own]


def reset_signals() -> None:
    """Every signal's default handling and an empty mask, as a program expects them (sigaction(2), execve(2))."""
    for number in ORDINARY:
        try:
            signal.signal(number, signal.SIG_DFL)
        except (OSError, ValueError):  # those of the C library's threads
            continue
    signal.pthread_sigmask(signal.SIG_SETMASK, set())


def offer_to_oom_killer(pid: int) -> None:
    """When memory runs out, take that process before the ones that supervise it (proc(5), oom_score_adj)."""
    try:
        with open(f"/proc/{pid}/oom_score_adj", "r+") as file:
            mine = int(file.read())
            file.seek(0)
            file.write(str(min(1000, max(mine, 0) + 300)))
    except (OSError, ValueError):
        pass


def _prctl(option: int, argument: int) -> None:
    if _libc.prctl(option, argument, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _parent(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rsplit(b")", 1)[1].split()[1])
    except (OSError, IndexError, ValueError):
        return 0
