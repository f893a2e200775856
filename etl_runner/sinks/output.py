"""What jobs print, cut into lines that may stand on a screen."""

from __future__ import annotations

from etl_runner.words import clean

LONGEST = 8192


class OutputLines:
    """Raw chunks in, whole clean lines out; the rest waits for its newline."""

    def __init__(self) -> None:
        self._rest: dict[str, bytes] = {}

    def feed(self, job: str, chunk: bytes) -> list[str]:
        """The lines that this chunk completes. A line beyond all measure comes in pieces."""
        data = self._rest.pop(job, b"") + chunk
        *whole, rest = data.split(b"\n")
        if len(rest) > LONGEST:
            whole.append(rest)
            rest = b""
        if rest:
            self._rest[job] = rest
        return [_text(line) for line in whole]

    def end(self, job: str) -> list[str]:
        """The last line, if it had no newline."""
        rest = self._rest.pop(job, b"")
        return [_text(rest)] if rest else []


class LastWords:
    """The line each job printed last."""

    def __init__(self) -> None:
        self._ends: dict[str, bytes] = {}

    def feed(self, job: str, chunk: bytes) -> None:
        self._ends[job] = (
            (self._ends.get(job, b"") + chunk)[-LONGEST // 8 :] if len(chunk) < LONGEST else chunk[-LONGEST // 8 :]
        )

    def end(self, job: str) -> None:
        self._ends.pop(job, None)

    def of(self, job: str) -> str:
        lines = self._ends.get(job, b"").replace(b"\r", b"\n").split(b"\n")
        return next((text for line in reversed(lines) if (text := _text(line))), "")


def _text(line: bytes) -> str:
    return clean(line.decode("utf-8", errors="replace")).rstrip()
