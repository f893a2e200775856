"""Streams that may be no terminal, not speak UTF, or go away."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import TextIO

from etl_runner.look import Look, look_for


def size_of(stream: TextIO) -> tuple[int, int] | None:
    """Columns and lines of a stream's terminal; None if it is no terminal."""
    try:
        size = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        return None
    return (size.columns, size.lines) if size.columns and size.lines else None


def prepare(stream: TextIO, env: Mapping[str, str]) -> Look:
    """The look of a stream; characters it cannot encode will come out as `?` instead of as an error."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        with suppress(OSError, ValueError):
            reconfigure(errors="replace")
    size = size_of(stream)
    try:
        isatty = stream.isatty()
    except ValueError:
        isatty = False
    return look_for(isatty=isatty, encoding=stream.encoding, env=env, columns=size[0] if size else None)
