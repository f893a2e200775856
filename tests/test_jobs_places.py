"""Where a row stands in its source when others were taken out, against a model that counts them all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_jobs.places import Places
from etl_jobs.sources.csv import CsvSource
from etl_jobs.tables import SourceSettings, Table

RECORDS = 40


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> CsvSource:
    folder = tmp_path_factory.mktemp("places")
    (folder / "t.csv").write_text("id\n" + "".join(f"{number}\n" for number in range(1, RECORDS + 1)))
    return CsvSource(SourceSettings(kind="csv", folder=folder), Table(id=0, name="t", files=("t.csv",), columns={}))


def shown(source: CsvSource, records: list[int]) -> list[str]:
    return [f"{Path(source.name)} line {number + 1}" for number in records]


@given(data=st.data())
def test_a_row_stands_where_it_stood_whatever_was_taken_out_before_it(source: CsvSource, data: st.DataObject) -> None:
    """`left` are the records that are in staging, in order: the n-th row is the n-th of them."""
    unread = data.draw(st.sets(st.integers(1, RECORDS), max_size=RECORDS - 1), label="unread")
    left = [number for number in range(1, RECORDS + 1) if number not in unread]
    places = Places(source, unread=tuple(sorted(unread)))
    for _ in range(data.draw(st.integers(0, 3), label="rounds")):
        rows = data.draw(st.lists(st.integers(1, len(left)), unique=True), label="taken out") if left else []
        places = places.without(rows)
        left = [number for row, number in enumerate(left, 1) if row not in rows]

    assert [places.of(row) for row in range(1, len(left) + 1)] == shown(source, left)


class Watched(tuple[int, ...]):
    """Counts how often somebody looks at one of its numbers."""

    looks = 0

    def __getitem__(self, index: Any) -> Any:
        Watched.looks += 1
        return super().__getitem__(index)

    def __iter__(self) -> Iterator[int]:
        Watched.looks += len(self)
        return super().__iter__()


def test_a_place_behind_many_rows_that_were_taken_out_is_found_with_few_looks(source: CsvSource) -> None:
    Watched.looks = 0
    many = Watched(range(2, 100_000, 2))

    Places(source, moved=many, unread=many).of(60_000)

    assert 0 < Watched.looks < 50
