"""Process trees whose shim and keeper were both killed: they become the runner's own, which ends them. Linux."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress

from etl_runner.keeper import kernel

PAUSE = 0.002


class Orphans:
    """Makes this process the last subreaper of what it starts from now on.

    `spared` are the supervisors: they are no orphans though their own parent may be gone. Nor is what was there
    before, or lives in a session of this process: commands that it runs itself.
    """

    def __init__(self) -> None:
        self._before = set(kernel.children())
        self.spared: set[int] = set()
        kernel.become_subreaper()

    async def end(self) -> None:
        """Kill the orphans until the kernel says that there are none; to be called when their supervisors are dead."""
        while orphans := self._found():
            for pid in orphans:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
                with suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)  # noqa: ASYNC222
            await asyncio.sleep(PAUSE)

    def _found(self) -> list[int]:
        return [pid for pid in kernel.children() if pid not in self._before | self.spared and not _is_of_us(pid)]


def _is_of_us(pid: int) -> bool:
    try:
        return os.getsid(pid) == os.getsid(0)
    except ProcessLookupError:
        return True
