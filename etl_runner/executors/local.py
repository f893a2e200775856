"""Runs attempts as processes of this machine, each in a session of its own.

No transports and no child watcher: a pidfd tells the leader's end, raw reads of 64 KiB empty its pipe. The leader stays
an unreaped zombie until its process group is killed, so that its number cannot belong to somebody else by then.
Children that leave the group (setsid) are not followed: that needs a supervisor of their own.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from etl_runner.control import Control
from etl_runner.events import AttemptExited
from etl_runner.executors.output import OutputTail
from etl_runner.model import Order
from etl_runner.ticks import every

CHUNK = 64 * 1024
REPORT_SECONDS = 0.25
POLL_SECONDS = 0.02
MOST_LEFT = 2 << 20  # a pipe holds at most 1 MiB (pipe(7))


class LocalExecutor:
    """Starts each order as a child process; stdin is /dev/null, stdout and stderr go to the order's log file."""

    async def run(self, order: Order, control: Control) -> AttemptExited:
        """Run one attempt to its end: when this returns, its process group is gone and its log complete.

        Every failure to start is an `AttemptExited` with `error`. Cancelling the coroutine kills the group.
        """
        begun = asyncio.get_running_loop().time()
        if control.stop_requested:
            return AttemptExited(job=order.job, attempt=order.attempt, seconds=0.0, error="stopped before it started")
        for path in (order.log, order.output):
            with suppress(OSError):  # a full disk must not keep the job from running: the log says it is truncated
                Path(path).parent.mkdir(parents=True, exist_ok=True)
        attempt = _Attempt(order, control)
        try:
            attempt.spawn()
        except (OSError, ValueError) as error:
            text = _spawn_error(order, error)
            attempt.log.write(f"etl-run: {text}\n".encode())
            attempt.log.close()
            return AttemptExited(job=order.job, attempt=order.attempt, seconds=0.0, error=text)
        control.started(attempt.pid)
        status = await attempt.ended()
        tail = attempt.tail
        return AttemptExited(
            job=order.job,
            attempt=order.attempt,
            seconds=round(asyncio.get_running_loop().time() - begun, 4),
            exit=status if status >= 0 else None,
            signal=-status if status < 0 else None,
            metrics=tail.metrics,
            log_truncated=attempt.log.truncated,
            warnings=tuple(tail.warnings),
        )


class _Attempt:
    """One process group, its pipe and its log."""

    def __init__(self, order: Order, control: Control) -> None:
        self._order = order
        self._control = control
        self._loop = asyncio.get_running_loop()
        self._kill_timer: asyncio.TimerHandle | None = None
        self.log = _Log(order.log)
        self.tail = OutputTail(order.output)

    def spawn(self) -> None:
        """Start the process; raises OSError or ValueError, and leaves nothing open then."""
        self._pipe, write_end = os.pipe()
        order = self._order
        try:
            self._process = subprocess.Popen(
                order.argv,
                cwd=order.cwd,
                env=order.env,
                stdin=subprocess.DEVNULL,
                stdout=write_end,
                stderr=write_end,
                start_new_session=True,
            )
        except BaseException:
            os.close(self._pipe)
            raise
        finally:
            os.close(write_end)
        self.pid = self._process.pid
        os.set_blocking(self._pipe, False)
        self._loop.add_reader(self._pipe, self._read)

    async def ended(self) -> int:
        """Wait for the leader, end its group, drain the pipe; the exit status, or minus the signal's number."""
        self._control.on_stop(self._stop)
        try:
            with every(REPORT_SECONDS, self._report):
                await _leader_exit(self.pid)
        finally:
            self._signal(signal.SIGKILL)
            status = self._process.wait()
            if self._kill_timer:
                self._kill_timer.cancel()
            self._drain()
            self.log.close()
        self.tail.finish()
        return status

    def _stop(self, force: bool) -> None:
        if force:
            self._signal(signal.SIGKILL)
        elif self._kill_timer is None:
            self._signal(signal.SIGTERM)
            self._signal(signal.SIGCONT)  # a stopped process does not hear TERM before it goes on
            self._kill_timer = self._loop.call_later(self._order.grace, self._signal, signal.SIGKILL)

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def _read(self) -> bool:
        """Move one chunk; False when there is nothing (more) to read."""
        try:
            chunk = os.read(self._pipe, CHUNK)
        except BlockingIOError:
            return False
        if not chunk:
            self._loop.remove_reader(self._pipe)
            return False
        self.log.write(chunk)
        self._control.output(chunk)
        return True

    def _drain(self) -> None:
        for _ in range(MOST_LEFT // CHUNK):  # bounded: somebody outside the group may hold the pipe and go on writing
            if not self._read():
                break
        self._loop.remove_reader(self._pipe)
        os.close(self._pipe)

    def _report(self) -> None:
        if self.tail.poll():
            self._control.reported(self.tail.metrics)


class _Log:
    """A log file that never stops its job: what cannot be written is dropped and flagged."""

    def __init__(self, path: str) -> None:
        self.truncated = False
        self._fd = -1
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        except OSError:
            self.truncated = True

    def write(self, chunk: bytes) -> None:
        while chunk and not self.truncated:
            try:
                chunk = chunk[os.write(self._fd, chunk) :]
            except OSError:
                self.truncated = True

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)


async def _leader_exit(pid: int) -> None:
    """Return when the child has ended; it is not reaped (waitid(2), WNOWAIT)."""
    if not hasattr(os, "pidfd_open"):
        while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:  # noqa: ASYNC110, ASYNC222
            await asyncio.sleep(POLL_SECONDS)
        return
    loop = asyncio.get_running_loop()
    exited = loop.create_future()
    pidfd = os.pidfd_open(pid)

    def tell() -> None:
        if not exited.done():
            exited.set_result(None)

    loop.add_reader(pidfd, tell)
    try:
        await exited
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)


def _spawn_error(order: Order, error: OSError | ValueError) -> str:
    """Why the process could not be started, with the culprit's name."""
    program = order.argv[0]
    match error:
        case FileNotFoundError() if error.filename == order.cwd:
            return f"no such folder to run in: {order.cwd!r} (cwd)"
        case NotADirectoryError() if error.filename == order.cwd:
            return f"not a folder to run in: {order.cwd!r} (cwd)"
        case FileNotFoundError() if os.sep in program and Path(program).exists():
            return f"the interpreter named in the first line of {program!r} does not exist"
        case FileNotFoundError():
            return (
                f"no such program: {program!r} (not in PATH)" if os.sep not in program else f"no such file: {program!r}"
            )
        case PermissionError():
            return f"not allowed to run {error.filename or program!r}: is it executable?"
        case OSError():
            return f"cannot start {program!r}: {error.strerror}"
        case _:
            return f"cannot start {program!r}: {error}"
