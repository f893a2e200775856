"""Runs attempts under a keeper of process trees (etl_runner.keeper): nothing survives, whatever a job starts. Linux.

One shim is used per attempt, and used again for the next when the kernel said that its tree is gone.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from etl_runner import keeper
from etl_runner.control import Control
from etl_runner.events import AttemptExited
from etl_runner.executors.logfile import LogFile, OutputPipe
from etl_runner.executors.output import REPORT_SECONDS, OutputTail
from etl_runner.executors.starting import NEVER_STARTED, folder_trouble, other_trouble, program_trouble
from etl_runner.keeper.wire import Inbox, pack
from etl_runner.model import Order
from etl_runner.ticks import every

PROGRAM = Path(keeper.__file__).with_name("__main__.py")
LAST_SECONDS = 30.0


class KeeperExecutor:
    """Starts each order through a shim; stdin is /dev/null, stdout and stderr go to the order's log file.

    `locks` are descriptors of flocks: the keeper and its shims hold them too, so that they live as long as the last
    process tree. `trouble` is the file for what a supervisor says when it breaks. To be closed at the end.
    """

    def __init__(self, *, trouble: Path, locks: Sequence[int] = ()) -> None:
        self._trouble = trouble
        self._locks = tuple(locks)
        self._keeper: _Keeper | None = None
        self._idle: list[_Shim] = []
        self._numbers = count(1)

    async def run(self, order: Order, control: Control) -> AttemptExited:
        """Run one attempt to its end: when this returns, its whole process tree is gone and its log complete.

        Every failure to start is an `AttemptExited` with `error`; one whose shim was killed is `lost`.
        """
        if control.stop_requested:
            return _failed(order, NEVER_STARTED)
        log = LogFile(order.log)
        tail = OutputTail(order.output)
        try:
            with every(REPORT_SECONDS, lambda: tail.poll() and control.reported(tail.metrics)):
                message = await self._supervised(order, control, log)
        finally:
            log.close()
        tail.finish()
        return _exited(order, message, log, tail)

    async def _supervised(self, order: Order, control: Control, log: LogFile) -> dict[str, Any]:
        """The shim's last word about one attempt."""
        pipe = OutputPipe(log.write, control.output)
        shim: _Shim | None = None
        try:
            try:
                shim = self._shim()
                last = shim.begin(next(self._numbers), order, control, pipe.write_end)
            finally:
                pipe.close_write_end()
            message = await last
        except OSError as error:
            message = {"failed": f"exec {error.errno}"}
        except asyncio.CancelledError:
            if shim:
                shim.close()
            raise
        finally:
            pipe.drain()
        if shim and shim.is_clean:
            self._idle.append(shim)
        if "failed" in message:
            log.write(f"etl-run: {_why(order, message['failed'])}\n".encode())
        return message

    def _shim(self) -> _Shim:
        """An idle shim, or a new one. Raises OSError if there can be none."""
        while self._idle:
            shim = self._idle.pop()
            if shim.is_clean:
                return shim
        if self._keeper is None or self._keeper.is_gone:
            self._keeper = _Keeper(trouble=self._trouble, locks=self._locks)
        try:
            return self._keeper.fork()
        except OSError:  # it was killed since: once more with another one
            self._keeper = _Keeper(trouble=self._trouble, locks=self._locks)
            return self._keeper.fork()

    def close(self) -> None:
        """End the supervisors, and wait until they have let go of the locks."""
        for shim in self._idle:
            shim.close()
        if self._keeper:
            self._keeper.close()


class _Keeper:
    """The keeper's process, and the socket to ask it for shims."""

    def __init__(self, *, trouble: Path, locks: Sequence[int]) -> None:
        self._socket, theirs = socket.socketpair()
        try:
            with trouble.open("ab") as file:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(PROGRAM), str(theirs.fileno()), *map(str, locks)],
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=file,
                    start_new_session=True,
                    pass_fds=(theirs.fileno(), *locks),
                    cwd="/",
                    env={},
                )
        except OSError:
            self._socket.close()
            raise
        finally:
            theirs.close()

    @property
    def is_gone(self) -> bool:
        return self._process.poll() is not None

    def fork(self) -> _Shim:
        """Ask for a shim. If the keeper cannot make one, its lifeline breaks at once."""
        ours, theirs = socket.socketpair()
        try:
            socket.send_fds(self._socket, [b"+"], [theirs.fileno()])
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        return _Shim(ours)

    def close(self) -> None:
        self._socket.close()
        with suppress(subprocess.TimeoutExpired):  # shims that cannot end their trees keep the locks, as they should
            self._process.wait(LAST_SECONDS)


