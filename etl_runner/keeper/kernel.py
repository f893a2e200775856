"""What the standard library does not have of Linux, and what it has only at a price.

A shim's memory is what it writes to, reference counts included: every shim pays for each page of an object it touches.
So `_signal`, whose signals are numbers (`signal` makes enums of them), and no file objects.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import ctypes
import os

HUP: int = _signal.SIGHUP
INT: int = _signal.SIGINT
KILL: int = _signal.SIGKILL
TERM: int = _signal.SIGTERM
CONT: int = _signal.SIGCONT

# What a shell or a service manager may have left ignored or blocked, and a job expects to be as usual.
ORDINARY: tuple[int, ...] = tuple(_signal.valid_signals() - {KILL, _signal.SIGSTOP})

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_libc_prctl = ctypes.CDLL(None, use_errno=True).prctl


def become_subreaper() -> None:
    """Orphans below this process become its children (prctl(2)); raises OSError."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int) -> None:
    """Be killed when the parent (its one thread) ends; end now if it already did."""
    _prctl(_PR_SET_PDEATHSIG, KILL)
    if os.getppid() != parent:
        os._exit(1)


def children() -> list[int]:
    """The direct children of this single-threaded process, zombies included (proc(5))."""
    own = os.getpid()
    try:
        return [int(pid) for pid in read(f"/proc/{own}/task/{own}/children").split()]
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _parent(pid) == own]


def kill(pid: int) -> bool:
    """Kill it; False if it is gone, or may not be killed by us."""
    try:
        os.kill(pid, KILL)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def child_wakeup() -> tuple[int, int]:
    """The ends of a pipe whose first is readable when a child has ended (SIGCHLD); it replaces the one before."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    _signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    _signal.signal(_signal.SIGCHLD, _heard)
    return reader, writer


def hear(wakeup: int) -> None:
    """Take what is in that pipe: it is not readable any more."""
    try:
        os.read(wakeup, 4096)
    except BlockingIOError:
        pass


def ignore_signals(*numbers: int) -> None:
    """Ignore these, and block none at all."""
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
    for number in numbers:
        _signal.signal(number, _signal.SIG_IGN)


def reset_signals() -> None:
    """Every signal's default handling and an empty mask, as a program expects them (sigaction(2), execve(2))."""
    for number in ORDINARY:
        try:
            _signal.signal(number, _signal.SIG_DFL)
        except (OSError, ValueError):  # those of the C library's threads
            continue
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


def offer_to_oom_killer(pid: int) -> None:
    """When memory runs out, take that process before the ones that supervise it (proc(5), oom_score_adj)."""
    path = f"/proc/{pid}/oom_score_adj"
    try:
        write(path, b"%d" % min(1000, max(int(read(path)), 0) + 300))
    except (OSError, ValueError):
        pass


def read(path: str) -> bytes:
    """All of a small file, such as the kernel's; raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        data = os.read(descriptor, 4096)
        whole = data
        while data:
            data = os.read(descriptor, 4096)
            whole += data
        return whole
    finally:
        os.close(descriptor)


def write(path: str, data: bytes) -> None:
    """Write a small file, such as the kernel's, in one piece; raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


def _heard(*_: object) -> None:
    """A handler is needed for a signal to be told; what is told is enough."""


def _prctl(option: int, argument: int) -> None:
    if _libc_prctl(option, argument, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _parent(pid: int) -> int:
    try:
        return int(read(f"/proc/{pid}/stat").rsplit(b")", 1)[1].split()[1])
    except (OSError, IndexError, ValueError):
        return 0
