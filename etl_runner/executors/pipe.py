"""The pipe an attempt's output comes from."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from etl_runner.masking import MaskedStream, Masker

CHUNK = 64 * 1024
MOST_LEFT = 2 << 20  # a pipe holds at most 1 MiB (pipe(7))
QUIET_SECONDS = 0.2


class OutputPipe:
    """Reads what an attempt writes, in raw chunks from the running loop; its write end is the attempt's.

    The read end is for its supervisor, too, who reads when we are gone. The sinks get all without what `masker` hides.
    """

    def __init__(self, *sinks: Callable[[bytes], object], masker: Masker | None = None) -> None:
        self._sinks = sinks
        self._masked = masker.stream() if masker else None
        self._quiet: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self.read_end, self.write_end = os.pipe()
        os.set_blocking(self.read_end, False)
        self._loop.add_reader(self.read_end, self._read)

    def close_write_end(self) -> None:
        """To be called once the attempt has its own copy."""
        os.close(self.write_end)

    def drain(self) -> None:
        """Take what is left and close. Bounded: somebody who got away may hold the pipe and go on writing."""
        for _ in range(MOST_LEFT // CHUNK):
            if not self._read():
                break
        self._loop.remove_reader(self.read_end)
        os.close(self.read_end)
        if self._masked:
            self._pass_on(self._masked.end())
        if self._quiet:
            self._quiet.cancel()

    def _read(self) -> bool:
        """Move one chunk; False when there is nothing (more) to read."""
        try:
            chunk = os.read(self.read_end, CHUNK)
        except BlockingIOError:
            return False
        if not chunk:
            self._loop.remove_reader(self.read_end)
            return False
        if self._masked:
            chunk = self._masked.feed(chunk)
            self._wait_for_quiet(self._masked)
        self._pass_on(chunk)
        return True

    def _wait_for_quiet(self, masked: MaskedStream) -> None:
        """Have what is held back shown if nothing follows for a moment."""
        if self._quiet:
            self._quiet.cancel()
            self._quiet = None
        if masked.is_holding:
            self._quiet = self._loop.call_later(QUIET_SECONDS, lambda: self._pass_on(masked.idle()))

    def _pass_on(self, chunk: bytes) -> None:
        if chunk:
            for sink in self._sinks:
                sink(chunk)
