"""The runner's ends of keepers: who is there, which shims are idle, whose trees are gone."""

from __future__ import annotations

import asyncio
import resource
import socket
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from etl_runner.executors.lifeline import Shim
from etl_runner.executors.orphans import Orphans
from etl_runner.keeper import wire

LAST_SECONDS = 30.0
SETTLE_SECONDS = 10.0
PAUSE = 0.002


class Supervision:
    """A keeper, started when it is needed and again when it was killed, and its idle shims."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        locks: Sequence[int],
        orphans: Orphans,
        trouble: Path,
        words: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._command = command
        self._locks = tuple(locks)
        self._orphans = orphans
        self._trouble = trouble
        self._words = words
        self._env = env or {}
        self._files = _allow_many_files()
        self._idle: list[Shim] = []
        self._keeper: Keeper | None = None
        self._keepers: list[Keeper] = []  # all there ever were

    def prepare(self) -> None:
        """Start the keeper ahead of its first use; if it cannot be started, that is said then."""
        with suppress(OSError):
            self._keeper = self._start()

    def shim(self) -> Shim:
        """An idle shim, or a new one. Raises OSError if there can be none."""
        while self._idle:
            shim = self._idle.pop()
            if shim.is_clean:
                return shim
        if self._keeper is None:
            self._keeper = self._start()
        try:
            return self._keeper.fork(self._orphans.spared)
        except OSError:  # it was killed: once more with another one
            self._keeper = self._start()
            return self._keeper.fork(self._orphans.spared)

    def take_back(self, shim: Shim) -> None:
        if shim.is_clean:
            self._idle.append(shim)
        if shim.is_outdated and self._keeper:  # what it has imported is not what is on disk: the next one reads anew
            self._keeper.dismiss()
            self._keeper = None
            for idle in self._idle:
                idle.dismiss()
            self._idle.clear()

    async def settle(self, shim: Shim) -> None:
        """Wait until the tree of a shim that was killed is gone: its keeper kills it, or else we do ourselves."""
        with suppress(TimeoutError):  # what cannot be killed keeps the locks, but not the run
            async with asyncio.timeout(SETTLE_SECONDS):
                settled = [await keeper.has_settled(shim.pid) for keeper in self._keepers if not keeper.is_dismissed]
                if not all(settled):
                    await self._orphans.end()

    def close(self) -> None:
        for shim in self._idle:
            shim.dismiss()
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
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, self._files)  # jobs have the usual limit
        keeper = Keeper(process, ours)
        self._orphans.spared.add(process.pid)
        self._keepers.append(keeper)
        return keeper


class Keeper:
    """The keeper's process, and the socket to ask it for shims."""

    def __init__(self, process: subprocess.Popen[bytes], control: socket.socket) -> None:
        self._process = process
        self._socket = control
        self.is_dismissed = False

    @property
    def is_gone(self) -> bool:
        return self._process.poll() is not None

    def fork(self, known: set[int]) -> Shim:
        """Ask for a shim, which will be among the known supervisors. Raises OSError if the keeper is gone."""
        return Shim(self._ask(wire.FORK), known=known)

    async def has_settled(self, shim: int) -> bool:
        """Return when the tree of this shim, which was killed, is gone; False if nobody was left here to end it."""
        loop = asyncio.get_running_loop()
        try:
            with self._ask(wire.SETTLE, shim.to_bytes(4)) as line:
                line.setblocking(False)
                if await loop.sock_recv(line, 1):
                    return True
        except OSError:
            pass
        while not self.is_gone:  # noqa: ASYNC110 - its children are not ours before that
            await asyncio.sleep(PAUSE)
        return False

    def _ask(self, what: bytes, word: bytes = b"") -> socket.socket:
        """Our end of a new line, of which the keeper gets the other one."""
        ours, theirs = socket.socketpair()
        try:
            ours.sendall(word)
            socket.send_fds(self._socket, [what], [theirs.fileno()])
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        return ours

    def dismiss(self) -> None:
        """Let it end with the last of its shims."""
        self.is_dismissed = True
        self._socket.close()

    def wait(self) -> None:
        """Wait for its end, for a while: shims that cannot end their trees keep the locks, rightly."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(LAST_SECONDS)


@cache
def _allow_many_files() -> tuple[int, int]:
    """Let this process open as many files as it may: three for each running attempt. Gives the limit before."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    return before
