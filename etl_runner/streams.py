"""The standard streams of this process: there from the start, and harmless when nobody can be written to any more."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TextIO


def complete_streams() -> None:
    """Have /dev/null wherever stdin, stdout or stderr came closed.

    Else the next files and sockets that are opened would be mistaken for them, by us and by what we start.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
            os.set_inheritable(descriptor, True)
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(descriptor, mode, encoding="utf-8", errors="replace", closefd=False))  # noqa: SIM115


def flush(stream: TextIO) -> OSError | None:
    """Write what is held back; what cannot be written is dropped, with all that is to come, and the error returned."""
    try:
        stream.flush()
    except OSError as error:
        silence(stream)
        return error
    return None


def silence(stream: TextIO) -> None:
    """Let everything that is written from now on, and what is held back, go nowhere."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
        stream.flush()
