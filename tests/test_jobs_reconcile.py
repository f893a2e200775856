"""What the report says of one table: every number with the rows that it counts."""

# ruff: noqa: F401, F811
from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.jobs import Shop, query
from tests.support.servers import database, warehouse


@pytest.mark.parametrize(
    ("settings", "by_hand", "said"),
    [
        ('strategy = "incremental"\nwatermark = "id"\nlag = 2', "DELETE FROM shop.goods WHERE id > 2",
         "| goods | 2 | 2 | 2 rows with id from 2 on in the source, 1 in the warehouse |"),
        ('strategy = "slice"\nwhere = "id > 1"', "INSERT INTO shop.goods VALUES (5, 'by hand'), (0, 'by hand')",
         "| goods | 2 | 4 | 2 rows of the slice in the source, 3 in the warehouse |"),
        ('strategy = "scd2"', "INSERT INTO shop.goods VALUES (5, 'by hand', now(), NULL, true)",
         "| goods | 3 | 5 | 3 rows in the source, 4 current ones in the warehouse |"),
        ('strategy = "snapshot"', "INSERT INTO shop.goods VALUES (5, 'by hand')",
         "| goods | 3 | 4 | 3 rows in the source, 4 in the warehouse |"),
    ],
)  # fmt: skip
def test_after_a_source_that_shrank_the_sentence_says_of_which_rows_its_numbers_are(
    tmp_path: Path, database: str, settings: str, by_hand: str, said: str
) -> None:
    shop = Shop(tmp_path, database)
    shop.table("goods", {"id": "integer", "name": "text"}, f'key = ["id"]\n{settings}')
    shop.file("goods.csv", "id,name\n1,a\n2,b\n3,c\n4,d\n")
    assert shop.load().status == 0
    shop.file("goods.csv", "id,name\n1,a\n2,b\n3,c\n")
    assert shop.load().status == 0
    query(database, by_hand)
    ended = shop.run("final")

    assert ended.status == 65
    assert said in ended.stdout


@pytest.mark.parametrize("reread", [(), ("--reread",)])
def test_rows_that_an_increment_keeps_are_no_difference(tmp_path: Path, database: str, reread: tuple[str, ...]) -> None:
    shop = Shop(tmp_path, database)
    growing = 'key = ["id"]\nstrategy = "incremental"\nwatermark = "id"\nlag = 9'
    shop.table("goods", {"id": "integer", "n": "integer"}, growing)
    shop.file("goods.csv", "id,n\n1,1\n2,2\n3,3\n")
    assert shop.load().status == 0
    shop.file("goods.csv", "id,n\n1,1\n3,3\n")
    assert shop.load().status == 0

    assert shop.run("final", *reread).status == 0
    query(database, "UPDATE shop.goods SET n = 9 WHERE id = 1")
    changed = shop.run("final")
    assert changed.status == 65
    assert "| goods | 2 | 3 | changed outside of what was loaded: 3 rows expected, 3 there |" in changed.stdout


def test_what_an_increment_rejects_is_no_difference(tmp_path: Path, database: str) -> None:
    shop = Shop(tmp_path, database)
    growing = 'key = ["id"]\nstrategy = "incremental"\nwatermark = "at"\nlag = 9\nrejects = { limit = 5 }'
    shop.table("goods", {"id": "integer", "at": "integer"}, growing)
    shop.file("goods.csv", "id,at\n1,1\n2,2\n")
    assert shop.load().status == 0
    shop.file("goods.csv", "id,at\n1,1\n2,x\n3,3\n")
    assert shop.load().metrics["rejected"] == 1

    assert shop.run("final").status == 0


def test_a_source_that_is_read_again_may_have_got_a_column(tmp_path: Path, database: str) -> None:
    shop = Shop(tmp_path, database)
    shop.table("goods", {}, 'key = ["id"]\nnew_columns = "add"')
    shop.file("goods.csv", "id,name\n1,a\n")
    assert shop.load().status == 0
    shop.file("goods.csv", "id,name,price\n1,a,2\n")
    ended = shop.run("final", "--reread")

    assert ended.status == 65
    assert "| goods | 1 | 1 | the source has changed since it was loaded |" in ended.stdout


@pytest.mark.parametrize("part", ["an increment", "an interval"])
def test_orphans_of_a_part_are_not_compared_with_those_of_a_whole_source(
    tmp_path: Path, database: str, part: str
) -> None:
    shop = Shop(tmp_path, database)
    interval = {"ETL_INTERVAL_START": "2025-01-01", "ETL_INTERVAL_END": "2025-02-01"} if "interval" in part else {}
    reference = '{ columns = ["of"], table = "kinds", to = ["id"], orphans = "report" }'
    shop.table("kinds", {"id": "integer"}, 'key = ["id"]')
    growing = 'key = ["id"]\nstrategy = "incremental"\nwatermark = "id"'
    shop.table("goods", {"id": "integer", "of": "integer"}, f"{growing}\nreferences = [{reference}]")
    shop.file("kinds.csv", "id\n1\n")
    orphan = shop.file("goods.csv", "id,of\n1,9\n2,1\n")
    assert [shop.load(0).status, shop.load(1).status] == [0, 0]
    if interval:
        orphan.write_text("id,of\n2,1\n")
    assert shop.load(1, **interval).metrics["orphans"] == 0
    orphan.write_text("id,of\n1,9\n2,1\n")
    ended = shop.run("final", "--reread")

    assert "refer to no parent" not in ended.stdout
