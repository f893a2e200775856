"""`--explain`: what a load would do, without doing it."""

# ruff: noqa: F401, F811
from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from tests.support.jobs import Shop, query, run_job
from tests.support.servers import database, warehouse

COLUMNS = {"id": "integer", "name": "text"}
STRATEGIES = {
    "snapshot": ('key = ["id"]', "FULL JOIN"),
    "snapshot, rows repeat": ("", "EXCEPT ALL"),
    "replace": ('key = ["id"]\nstrategy = "replace"', "IN ACCESS EXCLUSIVE MODE"),
    "slice": ('key = ["id"]\nstrategy = "slice"\nwhere = "id > 1"', "(id > 1) IS TRUE"),
    "append": ('key = ["id"]\nstrategy = "append"', "ON CONFLICT"),
    "incremental": ('key = ["id"]\nstrategy = "incremental"\nwatermark = "id"', "IS DISTINCT FROM"),
    "scd2": ('key = ["id"]\nstrategy = "scd2"', "valid_from"),
}


@pytest.fixture
def shop(tmp_path: Path, database: str) -> Shop:
    return Shop(tmp_path, database)


def statements(text: str) -> list[str]:
    lines = (line for line in text.splitlines() if not line.startswith("--"))
    return [line.rstrip(";") for line in lines if "FROM STDIN" not in line]


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_steps_are_told_as_statements_that_the_server_understands(shop: Shop, name: str) -> None:
    settings, said = STRATEGIES[name]
    shop.table("goods", COLUMNS, settings + '\nchecks = [{ column = "name", accepted = ["a"] }]')
    shop.file("goods.csv", "id,name\n1,a\n")
    new = shop.load(0, "--explain")
    tables = query(shop.dsn, "SELECT count(*) FROM pg_namespace WHERE nspname IN ('shop', 'shop_staging', 'etl')")
    assert shop.load().status == 0
    old = shop.load(0, "--explain")

    assert (new.status, old.status) == (0, 0), new.stderr + old.stderr
    assert tables == [(0,)]
    assert 'goods.csv into "shop"."goods", which does not exist' in new.stdout
    assert 'CREATE TABLE "shop"."goods"' in new.stdout
    assert 'CREATE TABLE "shop"."goods"' not in old.stdout
    assert said in old.stdout
    assert query(shop.dsn, "SELECT count(*) FROM etl.load") == [(1,)]
    with psycopg.connect(shop.dsn, autocommit=True) as session:
        for statement in statements(old.stdout):
            session.execute(statement.encode())


def test_what_would_be_refused_is_refused(shop: Shop) -> None:
    shop.table("goods", COLUMNS, 'key = ["id"]')
    shop.file("goods.csv", "id,name\n1,a\n")
    shop.load()
    shop.redeclare(0, '"name" = "text"', '"name" = "date"')
    ended = shop.load(0, "--explain")

    assert ended.status == 78
    assert 'ALTER COLUMN "name" TYPE date' in ended.stderr


def test_it_says_that_nothing_would_be_done(shop: Shop) -> None:
    shop.table("goods", COLUMNS, 'key = ["id"]\nskip_unchanged = true')
    shop.file("goods.csv", "id,name\n1,a\n")
    shop.load()

    assert "Nothing would be done: the source is unchanged since the load of" in shop.load(0, "--explain").stdout


def test_undeclared_columns_references_and_rejects_are_told(shop: Shop) -> None:
    shop.table("goods", {}, 'key = ["id"]\nrejects = { limit = 5 }\n'
               'references = [{ columns = ["maker"], table = "makers", to = ["id"] }]')  # fmt: skip
    shop.table("makers", {"id": "integer"}, 'key = ["id"]')
    shop.tables[0] = shop.tables[0].replace("columns = {  }\n", "")
    shop._write()
    shop.file("goods.csv", "id,maker\n1,1\n")
    ended = shop.load(0, "--explain")

    assert ended.status == 0, ended.stderr
    assert "the types of id, maker are found in all their values" in ended.stdout
    assert "the keys of makers are read from its source" in ended.stdout
    assert 'rejected rows go to "shop"."goods__rejects"' in ended.stdout


def test_the_sample_load_explains_every_table(database: str) -> None:
    for number in (0, 5, 14, 17, 19):
        ended = run_job(database, "table", "--id", number, "--explain")
        assert ended.status == 0, ended.stderr
        assert ended.stdout.count("\n-- ") >= 3