class _Shim:
    """The runner's end of a lifeline."""

    def __init__(self, lifeline: socket.socket) -> None:
        lifeline.setblocking(False)
        self._lifeline = lifeline
        self._loop = asyncio.get_running_loop()
        self._inbox = Inbox()
        self._started: Callable[[int], None] | None = None
        self._last: asyncio.Future[dict[str, Any]] | None = None
        self._unsent: list[tuple[bytes, int]] = []
        self.is_clean = True
        self._loop.add_reader(lifeline, self._read)

    def begin(self, number: int, order: Order, control: Control, output: int) -> asyncio.Future[dict[str, Any]]:
        """Send an order; the future gives the shim's last word about it: `failed`, `ended` or `lost`."""
        self.is_clean = False
        self._last = self._loop.create_future()
        self._started = control.started
        message = {
            "id": number,
            "argv": order.argv,
            "cwd": order.cwd,
            "env": order.env,
            "grace": order.grace,
            "result": order.result,
        }
        self._send(pack(message), output)
        control.on_stop(lambda force: self._send(pack({"id": number, "stop": "now" if force else "grace"})))
        return self._last

    def close(self) -> None:
        """Break the lifeline: the shim ends what it runs, and itself."""
        self.is_clean = False
        self._loop.remove_reader(self._lifeline)
        self._loop.remove_writer(self._lifeline)
        self._lifeline.close()

    def _send(self, data: bytes, descriptor: int = -1) -> None:
        if descriptor >= 0:
            try:
                sent = socket.send_fds(self._lifeline, [data], [descriptor])
            except OSError:
                self._lose()
                return
            data = data[sent:]
        if self._lifeline.fileno() >= 0:
            self._unsent.append((data, -1))
            self._write()

    def _write(self) -> None:
        """Send what is waiting, as far as the socket takes it."""
        while self._unsent:
            data, _ = self._unsent[0]
            try:
                sent = self._lifeline.send(data) if data else 0
            except BlockingIOError:
                self._loop.add_writer(self._lifeline, self._write)
                return
            except OSError:
                self._lose()
                return
            if sent == len(data):
                self._unsent.pop(0)
            else:
                self._unsent[0] = (data[sent:], -1)
        self._loop.remove_writer(self._lifeline)

    def _read(self) -> None:
        try:
            data = self._lifeline.recv(65536)
        except BlockingIOError:
            return
        except OSError:  # ECONNRESET is what a killed peer can look like
            data = b""
        if not data:
            self._lose()
            return
        for message in self._inbox.feed(data):
            self._take(message)

    def _take(self, message: dict[str, Any]) -> None:
        if "started" in message and self._started:
            self._started(message["started"])
        elif self._last and not self._last.done():
            self.is_clean = not message.get("ended", {}).get("unkillable")
            self._last.set_result(message)

    def _lose(self) -> None:
        self.close()
        if self._last and not self._last.done():
            self._last.set_result({"lost": True})


def _exited(order: Order, message: dict[str, Any], log: LogFile, tail: OutputTail) -> AttemptExited:
    if "failed" in message:
        return _failed(order, _why(order, message["failed"]))
    ended = message.get("ended", {})
    warnings = list(tail.warnings)
    if ended.get("unkillable"):
        warnings.append(f"could not be killed: processes {', '.join(map(str, ended['unkillable']))}")
    return AttemptExited(
        job=order.job,
        attempt=order.attempt,
        seconds=round(ended.get("seconds", 0.0), 4),
        exit=ended.get("exit"),
        signal=ended.get("signal"),
        error="its supervisor was killed: nobody saw its end" if "lost" in message else "",
        lost="lost" in message,
        cpu_seconds=round(ended["cpu_seconds"], 3) if ended else None,
        peak_memory=ended.get("peak_memory"),
        left_behind=ended.get("left", 0),
        metrics=tail.metrics,
        log_truncated=log.truncated,
        warnings=tuple(warnings),
    )


def _failed(order: Order, error: str) -> AttemptExited:
    return AttemptExited(job=order.job, attempt=order.attempt, seconds=0.0, error=error)


def _why(order: Order, failure: str) -> str:
    """The shim's `exec ERRNO`, `cwd ERRNO`, `fork ERRNO` or `value WHY`, in words."""
    kind, _, detail = failure.partition(" ")
    match kind:
        case "exec":
            return program_trouble(order, int(detail))
        case "cwd":
            return folder_trouble(order, int(detail))
        case "fork":
            return other_trouble(order, os.strerror(int(detail)))
        case _:
            return other_trouble(order, detail)
