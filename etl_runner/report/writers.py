"""Ways of a log's bytes to a stream."""

from __future__ import annotations

from typing import BinaryIO, Protocol

from etl_runner import words

CHUNK = 64 * 1024


class Writer(Protocol):
    """Takes a log's bytes; `end` is called when it is complete."""

    def write(self, chunk: bytes) -> None: ...
    def end(self) -> None: ...


class Raw:
    """Passes bytes on as they are."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out

    def write(self, chunk: bytes) -> None:
        self._out.write(chunk)
        self._out.flush()

    def end(self) -> None:
        """Nothing is held back."""


class ByLine:
    """Passes whole lines on, each after `prefix`, and harmless to a terminal if `clean`."""

    def __init__(self, out: BinaryIO, *, prefix: str = "", clean: bool, encoding: str = "utf-8") -> None:
        self._out = out
        self._prefix = prefix.encode(encoding, "replace")
        self._clean = clean
        self._encoding = encoding
        self._pending = b""

    def write(self, chunk: bytes) -> None:
        *lines, self._pending = (self._pending + chunk).split(b"\n")
        if len(self._pending) > CHUNK:
            lines, self._pending = [*lines, self._pending], b""
        if lines:
            self._out.write(b"".join(self._line(line) for line in lines))
            self._out.flush()

    def end(self) -> None:
        if self._pending:
            self.write(b"\n")

    def _line(self, line: bytes) -> bytes:
        if self._clean:
            text = words.clean(line.decode("utf-8", "replace"))
            line = text.encode(self._encoding, "replace")
        return self._prefix + line + b"\n"
