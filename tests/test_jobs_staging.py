"""The way of text into staging."""

# ruff: noqa: F401, F811
from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from etl_jobs.errors import DataRejectedError
from etl_jobs.screening import screen
from etl_jobs.sources.sample import SampleSource
from etl_jobs.staging import copy_statement, without_end_mark
from tests.support.servers import database, warehouse


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


def test_where_a_line_would_end_the_data_the_record_is_set_aside_without_asking_the_server(database: str) -> None:
    text = b'id\r\n1\r\n\\.\r\nx\r\n2\r\n"3\r\n\\.\r\n"\r\n4\r\n'
    target = sql.Identifier("pg_temp", "t")
    for at in range(len(text)):
        source = Cut(text, at)
        with psycopg.connect(database, autocommit=True) as session:
            session.execute("CREATE TEMPORARY TABLE t (id integer)")
            nothing = copy_statement(
                session, target, source, ("id",), part=sql.SQL("false"), freeze=False, skips=False, limit=0
            )
            found = screen(session, nothing, source, limit=0, end_mark=True)
            kept = session.execute("SELECT count(*) FROM t").fetchone()

        assert [(one.number, one.line, one.column, one.value) for one in found] == [
            (2, 3, None, None), (3, 4, "id", "x"), (5, 8, None, None),
        ]  # fmt: skip
        assert kept == (0,)
