"""The file an attempt's output goes to, and the pipe it comes from."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from etl_runner.executors.output import make_folder_of

CHUNK = 64 * 1024
MOST_LEFT = 2 << 20  # a pipe holds at most 1 MiB (pipe(7))


class LogFile:
    """A log that never stops its job: what cannot be written is dropped and flagged."""

    def __init__(self, path: str) -> None:
        self.truncated = False
        self._fd = -1
        try:
            make_folder_of(path)
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        except OSError:
            self.truncated = True

    def write(self, chunk: bytes) -> None:
        while chunk and not self.truncated:
            try:
                chunk = chunk[os.write(self._fd, chunk) :]
            except OSError:
                self.truncated = True

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class OutputPipe:
    """Reads what an attempt writes, in raw chunks from the running loop; its write end is the attempt's."""

    def __init__(self, *sinks: Callable[[bytes], object]) -> None:
        self._sinks = sinks
        self._loop = asyncio.get_running_loop()
        self._reader, self.write_end = os.pipe()
        os.set_blocking(self._reader, False)
        self._loop.add_reader(self._reader, self._read)

    def close_write_end(self) -> None:
        """To be called once the attempt has its own copy."""
        os.close(self.write_end)

    def drain(self) -> None:
        """Take what is left and close. Bounded: somebody who got away may hold the pipe and go on writing."""
        for _ in range(MOST_LEFT // CHUNK):
            if not self._read():
                break
        self._loop.remove_reader(self._reader)
        os.close(self._reader)

    def _read(self) -> bool:
        """Move one chunk; False when there is nothing (more) to read."""
        try:
            chunk = os.read(self._reader, CHUNK)
        except BlockingIOError:
            return False
        if not chunk:
            self._loop.remove_reader(self._reader)
            return False
        for sink in self._sinks:
            sink(chunk)
        return True
