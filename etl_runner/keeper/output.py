"""What a job says when its runner is gone: it may still say it, and most of it is kept."""

from __future__ import annotations

import os

TYPE_CHECKING = False  # as typing's, which takes a megabyte and 3 ms to import
if TYPE_CHECKING:
    from typing import Any

CHUNK = 64 * 1024
MOST_LEFT = 2 << 20  # a pipe holds at most 1 MiB (pipe(7))


class Output:
    """The shim's own copy of the end of an attempt's pipe that the runner reads.

    While it is there, a job that writes is not killed by SIGPIPE. It is read only when the runner is gone: what comes
    is appended to the log up to its limit, and dropped where the order names no log.
    """

    def __init__(self, reader: int, order: dict[str, Any]) -> None:
        self.reader = reader
        self.is_over = False  # nobody has the other end any more
        self._path = order.get("log", "")
        self._limit = order.get("log_limit", 0)

    def take(self) -> bool:
        """Take a chunk; False if there is none (now)."""
        try:
            chunk = os.read(self.reader, CHUNK)
        except BlockingIOError:
            return False
        if self._path:
            self._keep(chunk)
        self.is_over = not chunk
        return not self.is_over

    def drain(self) -> None:
        """Take what is left. Bounded: somebody who got away may go on writing."""
        for _ in range(MOST_LEFT // CHUNK):
            if not self.take():
                break

    def close(self) -> None:
        os.close(self.reader)

    def _keep(self, chunk: bytes) -> None:
        try:
            log = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                room = self._limit - os.fstat(log).st_size if self._limit else len(chunk)
                os.write(log, chunk[: max(room, 0)])
            finally:
                os.close(log)
        except OSError:
            self._path = ""  # no room, or no such file: the job goes on
