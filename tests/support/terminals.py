"""Commands in a terminal of their own."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

PATIENCE = 60.0


class Terminal:
    """A command that is the leader of a session with a terminal; `screen` is all it wrote there so far."""

    def __init__(self, command: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> None:
        self._master, slave = pty.openpty()
        os.set_blocking(self._master, False)
        self.screen = b""
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *command], cwd=cwd, env=dict(env), stdin=slave, stdout=slave, stderr=slave
        )
        os.close(slave)

    def read_until(self, text: bytes) -> bytes:
        """Read until the screen has this text."""
        limit = time.monotonic() + PATIENCE
        while text not in self.screen:
            assert time.monotonic() < limit, self.screen
            assert self._read(), self.screen
        return self.screen

    def wait(self) -> int:
        """Read to the end; the exit status."""
        while self._read():
            pass
        return self.process.wait(PATIENCE)

    def hang_up(self) -> None:
        os.close(self._master)
        self._master = -1

    def _read(self) -> bool:
        select.select([self._master], [], [], PATIENCE)
        try:
            data = os.read(self._master, 65536)
        except OSError:  # EIO: nobody has the terminal open any more
            return False
        self.screen += data
        return bool(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._master >= 0:
            self.hang_up()
        self.process.kill()
        self.process.wait()
