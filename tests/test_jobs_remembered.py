"""What the warehouse remembers of earlier loads holds only as long as the table is loaded in the same way."""

# ruff: noqa: F401, F811
from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.jobs import Ended, Shop, query
from tests.support.servers import database, warehouse

GOODS = {"id": "integer", "name": "text"}
RUN = {"ETL_RUN_ID": "4", "ETL_JOB": "table-0", "ETL_RUN_STARTED": "2026-01-01T00:00:00+00:00"}


@pytest.fixture
def shop(tmp_path: Path, database: str) -> Shop:
    return Shop(tmp_path, database)


def load(shop: Shop, lines: str, *arguments: object, **env: str) -> Ended:
    shop.file("goods.csv", "id,name\n" + "".join(f"{line}\n" for line in lines.split()))
    return shop.load(0, *arguments, **env)


def inserted(ended: Ended) -> int:
    assert ended.status == 0, ended.stderr
    return int(ended.metrics["inserted"])


@pytest.mark.parametrize("other", ["replace", "snapshot", "slice"])
def test_a_batch_that_another_strategy_took_away_can_be_added_again(shop: Shop, other: str) -> None:
    shop.table("goods", GOODS, 'strategy = "append"\nmax_delete = 1')
    inserted(load(shop, "1,a"))
    shop.redeclare(0, 'strategy = "append"', f'strategy = "{other}"' + ('\nwhere = "true"' if other == "slice" else ""))
    inserted(load(shop, "2,b"))
    shop.redeclare(0, f'strategy = "{other}"' + ('\nwhere = "true"' if other == "slice" else ""), 'strategy = "append"')

    refused = load(shop, "1,a")
    assert refused.status == 78
    assert "could add them once more" in refused.stderr
    assert "--full-refresh" in refused.stderr
    assert shop.rows("goods") == [(2, "b")]

    assert inserted(load(shop, "1,a", "--full-refresh")) == 1
    assert inserted(load(shop, "2,b")) == 1
    assert shop.rows("goods") == [(1, "a"), (2, "b")]
    assert shop.run("final").status == 0


def test_rows_that_another_strategy_brought_are_not_appended_once_more(shop: Shop) -> None:
    shop.table("goods", GOODS, 'strategy = "replace"')
    inserted(load(shop, "1,a"))
    shop.redeclare(0, "replace", "append")

    assert load(shop, "1,a").status == 78
    assert load(shop, "1,a", "--explain").status == 78
    assert shop.rows("goods") == [(1, "a")]


def test_rows_appended_by_their_key_are_no_batch(shop: Shop) -> None:
    shop.table("goods", GOODS, 'strategy = "append"')
    inserted(load(shop, "1,a"))
    query(shop.dsn, "ALTER TABLE shop.goods ADD PRIMARY KEY (id)")
    shop.redeclare(0, 'strategy = "append"', 'strategy = "append"\nkey = ["id"]')
    inserted(load(shop, "2,b"))
    query(shop.dsn, "ALTER TABLE shop.goods DROP CONSTRAINT goods_pkey")
    shop.redeclare(0, '\nkey = ["id"]', "")

    assert load(shop, "2,b").status == 78


def test_a_table_that_somebody_else_made_may_be_appended_to(shop: Shop) -> None:
    query(shop.dsn, "CREATE SCHEMA shop")
    query(shop.dsn, "CREATE TABLE shop.goods (id integer, name text)")
    query(shop.dsn, "INSERT INTO shop.goods VALUES (1, 'a')")
    shop.table("goods", GOODS, 'strategy = "append"')

    assert inserted(load(shop, "2,b")) == 1
    assert shop.rows("goods") == [(1, "a"), (2, "b")]


@pytest.mark.parametrize("other", ["snapshot", "replace"])
def test_a_watermark_does_not_outlive_a_load_of_all_rows(shop: Shop, other: str) -> None:
    shop.table("goods", GOODS, 'key = ["id"]\nstrategy = "incremental"\nwatermark = "id"')
    inserted(load(shop, "1,a 9,z"))
    shop.redeclare(0, '"incremental"\nwatermark = "id"', f'"{other}"')
    inserted(load(shop, "1,a"))
    shop.redeclare(0, f'"{other}"', '"incremental"\nwatermark = "id"')

    assert inserted(load(shop, "1,a 5,e")) == 1
    assert inserted(load(shop, "1,a 5,e 6,f")) == 1
    assert shop.rows("goods") == [(1, "a"), (5, "e"), (6, "f")]