def test_what_would_be_done_in_place_of_nothing_is_what_a_full_refresh_does(shop: Shop) -> None:
    shop.table("goods", COLUMNS, 'key = ["id"]\nstrategy = "incremental"\nwatermark = "id"\nskip_unchanged = true')
    shop.file("goods.csv", "id,name\n1,a\n2,b\n")
    shop.load()
    cached, full = (shop.load(0, "--explain", *more).stdout.splitlines() for more in ((), ("--full-refresh",)))

    assert cached[0] == full[0]
    assert cached[1].startswith("-- Nothing would be done") and cached[1].endswith("With --full-refresh:")
    assert cached[2:] == full[1:]


def test_a_reference_to_the_table_itself_is_asked_of_the_source_where_only_a_part_is_staged(shop: Shop) -> None:
    shop.table("goods", COLUMNS | {"boss": "integer"}, 'key = ["id"]\nstrategy = "incremental"\nwatermark = "id"\n'
               'references = [{ columns = ["boss"], table = "goods", to = ["id"] }]')  # fmt: skip
    shop.file("goods.csv", "id,name,boss\n1,a,\n2,b,1\n")
    first = shop.load(0, "--explain").stdout
    shop.load()
    part, full = shop.load(0, "--explain").stdout, shop.load(0, "--explain", "--full-refresh").stdout

    assert [text.count('FROM "pg_temp"."keys of goods"') for text in (first, part, full)] == [0, 1, 0]
    assert ["the keys of goods are read from its source" in text for text in (first, part, full)] == [
        False,
        True,
        False,
    ]


def test_a_slice_whose_types_are_still_to_be_found_is_cut_after_that(shop: Shop) -> None:
    shop.table("goods", {}, 'key = ["id"]\nstrategy = "slice"\nwhere = "id > 1"')
    shop.catalogue.write_text(shop.catalogue.read_text().replace("columns = {  }\n", ""))
    shop.file("goods.csv", "id,name\n1,a\n2,b\n")
    ended = shop.load(0, "--explain")

    assert 'DELETE FROM "shop_staging"."goods" WHERE NOT ((id > 1) IS TRUE);' in ended.stdout


def test_a_watermark_without_end_is_refused_as_the_load_does_it(shop: Shop) -> None:
    shop.table("goods", {"id": "integer", "day": "date"}, 'key = ["id"]\nstrategy = "incremental"\nwatermark = "day"')
    shop.file("goods.csv", "id,day\n1,2024-01-01\n")
    assert shop.load().status == 0
    query(shop.dsn, "UPDATE etl.watermark SET value = 'infinity'")
    explained, loaded = shop.load(0, "--explain"), shop.load()

    assert (explained.status, loaded.status) == (78, 78)
    assert "nothing could be newer than the watermark infinity" in explained.stderr
    assert shop.load(0, "--explain", "--full-refresh").status == 0


def test_parents_are_asked_only_where_the_source_may_be_found_unchanged(shop: Shop) -> None:
    reference = 'references = [{ columns = ["of"], table = "kinds", to = ["id"] }]'
    shop.table("kinds", {"id": "integer"}, 'key = ["id"]')
    shop.table("goods", {"id": "integer", "of": "integer"}, f'key = ["id"]\n{reference}')
    kinds = shop.file("kinds.csv", "id\n1\n")
    shop.file("goods.csv", "id,of\n1,1\n")
    assert [shop.load(0).status, shop.load(1).status] == [0, 0]
    kinds.unlink()
    without = shop.load(1, "--explain")
    kinds.write_text("id\n1\n")
    shop.redeclare(1, "references", "skip_unchanged = true\nreferences")
    assert shop.load(1).status == 0
    unchanged = shop.load(1, "--explain")
    kinds.write_text("id\n1\n2\n")
    changed = shop.load(1, "--explain")

    assert (without.status, unchanged.status, changed.status) == (0, 0, 0), without.stderr
    assert "Nothing would be done: the source is unchanged" in unchanged.stdout
    assert "Nothing would be done" not in changed.stdout


def test_a_secret_watermark_is_not_told(shop: Shop) -> None:
    settings = 'key = ["id"]\nstrategy = "incremental"\nwatermark = "name"\nsecret = ["name"]'
    shop.table("goods", COLUMNS, settings)
    shop.file("goods.csv", "id,name\n1,treasure\n")
    assert shop.load().status == 0

    explained = shop.load(0, "--explain")
    assert explained.status == 0, explained.stderr
    assert ", from *** on" in explained.stdout
    assert "treasure" not in explained.stdout
