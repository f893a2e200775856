"""The way of text into staging."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from etl_jobs.errors import DataRejectedError
from etl_jobs.sources.sample import SampleSource
from etl_jobs.staging import without_end_mark


class Cut(SampleSource):
    """A text in two blocks, cut anywhere."""

    def __init__(self, text: bytes, at: int) -> None:
        super().__init__("cut", scale=1, seed=1)
        self._pieces = (text[:at], text[at:])

    def blocks(self) -> Iterator[bytes]:
        return (piece for piece in self._pieces if piece)


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_line_that_would_end_the_data_is_found_wherever_blocks_are_cut(end: bytes) -> None:
    text = end.join([b"id", b"a", b"\\.", b"b", b""])
    for at in range(len(text) + 1):
        with pytest.raises(DataRejectedError, match="line 3"):
            list(without_end_mark(Cut(text, at)))


def test_other_texts_pass_as_they_are() -> None:
    text = b'id\n"\\."\n\\.x\nx\\.\n\\.'
    for at in range(len(text) + 1):
        assert b"".join(without_end_mark(Cut(text, at))) == text
