"""The keeper's program: python __main__.py CONTROL,LOCK,… [FOLDER MODULE …], with open descriptors.

CONTROL is a socket to the runner. "+" with a descriptor (a shim's end of a lifeline) forks a shim. "?" asks whether the
tree of a shim that was killed (its number is to be read from the descriptor) is gone; a byte says so when it is. LOCK
descriptors are held, and given to nobody but the shims. MODULEs are imported first, FOLDER being where the project's
own are.
"""

from __future__ import annotations

import gc
import os
import select
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, ROOT)

from _socket import socket

from etl_runner.keeper import kernel, wire
from etl_runner.keeper.shim import Shim
from etl_runner.keeper.warm import NotPreloadableError, Stock

sys.path.remove(ROOT)  # jobs may start from here: they see the path that any Python has

NOTES = "ETL_KEEPER_NOTES"


class Keeper:
    """Forks shims on request; outlives the runner until the last of them is gone."""

    def __init__(self, control: socket, stock: Stock | None, notes: list[str]) -> None:
        kernel.become_subreaper()
        kernel.ignore_signals(kernel.INT, kernel.TERM, kernel.HUP)
        self._control: socket | None = control
        self._shims: set[int] = set()
        self._asked: list[tuple[int, int]] = []
        self._shim = Shim(stock=stock, notes=notes)
        self._has_strangers = False
        self._wakeup = kernel.child_wakeup()
        self._poll = select.poll()
        self._poll.register(self._wakeup[0], select.POLLIN)
        self._poll.register(control, select.POLLIN)

    def serve(self) -> None:
        while self._control or self._shims or self._strangers():
            ready = dict(self._poll.poll(1000 if self._has_strangers else None))
            if self._has_strangers or self._wakeup[0] in ready:
                kernel.hear(self._wakeup[0])
                self._reap()
            if self._control and self._control.fileno() in ready:
                self._answer()
            self._tell_settled()

    def _answer(self) -> None:
        assert self._control
        data, descriptors = wire.receive(self._control, 1)
        if not data:
            self._poll.unregister(self._control)
            self._control.close()
            self._control = None
        for descriptor in descriptors:
            if data == wire.SETTLE:
                self._asked.append((int.from_bytes(os.read(descriptor, 4)), descriptor))
            else:
                self._fork(descriptor)

    def _tell_settled(self) -> None:
        for shim, descriptor in list(self._asked):
            if shim not in self._shims and not self._strangers():
                _tell(descriptor, wire.SETTLE)
                self._asked.remove((shim, descriptor))

    def _fork(self, descriptor: int) -> None:
        try:
            pid = os.fork()
        except OSError as error:  # no processes left
            _tell(descriptor, wire.pack({"failed": f"fork {error.errno}", "gone": True}))
            return
        if pid:
            self._shims.add(pid)
            os.close(descriptor)
            return
        try:
            os.setsid()  # a signal to the keeper's group spares the shims
            self._close()
            self._shim.serve(socket(fileno=descriptor))
        finally:
            os._exit(0)

    def _close(self) -> None:
        """Leave the keeper's own things, in the shim."""
        for end in (*self._wakeup, *(descriptor for _, descriptor in self._asked)):
            os.close(end)
        if self._control:
            self._control.close()

    def _reap(self) -> None:
        try:
            while (pid := os.waitpid(-1, os.WNOHANG)[0]) > 0:
                self._shims.discard(pid)
        except ChildProcessError:
            pass
        strangers = self._strangers()  # a shim was killed, and its tree is ours now
        for pid in strangers:
            kernel.kill(pid)
        self._has_strangers = bool(strangers)

    def _strangers(self) -> list[int]:
        return [pid for pid in kernel.children() if pid not in self._shims]


def _tell(descriptor: int, what: bytes) -> None:
    try:
        os.write(descriptor, what)
    except OSError:
        pass  # it does not want to know any more
    os.close(descriptor)


def main() -> None:
    descriptors = [int(number) for number in sys.argv[1].split(",")]
    notes = os.environ.pop(NOTES, "").splitlines()
    stock = _stocked(sys.argv[2], sys.argv[3:], notes, descriptors) if sys.argv[3:] else None
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    gc.disable()
    gc.freeze()
    Keeper(socket(fileno=descriptors[0]), stock, notes).serve()
    os._exit(0)  # the runner waits for it: nothing here needs taking apart, nor do the modules kept for jobs


def _stocked(folder: str, modules: list[str], notes: list[str], descriptors: list[int]) -> Stock:
    """Import the modules. One that cannot be preloaded is noted, and this program starts again without it."""
    sys.path[0] = folder  # was the folder of this program
    for number, name in enumerate(modules):
        try:
            Stock([name])
        except NotPreloadableError as error:
            rest = modules[:number] + modules[number + 1 :]
            os.environ[NOTES] = "\n".join([*notes, f"not preloaded: {error}"])
            own = [sys.executable, os.path.abspath(__file__), ",".join(map(str, descriptors))]
            os.execv(sys.executable, [*own, folder, *rest] if rest else own)
    return Stock(modules)


if __name__ == "__main__":
    main()
