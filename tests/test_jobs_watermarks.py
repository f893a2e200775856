"""Watermarks that nothing could be newer than, and what becomes of rows that come late."""

# ruff: noqa: F401, F811
from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.jobs import Shop, query
from tests.support.servers import database, warehouse

INCREMENTAL = 'key = ["id"]\nstrategy = "incremental"\nwatermark = "w"'
ENDLESS = {
    "date": ("2024-01-01", "infinity"),
    "timestamp": ("2024-01-01", "infinity"),
    "timestamptz": ("2024-01-01", "infinity"),
    "numeric": ("1", "NaN"),
    "decimal(9,2)": ("1", "NaN"),
    "double precision": ("1", "Infinity"),
    "real": ("1", "NaN"),
}


@pytest.fixture
def shop(tmp_path: Path, database: str) -> Shop:
    return Shop(tmp_path, database)


@pytest.mark.parametrize("strategy", ["incremental", "append"])
@pytest.mark.parametrize("kind", ENDLESS)
def test_a_value_that_nothing_could_be_newer_than_is_refused_with_its_row(shop: Shop, kind: str, strategy: str) -> None:
    good, endless = ENDLESS[kind]
    shop.table("t", {"id": "integer", "w": kind}, INCREMENTAL.replace("incremental", strategy))
    shop.file("t.csv", f"id,w\n1,{good}\n2,{endless}\n")
    refused = shop.load()
    shop.redeclare(0, "watermark", "rejects = { limit = 5 }\nwatermark")
    ended = shop.load()

    assert (refused.status, ended.status) == (65, 0), ended.stderr
    assert "column 'w': nothing could be newer than 1 values of the watermark" in refused.stderr
    assert f"t.csv line 3 ({endless})" in refused.stderr
    assert ended.metrics["rejected"] == 1
    assert [row[0] for row in shop.rows("t")] == [1]
    assert shop.run("final").status == 0


def test_words_that_mean_no_end_are_words_in_a_text(shop: Shop) -> None:
    shop.table("t", {"id": "integer", "w": "text"}, INCREMENTAL)
    shop.file("t.csv", "id,w\n1,Infinity\n2,infinity\n")

    assert [shop.load().status, shop.load().status, len(shop.rows("t"))] == [0, 0, 2]


@pytest.mark.parametrize("kind", ["date", "timestamp", "timestamptz"])
def test_a_watermark_far_ahead_is_told_until_it_is_set_anew(shop: Shop, kind: str) -> None:
    shop.table("t", {"id": "integer", "w": kind}, INCREMENTAL + '\nlag = "1 day"')
    shop.file("t.csv", "id,w\n1,2024-01-01\n2,9999-12-31\n")
    first = shop.load()
    shop.file("t.csv", "id,w\n1,2024-01-01\n2,2024-12-31\n3,2025-01-01\n")
    mended = shop.load()
    anew = shop.load(0, "--full-refresh")
    last = shop.load()

    assert [ended.metrics.get("warnings", 0) for ended in (first, mended, anew, last)] == [1, 1, 0, 0]
    assert "warning: " in first.stdout
    assert "column 'w': 1 values of the watermark are more than a day ahead" in first.stdout
    assert "9999-12-31" in first.stdout.partition("t.csv line 3 (")[2]
    assert "rows are read from 9999-12-30" in mended.stdout
    assert "--full-refresh" in mended.stdout
    assert [row[0] for row in shop.rows("t")] == [1, 2, 3]


def test_a_watermark_of_an_earlier_load_that_has_no_end_is_a_matter_for_a_person(shop: Shop) -> None:
    shop.table("t", {"id": "integer", "w": "date"}, INCREMENTAL)
    shop.file("t.csv", "id,w\n1,2024-01-01\n")
    shop.load()
    query(shop.dsn, "UPDATE etl.watermark SET value = 'infinity'")
    refused = shop.load()

    assert refused.status == 78
    assert "nothing could be newer than the watermark infinity" in refused.stderr
    assert "--full-refresh" in refused.stderr
    assert [shop.load(0, "--full-refresh").status, shop.load().status] == [0, 0]


def test_a_watermark_that_does_not_fit_its_columns_new_type_is_told_with_its_cure(shop: Shop) -> None:
    shop.table("t", {"id": "integer", "w": "text"}, INCREMENTAL)
    shop.file("t.csv", "id,w\n1,zz\n")
    shop.load()
    query(shop.dsn, "UPDATE shop.t SET w = '5'")
    query(shop.dsn, "ALTER TABLE shop.t ALTER w TYPE integer USING w::integer")
    shop.redeclare(0, '"w" = "text"', '"w" = "integer"')
    shop.file("t.csv", "id,w\n1,6\n")
    refused = shop.load()

    assert refused.status == 78, refused.stderr
    assert 'the watermark of earlier loads: invalid input syntax for type integer: "zz"' in refused.stderr
    assert "--full-refresh" in refused.stderr
    assert [shop.load(0, "--full-refresh").status, shop.rows("t")] == [0, [(1, 6)]]
