"""Streams nobody can write to any more."""

from __future__ import annotations

import errno
from pathlib import Path

from etl_runner.streams import flush, silence


def test_a_silenced_stream_takes_everything_and_closes_without_an_error() -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as stream:
        stream.write("held back")

        silence(stream)

        stream.write("x" * 100_000)
        stream.flush()


def test_flushing_what_cannot_be_written_gives_the_error_once() -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as stream:
        stream.write("x")

        error = flush(stream)
        stream.write("x" * 100_000)
        again = flush(stream)

    assert error
    assert (error.errno, again) == (errno.ENOSPC, None)
