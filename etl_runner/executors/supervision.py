"""The runner's ends of keepers and shims: who is there, who is idle, what they say."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from etl_runner.control import Control
from etl_runner.keeper.wire import Inbox, pack
from etl_runner.model import Order

LAST_SECONDS = 30.0


class Supervision:
    """A keeper, started when it is needed and again when it was killed, and its idle shims."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        locks: Sequence[int],
        trouble: Path,
        words: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._command = command
        self._locks = tuple(locks)
        self._trouble = trouble
        self._words = words
        self._env = env or {}
        self._idle: list[Shim] = []
        self._keeper: Keeper | None = None
        self._keepers: list[Keeper] = []  # all there ever were

    def shim(self) -> Shim:
        """An idle shim, or a new one. Raises OSError if there can be none."""
        while self._idle:
            shim = self._idle.pop()
            if shim.is_clean:
                return shim
        if self._keeper is None or self._keeper.is_gone:
            self._keeper = self._start()
        try:
            return self._keeper.fork()
        except OSError:  # it was killed just now: once more with another one
            self._keeper = self._start()
            return self._keeper.fork()

    def take_back(self, shim: Shim) -> None:
        if shim.is_clean:
            self._idle.append(shim)
        if shim.is_outdated and self._keeper:  # what it has imported is not what is on disk: the next one reads anew
            self._keeper.dismiss()
            self._keeper = None
            for idle in self._idle:
                idle.close()
            self._idle.clear()

    def close(self) -> None:
        for shim in self._idle:
            shim.close()
        for keeper in self._keepers:
            keeper.dismiss()
        for keeper in self._keepers:
            keeper.wait()

    def _start(self) -> Keeper:
        ours, theirs = socket.socketpair()
        descriptors = (theirs.fileno(), *self._locks)
        try:
            with self._trouble.open("ab") as file:
                process = subprocess.Popen(
                    [*self._command, ",".join(map(str, descriptors)), *self._words],
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=file,
                    start_new_session=True,
                    pass_fds=descriptors,
                    cwd="/",
                    env=dict(self._env),
                )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        keeper = Keeper(process, ours)
        self._keepers.append(keeper)
        return keeper


class Keeper:
    """The keeper's process, and the socket to ask it for shims."""

    def __init__(self, process: subprocess.Popen[bytes], control: socket.socket) -> None:
        self._process = process
        self._socket = control

    @property
    def is_gone(self) -> bool:
        return self._process.poll() is not None

    def fork(self) -> Shim:
        """Ask for a shim. If the keeper cannot make one, its lifeline breaks at once."""
        ours, theirs = socket.socketpair()
        try:
            socket.send_fds(self._socket, [b"+"], [theirs.fileno()])
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        return Shim(ours)

    def dismiss(self) -> None:
        """Let it end with the last of its shims."""
        self._socket.close()

    def wait(self) -> None:
        """Wait for its end, for a while: shims that cannot end their trees keep the locks, rightly."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(LAST_SECONDS)


class Shim:
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
        self.is_outdated = False
        self._loop.add_reader(lifeline, self._read)

    def begin(
        self, words: dict[str, Any], order: Order, control: Control, output: int
    ) -> asyncio.Future[dict[str, Any]]:
        """Send an order; the future gives the shim's last word about it: `failed`, `ended` or `lost`, and `notes`."""
        self.is_clean = False
        self._last = self._loop.create_future()
        self._started = control.started
        self._notes: list[str] = list(words.get("notes", ()))
        message = {
            **words,
            "argv": order.argv,
            "cwd": order.cwd,
            "env": order.env,
            "grace": order.grace,
            "result": order.result,
        }
        self._send(pack(message), output)
        control.on_stop(lambda force: self._send(pack({"id": words["id"], "stop": "now" if force else "grace"})))
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
            self._notes += message["notes"]
            self.is_outdated = message["outdated"]
            self._started(message["started"])
        elif self._last and not self._last.done():
            self.is_clean = not message.get("ended", {}).get("unkillable")
            self._last.set_result({**message, "notes": self._notes})

    def _lose(self) -> None:
        self.close()
        if self._last and not self._last.done():
            self._last.set_result({"lost": True, "notes": self._notes})