def test_what_is_appended_up_to_a_watermark_is_not_what_an_increment_has_read(shop: Shop) -> None:
    shop.table("goods", GOODS | {"at": "integer"}, 'key = ["id"]\nstrategy = "append"\nwatermark = "at"')
    shop.file("goods.csv", "id,name,at\n1,a,1\n")
    inserted(shop.load())
    shop.file("goods.csv", "id,name,at\n1,other,2\n2,b,3\n")
    inserted(shop.load())  # what is there stays as it is
    shop.redeclare(0, "append", "incremental")

    assert shop.load().metrics["updated"] == 1
    assert shop.rows("goods") == [(1, "other", 2), (2, "b", 3)]


def test_an_interval_leaves_the_watermark_as_it_is(shop: Shop) -> None:
    shop.table("goods", GOODS | {"day": "date"}, 'key = ["id"]\nstrategy = "incremental"\nwatermark = "day"')
    lines = "id,name,day\n1,a,2026-01-01\n2,b,2026-01-02\n"
    shop.file("goods.csv", lines)
    inserted(shop.load())
    past = {"ETL_INTERVAL_START": "2026-01-01T00:00:00+00:00", "ETL_INTERVAL_END": "2026-01-02T00:00:00+00:00"}
    assert shop.load(**past).status == 0

    assert query(shop.dsn, "SELECT value FROM etl.watermark") == [("2026-01-02",)]


@pytest.mark.parametrize("lost", ["DROP TABLE shop.goods", "TRUNCATE shop.goods"])
def test_what_an_earlier_attempt_loaded_is_loaded_again_where_it_is_gone(shop: Shop, lost: str) -> None:
    shop.table("goods", GOODS, 'key = ["id"]')
    inserted(load(shop, "1,a", **RUN, ETL_ATTEMPT="1"))
    query(shop.dsn, lost)

    again = shop.load(**RUN, ETL_ATTEMPT="2")
    assert inserted(again) == 1
    assert "recorded" not in again.metrics
    assert shop.rows("goods") == [(1, "a")]


def test_what_an_earlier_attempt_loaded_is_checked_again_where_the_catalogue_has_changed(shop: Shop) -> None:
    shop.table("goods", GOODS, 'key = ["id"]')
    inserted(load(shop, "1,a", **RUN, ETL_ATTEMPT="1"))
    shop.redeclare(0, 'key = ["id"]', 'key = ["id"]\nchecks = [{ column = "name", accepted = ["b"] }]')

    assert shop.load(**RUN, ETL_ATTEMPT="2").status == 65


def test_a_load_of_another_run_with_the_same_number_is_not_ours(shop: Shop) -> None:
    shop.table("goods", GOODS, 'key = ["id"]')
    inserted(load(shop, "1,a", **RUN, ETL_ATTEMPT="1"))

    own = shop.load(**RUN, ETL_ATTEMPT="2")
    assert own.metrics["recorded"] is True
    other = shop.load(**RUN | {"ETL_RUN_STARTED": "2026-01-02T00:00:00+00:00"}, ETL_ATTEMPT="2")
    assert other.status == 0
    assert "recorded" not in other.metrics
    assert query(shop.dsn, "SELECT run, run_started::date::text, attempt FROM etl.load ORDER BY id") == [
        (4, "2026-01-01", 1),
        (4, "2026-01-02", 2),
    ]


def test_an_unchanged_source_is_loaded_again_where_the_target_was_emptied(shop: Shop) -> None:
    shop.table("goods", GOODS, 'key = ["id"]\nskip_unchanged = true')
    inserted(load(shop, "1,a"))
    assert shop.load().metrics["cached"] is True
    query(shop.dsn, "TRUNCATE shop.goods")

    assert inserted(shop.load()) == 1


def test_an_instant_that_is_none_is_configuration(shop: Shop) -> None:
    shop.table("goods", GOODS, 'key = ["id"]')

    refused = load(shop, "1,a", **RUN | {"ETL_RUN_STARTED": "yesterday"})
    assert refused.status == 78
    assert "ETL_RUN_STARTED is 'yesterday'" in refused.stderr
