"""Who is running: locks of the kernel (flock), which die with the processes that hold them."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from etl_runner.errors import LedgerError, RunLockedError
from etl_runner.ledger.database import setup_lock
from etl_runner.ledger.folder import make_folder
from etl_runner.ledger.holders import is_left_behind
from etl_runner.ledger.trouble import explained
from etl_runner.paths import Home

_WAIT = "wait for it to end: --if-running wait"


class Holder(Struct, frozen=True, kw_only=True):
    """Who holds a pipeline's lock. `run` is unknown (None) until the run has its number."""

    pid: int
    user: str
    since: datetime
    run: int | None = None


class PipelineLock:
    """A held lock. `fd` may be handed to other processes: the lock lives as long as any of them."""

    def __init__(self, fd: int, about: Holder) -> None:
        self.fd = fd
        self._about = about
        self._write(about)

    def tell(self, run: int) -> None:
        """Let others know the run's number."""
        self._about = msgspec.structs.replace(self._about, run=run)
        self._write(self._about)

    def _write(self, about: Holder) -> None:
        text = msgspec.json.encode(about)
        os.pwrite(self.fd, text, 0)
        os.ftruncate(self.fd, len(text))


@contextmanager
def hold_pipeline_lock(home: Home, pipeline: str, about: Holder) -> Iterator[PipelineLock]:
    """Let no other run of this pipeline begin. RunLockedError says who holds it.

    The lock's file stays; it is closed on exec unless its `fd` is made inheritable.
    """
    with _locked(home.lock(pipeline), home=home) as fd:
        with explained(home.ledger), setup_lock(home.ledger):  # so that whoever comes too late reads the winner's name
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise _held(home.lock(pipeline), pipeline, _read_holder(fd)) from None
            lock = PipelineLock(fd, about)
        yield lock


@contextmanager
def hold_run_lock(home: Home, run: int) -> Iterator[int]:
    """Say that this run is alive, as long as this process, or another one with the yielded fd, lives."""
    with _locked(home.run_lock(run), home=home) as fd:
        # Waits at most for somebody who looks whether the run is alive: a run's number is never used twice.
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield fd


def alive(home: Home, run: int) -> bool:
    """Whether a process still works on this run. Where nobody may tell, the answer is yes."""
    try:
        fd = os.open(home.run_lock(run), os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(fd)


@contextmanager
def _locked(path: Path, *, home: Home) -> Iterator[int]:
    """An open lock file, closed (and with it unlocked) at the end."""
    try:
        make_folder(home.folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise LedgerError(
            f"cannot use the lock {path}: {error.strerror}",
            hint="make the folder writable for you, or set ETL_HOME to another folder",
        ) from error
    try:
        yield fd
    finally:
        os.close(fd)


def _read_holder(fd: int) -> Holder | None:
    try:
        return msgspec.json.decode(os.pread(fd, 4096, 0), type=Holder)
    except msgspec.MsgspecError:
        return None


def _held(path: Path, pipeline: str, holder: Holder | None) -> RunLockedError:
    if holder is None:
        return RunLockedError(f"another run of {pipeline!r} is going on", hint=_WAIT)
    run = f"run {holder.run}" if holder.run else "another run"
    if is_left_behind(holder.pid, path):
        return RunLockedError(f"{run} of {pipeline!r} was killed, and its jobs are still being stopped", hint=_WAIT)
    since = holder.since.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return RunLockedError(
        f"{run} of {pipeline!r} is going on, started {since} by {holder.user} (pid {holder.pid})",
        hint=f"see it: etl-run show {holder.run}; end it: etl-run stop {holder.run}" if holder.run else _WAIT,
    )
