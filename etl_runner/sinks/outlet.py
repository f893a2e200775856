"""Writing to somebody who may be slow, stuck or gone, without waiting for them."""

from __future__ import annotations

import os
import select
from contextlib import suppress
from threading import Condition, Thread
from typing import TextIO

AT_ONCE = 64 * 1024


class Outlet:
    """A text stream that never blocks, and falls silent when the other end is gone.

    A stopped terminal (Ctrl+S) or a pager nobody scrolls must not keep a run from seeing its deadlines: a thread of
    its own writes, straight to the file descriptor, and `backlog` tells how many bytes wait. A stream without
    a descriptor (in memory) is written at once.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.encoding = stream.encoding or "utf-8"
        self.errors = "backslashreplace" if stream.errors == "strict" else stream.errors or "replace"
        self.gone = False
        self.error: OSError | None = None  # why it is gone, where that is no reader who went away
        self.backlog = 0
        self._parts: list[bytes] = []
        self._changed = Condition()
        self._closing = False
        self._fd = _descriptor(stream)
        self._thread: Thread | None = None
        with suppress(OSError, ValueError):
            stream.flush()

    def isatty(self) -> bool:
        return self._fd is not None and os.isatty(self._fd)

    def write(self, text: str) -> int:
        """Hand over text; it is written as soon as the other end takes it."""
        if self.gone or not text:
            return len(text)
        if self._fd is None:
            self._write_now(text)
            return len(text)
        data = text.encode(self.encoding, self.errors)
        with self._changed:
            self._parts.append(data)
            self.backlog += len(data)
            self._changed.notify()
        if self._thread is None:
            self._thread = Thread(target=self._drain, name="outlet", daemon=True)
            self._thread.start()
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self, *, patience: float | None = None) -> None:
        """Return when everything is written, the other end is gone, or `patience` seconds are over."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(patience)

    def _write_now(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            self.gone = True

    def _drain(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._parts or self._closing)
                data, self._parts = b"".join(self._parts), []
            if not data:
                return
            try:
                self._push(data)
            except OSError as error:
                self.gone, self.backlog = True, 0
                self.error = None if isinstance(error, BrokenPipeError) else error
                return

    def _push(self, data: bytes) -> None:
        assert self._fd is not None
        rest = memoryview(data)
        while rest:
            try:
                written = os.write(self._fd, rest[:AT_ONCE])
            except BlockingIOError:  # somebody sharing the terminal made it non-blocking
                select.select([], [self._fd], [], 1.0)
                continue
            rest = rest[written:]
            with self._changed:
                self.backlog -= written


def _descriptor(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except (OSError, ValueError, AttributeError):
        return None
