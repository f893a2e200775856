"""The way of text into staging."""

# ruff: noqa: F401, F811
from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

import psycopg
import pytest
from psycopg import sql

from etl_jobs.copying import Copy, text_statement
from etl_jobs.screening import screen
from etl_jobs.sources.framing import with_quoted_marks
from etl_jobs.sources.sample import SampleSource
from etl_jobs.transfer import copy_rows
from tests.support.servers import database, warehouse
from tests.support.sources import cut


class Both(SampleSource):
    """The number 1 as text, and another row in the binary format."""

    def __init__(self, row: bytes) -> None:
        super().__init__("both", scale=1, seed=1)
        self._row = row

    def blocks(self) -> Iterator[bytes]:
        yield b"id\n1\n"

    def binary(self, kinds: Sequence[str]) -> Iterator[bytes] | None:
        assert kinds == ["integer"]
        return iter([b"PGCOPY\n\xff\r\n\0" + bytes(8), self._row, b"\xff\xff"])


class Cut(SampleSource):
    """A text in two blocks, cut anywhere."""

    def __init__(self, text: bytes, at: int) -> None:
        super().__init__("cut", scale=1, seed=1)
        self._pieces = (text[:at], text[at:])

    def blocks(self) -> Iterator[bytes]:
        return (piece for piece in self._pieces if piece)


MARKS = {
    "a record": ("id|a|\\.|b|", 'id|a|"\\."|b|'),
    "two in a row": ("id|\\.|\\.|", 'id|"\\."|"\\."|'),
    "in quotes already": ('id|"\\."|', 'id|"\\."|'),
    "a line of a value": ('id|"a|\\.|b"|\\.|', 'id|"a|\\.|b"|"\\."|'),
    "behind quotes in quotes": ('id|"a""|\\.|"|\\.|', 'id|"a""|\\.|"|"\\."|'),
    "a part of a line": ("id|\\.x|x\\.|\\.", "id|\\.x|x\\.|\\."),
}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("case", MARKS)
def test_a_line_that_would_end_the_data_is_put_in_quotes_wherever_blocks_are_cut(end: str, case: str) -> None:
    text, expected = (text.replace("|", end).encode() for text in MARKS[case])
    for first in range(len(text) + 1):
        for second in range(first, len(text) + 1):
            blocks = with_quoted_marks(cut(text, [first, second]), quote=b'"', escape=b'"')
            assert b"".join(blocks) == expected


def test_quotes_are_told_by_the_escape_where_it_is_another_character() -> None:
    text = b'id\n"a\\"\n\\.\nb"\n\\.\n'
    for at in range(len(text) + 1):
        blocks = with_quoted_marks(cut(text, [at]), quote=b'"', escape=b"\\")
        assert b"".join(blocks) == b'id\n"a\\"\n\\.\nb"\n"\\."\n'
    assert b"".join(with_quoted_marks([b"id\n\\.\n"], quote=b".", escape=b".")) == b"id\n\\.\n"


def test_where_a_line_would_end_the_data_its_record_is_judged_as_any(database: str) -> None:
    text = b'id\r\n1\r\n\\.\r\nx\r\n2\r\n"3\r\n\\.\r\n"\r\n4\r\n'
    target = sql.Identifier("pg_temp", "t")
    for at in range(len(text)):
        source = Cut(text, at)
        with psycopg.connect(database, autocommit=True) as session:
            session.execute("CREATE TEMPORARY TABLE t (id integer)")
            nothing = Copy(
                session=session, target=target, source=source, columns=("id",), secret=(), part=sql.SQL("false")
            )
            found = screen(session, text_statement(nothing), source, limit=0, end_mark=True)
            kept = session.execute("SELECT count(*) FROM t").fetchone()

        assert [(one.number, one.line, one.column) for one in found] == [(2, 3, "id"), (3, 4, "id"), (5, 8, "id")]
        assert found[0].value == "\\."
        assert kept == (0,)


@pytest.mark.parametrize(("size", "arrived", "sent"), [(4, 2, 31), (8, 1, 5)])
def test_rows_go_in_the_binary_format_or_as_text_where_that_is_refused(
    database: str, size: int, arrived: int, sent: int
) -> None:
    source = Both(struct.pack(">hi", 1, size) + (2).to_bytes(size))
    target = sql.Identifier("pg_temp", "t")
    with psycopg.connect(database, autocommit=True) as session:
        session.execute("CREATE TEMPORARY TABLE t (id integer)")

        copied = copy_rows(Copy(session=session, target=target, source=source, columns=("id",), secret=()))

        assert session.execute("SELECT id FROM t").fetchall() == [(arrived,)]
        assert copied.bytes == sent
