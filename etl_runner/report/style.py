"""How the reading side draws: looks of streams, painted lines, paths, instants. Words are in `etl_runner.words`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TextIO

from etl_runner.look import ASCII, STYLES, Glyphs, Line, Look, Span
from etl_runner.sinks.lines import fitted
from etl_runner.sinks.logtail import read_failure_tail
from etl_runner.sinks.paint import paint, plain
from etl_runner.sinks.terminal import prepare

__all__ = [
    "ASCII",
    "STYLES",
    "Glyphs",
    "Line",
    "Look",
    "Span",
    "fitted",
    "instant",
    "look_of",
    "paint",
    "plain",
    "read_failure_tail",
    "short_path",
]


def look_of(stream: TextIO, env: Mapping[str, str]) -> Look:
    """How to draw on a stream; from now on it prints `?` for what it cannot encode."""
    return prepare(stream, env)


def short_path(path: Path, *, cwd: Path) -> str:
    """The path as one would type it from `cwd`."""
    try:
        return str(path.relative_to(cwd))
    except ValueError:
        return str(path)


def instant(at: datetime, *, now: datetime) -> str:
    """An instant in local time, as people say it: `today 03:00`, `yesterday 03:00`, `Wed 18 Nov 03:00`."""
    here, today = at.astimezone(), now.astimezone().date()
    days = (today - here.date()).days
    time = here.strftime("%H:%M")
    if days == 0:
        return f"today {time}"
    if days == 1:
        return f"yesterday {time}"
    return here.strftime("%a %d %b %H:%M" if here.year == today.year else "%d %b %Y %H:%M")
