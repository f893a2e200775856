"""Runs attempts as processes of this machine, each in a session of its own: where there is no keeper (not on Linux).

No transports and no child watcher: a pidfd (else a poll) tells the leader's end. The leader stays an unreaped zombie
until its process group is killed, so that its number cannot belong to somebody else by then. Children that leave the
group (setsid) are not followed.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
from contextlib import suppress

from etl_runner.control import STOPPED_BEFORE, Control
from etl_runner.events import AttemptExited
from etl_runner.executors.logfile import LogFile
from etl_runner.executors.output import REPORT_SECONDS, OutputTail
from etl_runner.executors.pipe import OutputPipe
from etl_runner.executors.starting import folder_trouble, never_started, other_trouble, program_trouble
from etl_runner.masking import Masker
from etl_runner.model import Order
from etl_runner.ticks import every

POLL_SECONDS = 0.02


class LocalExecutor:
    """Starts each order as a child process; stdin is /dev/null, stdout and stderr go to the order's log file.

    What `masker` hides is in no log.
    """

    def __init__(self, *, masker: Masker | None = None) -> None:
        self._masker = masker or Masker()

    async def run(self, order: Order, control: Control) -> AttemptExited:
        """Run one attempt to its end: when this returns, its process group was killed and its log is complete.

        Every failure to start is an `AttemptExited` with `error`. Cancelling the coroutine kills the group.
        """
        if control.stop_requested:
            return never_started(order, STOPPED_BEFORE)
        begun = asyncio.get_running_loop().time()
        log = LogFile(order.log, limit=order.log_limit)
        tail = OutputTail(order.output)
        try:
            attempt = _Attempt(order, OutputPipe(log.write, control.output, masker=self._masker))
            control.started(attempt.pid)
            control.on_stop(attempt.stop)
            with every(REPORT_SECONDS, lambda: tail.poll() and control.reported(tail.metrics)):
                status = await attempt.ended()
            if status != 0:
                log.make()  # of a failure the log is named, and may be looked at
        except _CannotStartError as trouble:
            why = self._masker.text(str(trouble))
            log.write(f"etl-run: {why}\n".encode("utf-8", "backslashreplace"))
            return never_started(order, str(trouble))
        finally:
            await log.finish()
        tail.finish()
        return _exited(order, status, asyncio.get_running_loop().time() - begun, log, tail)


class _CannotStartError(Exception):
    """The process could not be started; the text says why."""


class _Attempt:
    """One process group and its pipe."""

    def __init__(self, order: Order, pipe: OutputPipe) -> None:
        self._pipe = pipe
        self._grace = order.grace
        self._loop = asyncio.get_running_loop()
        self._kill_timer: asyncio.TimerHandle | None = None
        self._process = self._spawn(order)
        self.pid = self._process.pid

    def _spawn(self, order: Order) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                order.argv,
                cwd=order.cwd,
                env=order.env,
                stdin=subprocess.DEVNULL,
                stdout=self._pipe.write_end,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            self._pipe.drain()
            raise _CannotStartError(_why(order, error)) from error
        finally:
            self._pipe.close_write_end()

    async def ended(self) -> int:
        """Wait for the leader, end its group, drain the pipe; the exit status, or minus the signal's number."""
        try:
            await _leader_exit(self.pid)
        finally:
            self._signal(signal.SIGKILL)
            status = self._process.wait()
            if self._kill_timer:
                self._kill_timer.cancel()
            self._pipe.drain()
        return status

    def stop(self, force: bool) -> None:
        if force:
            self._signal(signal.SIGKILL)
        elif self._kill_timer is None:
            self._signal(signal.SIGTERM)
            self._signal(signal.SIGCONT)  # a stopped process does not hear TERM before it goes on
            self._kill_timer = self._loop.call_later(self._grace, self._signal, signal.SIGKILL)

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


async def _leader_exit(pid: int) -> None:
    """Return when the child has ended; it is not reaped (waitid(2), WNOWAIT)."""
    if not hasattr(os, "pidfd_open"):
        while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:  # noqa: ASYNC110, ASYNC222
            await asyncio.sleep(POLL_SECONDS)
        return
    loop = asyncio.get_running_loop()
    exited: asyncio.Future[None] = loop.create_future()
    pidfd = os.pidfd_open(pid)
    loop.add_reader(pidfd, exited.cancel)
    try:
        await asyncio.wait([exited])
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)


def _exited(order: Order, status: int, seconds: float, log: LogFile, tail: OutputTail) -> AttemptExited:
    return AttemptExited(
        job=order.job,
        attempt=order.attempt,
        seconds=round(seconds, 4),
        exit=status if status >= 0 else None,
        signal=-status if status < 0 else None,
        metrics=tail.metrics,
        log_truncated=log.truncated,
        warnings=tuple(tail.warnings),
    )


def _why(order: Order, error: OSError | ValueError) -> str:
    if isinstance(error, OSError):
        trouble = folder_trouble if error.filename == order.cwd else program_trouble
        return trouble(order, error.errno or errno.EIO)
    return other_trouble(order, str(error))
