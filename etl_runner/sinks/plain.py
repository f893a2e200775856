"""Permanent lines where nothing moves: files, pipes, cron, CI, the journal."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TextIO

from etl_runner.look import Line, Look
from etl_runner.sinks.outlet import Outlet
from etl_runner.sinks.paint import paint, plain


class PlainScreen:
    """Prints blocks: a stamped line and what belongs to it.

    The stamp is the wall-clock time and how many jobs are over: `03:00:11 [ 7/25] `. The systemd journal has its own
    clock and gets priorities; GitHub Actions gets an annotation for what is bad, and the rest of its block folded.
    """

    def __init__(self, out: Outlet, stream: TextIO, env: Mapping[str, str], *, total: Callable[[], int]) -> None:
        self._out = out
        self._total = total
        self._journal = is_journal(stream, env)
        self._github = env.get("GITHUB_ACTIONS") == "true"

    @property
    def margin(self) -> int:
        """The width of the stamp."""
        return len(self._counter(0)) + (0 if self._journal else len("00:00:00 "))

    def show(self, block: Sequence[Line], look: Look, *, at: datetime, done: int, bad: str = "") -> None:
        """Print a block; `bad` names the job whose failure it tells."""
        if self._journal:
            priority = "<3>" if bad else "<6>"
            stamped = [[(priority + (self._counter(done) if i == 0 else ""), ""), *b] for i, b in enumerate(block)]
            self._out.write(paint(stamped, look))
            return
        stamp = f"{at.astimezone():%H:%M:%S} {self._counter(done)}"
        head, rest = [[(stamp, "dim"), *line] for line in block[:1]], list(block[1:])
        if self._github and bad:
            head, rest = _for_github(head, rest, title=bad, message=" ".join(plain(block[0]).split()))
        self._out.write(paint([*head, *rest], look))

    def print(self, lines: Sequence[Line], look: Look) -> None:
        """Print lines as they are."""
        stamped = [[("<6>", ""), *line] for line in lines] if self._journal else lines
        self._out.write(paint(stamped, look))

    def _counter(self, done: int) -> str:
        total = self._total()
        return f"[{done:>{len(str(total))}}/{total}] "


def is_journal(stream: TextIO, env: Mapping[str, str]) -> bool:
    """Whether a stream goes to the systemd journal: `JOURNAL_STREAM` is inherited, the device and inode decide."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return env.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _for_github(head: list[Line], rest: list[Line], *, title: str, message: str) -> tuple[list[Line], list[Line]]:
    escaped = [text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A") for text in (title, message)]
    escaped[0] = escaped[0].replace(":", "%3A").replace(",", "%2C")
    annotation: Line = [(f"::error title={escaped[0]}::{escaped[1]}", "")]
    if not rest:
        return [*head, annotation], []
    return [*head, annotation, [(f"::group::{title}: the end of its log", "")]], [*rest, [("::endgroup::", "")]]
