"""The shim: runs attempts one after another, and ends their trees."""

from __future__ import annotations

import errno
import os
import select
import time

from etl_runner.keeper import kernel, wire
from etl_runner.keeper.output import Output
from etl_runner.keeper.program import StartError
from etl_runner.keeper.tree import Tree
from etl_runner.keeper.warm import Stock

TYPE_CHECKING = False  # as typing's, which takes a megabyte and 3 ms to import
if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Sequence
    from typing import Any


class Shim:
    """What a shim has; made in the keeper, so that a shim need not write all of it into memory of its own."""

    _lifeline: socket
    _wakeup: int

    def __init__(self, *, stock: Stock | None = None, notes: Sequence[str] = ()) -> None:
        self._stock = stock
        self._notes = list(notes)
        self._inbox = wire.Inbox()
        self._messages: list[dict[str, Any]] = []
        self._descriptors: list[int] = []
        self._runner_is_gone = False
        self._unheard: tuple[str, dict[str, Any]] | None = None  # told, but nothing shows that it was heard
        self._output: Output | None = None  # of the attempt that runs, or is unheard
        self._cpu_seconds = 0.0
        self._poll = select.poll()

    def serve(self, lifeline: socket) -> None:
        """Serve the runner at its other end until that is gone, or a tree of it cannot be ended."""
        kernel.become_subreaper()
        self._lifeline = lifeline
        self._wakeup = kernel.child_wakeup()[0]
        self._poll.register(lifeline, select.POLLIN)
        self._poll.register(self._wakeup, select.POLLIN)
        while not self._runner_is_gone:
            while self._messages:
                self._take(self._messages.pop(0))
            self._receive()
        self._leave_word()

    def _take(self, message: dict[str, Any]) -> None:
        if "stop" not in message:
            self._unheard = None
            if self._output:
                self._output.close()
                self._output = None
        if "argv" in message:
            writer, reader = self._descriptors.pop(0), self._descriptors.pop(0)
            self._output = Output(reader, message)
            self._run(message, writer)

    def _run(self, order: dict[str, Any], writer: int) -> None:
        changed = self._stock.changed() if self._stock and order.get("warm") else None
        if changed:
            self._notes.append(f"not preloaded: {changed} has changed on disk since it was imported")
        warm = self._stock if self._stock and order.get("warm") and not changed else None
        try:
            tree = Tree(order, writer, warm)
        except StartError as error:
            self._send({"failed": str(error)}, order)
            return
        except OSError as error:
            self._send({"failed": f"fork {error.errno or errno.EAGAIN}"}, order)
            return
        finally:
            os.close(writer)
        started = {"started": tree.leader, "shim": os.getpid(), "notes": self._notes, "outdated": bool(changed)}
        self._send(started, None)
        self._notes = []
        stopped = self._watch(tree, order)
        ended = {**tree.end(cpu_before=self._cpu_seconds), "stopped": stopped}
        self._cpu_seconds += ended["cpu_seconds"]
        self._send({"ended": ended}, order)
        if ended["unkillable"]:
            self._leave_word()
            os._exit(1)  # not clean any more: the next attempt gets another shim

    def _watch(self, tree: Tree, order: dict[str, Any]) -> bool:
        """Wait for the leader's end, and bring it about when asked to, or when the runner is gone."""
        kill_at: float | None = None
        stopped = False
        while not tree.is_leader_over():
            wanted = self._stop_wanted(order["id"])
            if wanted and not stopped:
                stopped = True
                kill_at = time.monotonic() + order["grace"]
                tree.signal(kernel.TERM)
            if wanted == "now" or (kill_at is not None and time.monotonic() >= kill_at):
                tree.signal(kernel.KILL)
                kill_at = None
            self._poll_once(None if kill_at is None else max(0.0, kill_at - time.monotonic()))
        return stopped

    def _stop_wanted(self, attempt: int) -> str:
        """The most urgent request to stop this attempt: "", "grace" or "now". Requests for an earlier one are stale."""
        stops = [message["stop"] for message in self._messages if message.get("stop") and message["id"] == attempt]
        self._messages = [message for message in self._messages if "stop" not in message]
        if "now" in stops:
            return "now"
        return "grace" if stops or self._runner_is_gone else ""

    def _poll_once(self, seconds: float | None) -> None:
        if self._runner_is_gone and self._output and not self._output.is_over:
            self._poll.register(self._output.reader, select.POLLIN)
        for descriptor, _ in self._poll.poll(None if seconds is None else seconds * 1000 + 1):
            if descriptor == self._wakeup:
                kernel.hear(self._wakeup)
            elif self._output and descriptor == self._output.reader:
                self._output.take()
                if self._output.is_over:
                    self._poll.unregister(descriptor)
            else:
                self._receive()

    def _receive(self) -> None:
        """Take in what the runner says; blocks if that is nothing."""
        data, descriptors = wire.receive(self._lifeline)
        self._descriptors += descriptors
        if not data:
            self._runner_is_gone = True
            try:
                self._poll.unregister(self._lifeline)
            except KeyError:  # known already
                pass
        self._messages += self._inbox.feed(data)

    def _send(self, message: dict[str, Any], order: dict[str, Any] | None) -> None:
        """Report; the end of an order is kept until the next one, or a goodbye, shows that the runner heard it."""
        if order:
            self._unheard = (order["result"], message)
        try:
            self._lifeline.sendall(wire.pack(message))
        except OSError:
            self._runner_is_gone = True

    def _leave_word(self) -> None:
        """Write down what the runner did not live to hear, and what it did not read of the job's output."""
        if self._output and self._runner_is_gone:
            self._output.drain()
        if self._unheard:
            _write_result(*self._unheard)


def _write_result(path: str, message: dict[str, Any]) -> None:
    """Leave the end of an attempt for whoever asks later; whole or not at all."""
    import json  # seldom needed: not for every supervisor

    new = f"{path}.new"
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(new, "w", encoding="utf-8") as file:
            json.dump(message, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except OSError:
        pass  # nobody is left to be told
