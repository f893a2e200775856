"""The runner's end of one shim."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from etl_runner.control import Control
from etl_runner.keeper.wire import Inbox, pack
from etl_runner.model import Order


class Shim:
    """The runner's end of a lifeline. `pid` is the shim's once it has said so, and `known` has it until we close."""

    def __init__(self, lifeline: socket.socket, *, known: set[int]) -> None:
        lifeline.setblocking(False)
        self._lifeline = lifeline
        self._loop = asyncio.get_running_loop()
        self._inbox = Inbox()
        self._started: Callable[[int], None] | None = None
        self._last: asyncio.Future[dict[str, Any]] | None = None
        self._unsent: list[bytes] = []
        self._notes: list[str] = []
        self._known = known
        self.pid = 0
        self.is_clean = True
        self.is_outdated = False
        self._loop.add_reader(lifeline, self._read)

    def begin(
        self, words: dict[str, Any], order: Order, control: Control, pipe: tuple[int, int]
    ) -> asyncio.Future[dict[str, Any]]:
        """Send an order and both ends of its pipe, the one to write to first.

        The future gives the shim's last word about it: `failed`, `ended` or `lost`, and `notes`.
        """
        self.is_clean = False
        self._last = self._loop.create_future()
        self._started = control.started
        self._notes = list(words.get("notes", ()))
        message = {
            **words,
            "argv": order.argv,
            "cwd": order.cwd,
            "env": order.env,
            "grace": order.grace,
            "result": order.result,
        }
        self._send(pack(message), pipe)
        control.on_stop(lambda force: self._send(pack({"id": words["id"], "stop": "now" if force else "grace"})))
        return self._last

    def dismiss(self) -> None:
        """Say that all it told was heard, and close."""
        with suppress(OSError):  # gone by itself, or deaf: it writes down what it has to say
            self._lifeline.send(pack({"bye": True}))
        self.close()

    def close(self) -> None:
        """Break the lifeline: the shim ends what it runs, and itself."""
        self.is_clean = False
        self._known.discard(self.pid)
        self._loop.remove_reader(self._lifeline)
        self._loop.remove_writer(self._lifeline)
        self._lifeline.close()

    def _send(self, data: bytes, descriptors: tuple[int, ...] = ()) -> None:
        if descriptors:
            try:
                sent = socket.send_fds(self._lifeline, [data], descriptors)
            except OSError:  # gone; what it still said is there to be read, then its end
                return
            data = data[sent:]
        if self._lifeline.fileno() >= 0:
            self._unsent.append(data)
            self._write()

    def _write(self) -> None:
        """Send what is waiting, as far as the socket takes it."""
        while self._unsent:
            data = self._unsent[0]
            try:
                sent = self._lifeline.send(data) if data else 0
            except BlockingIOError:
                self._loop.add_writer(self._lifeline, self._write)
                return
            except OSError:  # as above
                self._unsent.clear()
                break
            if sent == len(data):
                self._unsent.pop(0)
            else:
                self._unsent[0] = data[sent:]
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
            self.pid = message["shim"]
            self._known.add(self.pid)
            self._started(message["started"])
        elif self._last and not self._last.done():
            self.is_clean = "gone" not in message and not message.get("ended", {}).get("unkillable")
            self._last.set_result({**message, "notes": self._notes})

    def _lose(self) -> None:
        self.close()
        if self._last and not self._last.done():
            self._last.set_result({"lost": True, "notes": self._notes})
