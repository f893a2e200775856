"""The keeper's program: python -I -S __main__.py CONTROL [LOCK …], with open descriptors.

CONTROL is a socket to the runner. A byte with a descriptor (a shim's end of a lifeline) forks a shim. LOCK descriptors
are held, and given to nobody but the shims.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
from contextlib import suppress

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from etl_runner.keeper import kernel, wire
from etl_runner.keeper.shim import Shim


class Keeper:
    """Forks shims on request; outlives the runner until the last of them is gone."""

    def __init__(self, control: socket.socket) -> None:
        kernel.become_subreaper()
        signal.pthread_sigmask(signal.SIG_SETMASK, set())
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        self._control: socket.socket | None = control
        self._shims: set[int] = set()
        reader, writer = os.pipe()
        for descriptor in (reader, writer):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._wakeup = (reader, writer)

    def serve(self) -> None:
        while self._control or self._shims:
            control = self._control.fileno() if self._control else -1
            watched = [self._wakeup[0], *([control] if self._control else [])]
            ready, _, _ = select.select(watched, [], [], 1.0 if self._strangers() else None)
            if self._wakeup[0] in ready:
                with suppress(BlockingIOError):
                    os.read(self._wakeup[0], 4096)
            self._reap()
            if control in ready:
                self._answer()

    def _answer(self) -> None:
        assert self._control
        data, descriptors = wire.receive(self._control, 1)
        if not data:
            self._control.close()
            self._control = None
        for descriptor in descriptors:
            self._fork(descriptor)

    def _fork(self, descriptor: int) -> None:
        try:
            pid = os.fork()
        except OSError:  # no processes left: closing the lifeline tells the runner
            os.close(descriptor)
            return
        if pid:
            self._shims.add(pid)
            os.close(descriptor)
            return
        try:
            os.setsid()  # a signal to the keeper's group spares the shims
            self._close()
            Shim(socket.socket(fileno=descriptor)).serve()
        finally:
            os._exit(0)

    def _close(self) -> None:
        """Leave the keeper's own things, in the shim."""
        signal.set_wakeup_fd(-1)
        for end in self._wakeup:
            os.close(end)
        if self._control:
            self._control.close()

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while (pid := os.waitpid(-1, os.WNOHANG)[0]) > 0:
                self._shims.discard(pid)
        for pid in self._strangers():  # a shim was killed, and its tree is ours now
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)

    def _strangers(self) -> list[int]:
        return [pid for pid in kernel.children() if pid not in self._shims]


def main() -> None:
    control, *locks = map(int, sys.argv[1:])
    for descriptor in (control, *locks):
        os.set_inheritable(descriptor, False)
    gc.disable()
    gc.freeze()
    Keeper(socket.socket(fileno=control)).serve()


if __name__ == "__main__":
    main()
