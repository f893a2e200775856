"""Columns that no table can have: said with their place and what to do, before anything is read."""

# ruff: noqa: F401, F811
from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.jobs import Shop, query
from tests.support.servers import Warehouse, database, warehouse
from tests.support.sources import Load

HEADERS = {
    "comma at the end": ("id,v,", "column 3 has no name", "is there a delimiter too many"),
    "none between": ("id,,v", "column 2 has no name", "is there a delimiter too many"),
    "two without": ("id,v,,", "columns 3, 4 have no name", "is there a delimiter too many"),
    "of the system": ("id,ctid,xmin", "PostgreSQL keeps the name 'ctid', 'xmin' for itself", "another name"),
    "of the load": ("id,etl: row", "the column 'etl: row' begins as those that a load makes", "another name"),
    "too many": (",".join(f"c{n}" for n in range(1591)), "1,591 columns, a table can have 1,590", "fewer"),
}  # fmt: skip


@pytest.fixture
def shop(tmp_path: Path, database: str) -> Shop:
    return Shop(tmp_path, database)


@pytest.mark.parametrize("case", HEADERS)
@pytest.mark.parametrize("declared", [False, True])
def test_a_header_that_no_table_can_have_is_refused(shop: Shop, case: str, declared: bool) -> None:
    header, said, cure = HEADERS[case]
    shop.table("goods", {"id": "integer"} if declared else {}, 'new_columns = "add"\nfile = "*.csv"')
    shop.file("a.csv", f"{header}\n" + ",".join("1" * len(header.split(","))) + "\n")
    ended = shop.load()

    assert ended.status == 65
    assert f"a.csv line 1: {said}\nhint: " in ended.stderr
    assert cure in ended.stderr


def test_as_many_columns_as_can_be_are_loaded_again_and_again(shop: Shop) -> None:
    kinds = {f"c{n}": "smallint" for n in range(1590)}
    for number, settings in enumerate(('key = ["c0"]', 'key = ["c0"]\nstrategy = "scd2"', "")):
        shop.table(f"goods{number}", kinds, f'file = "a.csv"\nmax_delete = 1\n{settings}')
        for value in "12":
            shop.file("a.csv", f"{','.join(kinds)}\n1{f',{value}' * 1589}\n")
            ended = shop.load(number)
            assert ended.status == 0, ended.stderr


def test_a_table_without_columns_is_refused(tmp_path: Path, warehouse: Warehouse, database: str) -> None:
    with warehouse.database() as there:
        load = Load(tmp_path, database, kind="postgresql", top='url = "${THERE}"', env={"THERE": there})
        query(there, "CREATE TABLE bare ()")
        load.tables = ['[[table]]\nname = "bare"\n']
        ended = load.load()

    assert (ended.status, "bare: no columns" in ended.stderr) == (65, True), ended.stderr


def test_a_column_of_the_system_in_a_query_is_refused(tmp_path: Path, warehouse: Warehouse, database: str) -> None:
    with warehouse.database() as there:
        load = Load(tmp_path, database, kind="postgresql", top='url = "${THERE}"', env={"THERE": there})
        load.tables = ['[[table]]\nname = "t"\nsource.query = "SELECT 1 AS id, 2 AS tableoid"\n']
        ended = load.load()

    assert ended.status == 65
    assert "a query for t: PostgreSQL keeps the name 'tableoid' for itself" in ended.stderr


def test_a_row_that_is_too_long_for_a_page_is_said_with_a_cure(shop: Shop) -> None:
    shop.table("goods", {}, 'file = "a.csv"')
    shop.file("a.csv", ",".join(f"c{n}" for n in range(1500)) + "\n" + ",".join("1" * 1500) + "\n")
    ended = shop.load()

    assert ended.status == 65
    assert "row is too big: size 12024, maximum size 8160" in ended.stderr
    assert "hint: a row's values have to fit on a page of 8 kB" in ended.stderr


WORDS = [
    "record no", "whole row", "row place", "was there", "is there", "hash before", "in the part", "copies of it",
    "check 0", "check 1", "parent 0", "own", "s", "t", "d", "k", "g", "n", "nth", "place", "piece", "keys", "copies",
    "reason", "judged", "m", "p", "r", "etl", "ETL: x",
]  # fmt: skip
WAYS = {
    "snapshot": 'key = ["id"]\nmax_delete = 1',
    "without a key": "max_delete = 1",
    "slice": 'key = ["id"]\nstrategy = "slice"\nwhere = "id > 0"',
    "incremental": 'key = ["id"]\nstrategy = "incremental"\nwatermark = "id"\nlag = 100',
    "scd2": 'key = ["id"]\nstrategy = "scd2"\nmax_delete = 1',
    "append": 'strategy = "append"',
}


@pytest.mark.parametrize("way", WAYS)
def test_a_column_may_be_called_as_anything_is_in_a_load(shop: Shop, way: str) -> None:
    shop.table("parents", {"is there": "text"}, 'key = ["is there"]')
    shop.file("parents.csv", "is there\nx\ny\n")
    assert shop.load(0).status == 0
    quality = (
        'checks = [{ sql = "id < 50" }, { column = "check 0", accepted = ["x", "y"] }, { unique = ["id", "n"] }]\n'
        'references = [{ columns = ["record no"], table = "parents", to = ["is there"] }]\nrejects = { limit = 9 }'
    )
    shop.table("t", {"id": "integer", **dict.fromkeys(WORDS, "text")}, f"{WAYS[way]}\n{quality}")
    for rows in (((1, "x"), (2, "x"), (3, "x")), ((1, "x"), (2, "y"), (3, "x"), (4, "x"), (60, "x"), (5, "z"))):
        lines = [f"{number},{','.join([letter] * len(WORDS))}" for number, letter in rows]
        shop.file("t.csv", "\n".join([f"id,{','.join(WORDS)}", *lines]) + "\n")
        ended = shop.load(1)
        assert ended.status == 0, ended.stderr

    assert ended.metrics["rejected"] == 2
    final = shop.run("final")
    assert final.status == 0, final.stderr
