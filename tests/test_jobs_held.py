"""What a load record says the target holds: true after every load, and proof of what others did to it."""

# ruff: noqa: F401, F811
from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.jobs import Shop, query, wait_for
from tests.support.servers import database, warehouse

GOODS = {"id": "integer", "name": "text"}
KEY = 'key = ["id"]\nmax_delete = 1\n'
INCREMENTAL = KEY + 'strategy = "incremental"\nwatermark = "id"\nlag = 2'
STRATEGIES = {
    "snapshot": KEY,
    "snapshot, rows repeat": "max_delete = 1",
    "replace": KEY + 'strategy = "replace"',
    "slice": KEY + 'strategy = "slice"\nwhere = "id > 2"',
    "append": KEY + 'strategy = "append"',
    "append, batches": 'strategy = "append"\nmax_delete = 1',
    "incremental": INCREMENTAL,
    "scd2": KEY + 'strategy = "scd2"',
}
SOURCES = ("1,a 2,b 3,c", "1,a 2,b 3,c", "1,x 2,b 3, 4,d", "4,e 5,", "1,a 5,")


@pytest.fixture
def shop(tmp_path: Path, database: str) -> Shop:
    return Shop(tmp_path, database)


def load(shop: Shop, lines: str, *arguments: object) -> None:
    shop.file("goods.csv", "id,name\n" + "".join(f"{line}\n" for line in lines.split()))
    ended = shop.load(0, *arguments)
    assert ended.status == 0, ended.stderr


def recorded(shop: Shop) -> list[tuple[object, ...]]:
    return query(shop.dsn, "SELECT held_rows, held_checksum FROM etl.load ORDER BY id DESC LIMIT 1")


def counted(shop: Shop, columns: str = "id, name") -> list[tuple[object, ...]]:
    return query(
        shop.dsn, f"SELECT count(*), coalesce(sum(hash_record_extended(ROW({columns}), 0)), 0) FROM shop.goods"
    )


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_record_says_what_the_target_holds_after_every_load(shop: Shop, name: str) -> None:
    shop.table("goods", GOODS, STRATEGIES[name])
    columns = "id, name, valid_from, valid_to, is_current" if name == "scd2" else "id, name"
    for number, lines in enumerate((*SOURCES, SOURCES[2])):
        load(shop, lines, *(["--full-refresh"] if number == len(SOURCES) else []))

        assert recorded(shop) == counted(shop, columns), number


@pytest.mark.parametrize("name", ["append", "incremental", "scd2"])
def test_a_target_that_was_dropped_holds_what_is_loaded_again(shop: Shop, name: str) -> None:
    shop.table("goods", GOODS, STRATEGIES[name])
    load(shop, "1,a 2,b")
    query(shop.dsn, "DROP TABLE shop.goods")
    load(shop, "1,a 2,b")

    assert recorded(shop)[0][0] == 2
    assert shop.run("final").status == 0


def test_a_target_with_a_column_more_is_read_again(shop: Shop) -> None:
    shop.table("goods", {"id": "integer"}, INCREMENTAL + '\nnew_columns = "add"')
    shop.file("goods.csv", "id\n1\n2\n3\n")
    assert shop.load().status == 0
    load(shop, "3,c 4,d")

    assert recorded(shop) == counted(shop)


@pytest.mark.parametrize("name", ["incremental", "append", "append, batches", "scd2"])
@pytest.mark.parametrize(
    "damage", ["UPDATE shop.goods SET name = 'y' WHERE id = 1", "DELETE FROM shop.goods WHERE id = 1"]
)
def test_what_others_did_before_a_load_is_found_until_the_target_is_taken_as_it_is(
    shop: Shop, name: str, damage: str
) -> None:
    shop.table("goods", GOODS, STRATEGIES[name])
    load(shop, "1,a 2,b 9,c")
    query(shop.dsn, damage)
    load(shop, "1,a 2,b 9,c 10,d")
    found = shop.run("final")
    load(shop, "1,a 2,b 9,c 10,d", "--full-refresh")
    after = shop.run("final")

    assert found.status == 65
    assert "goods: changed outside of what was loaded: " in found.stderr
    assert "--full-refresh" in found.stderr
    assert after.status == 0, after.stderr


@pytest.mark.parametrize(
    "cure", ["DELETE FROM etl.watermark", "UPDATE etl.load SET held_columns = NULL WHERE target = 'shop.goods'"]
)
def test_a_target_can_be_taken_as_it_is_without_reading_its_source_from_the_beginning(shop: Shop, cure: str) -> None:
    shop.table("goods", GOODS, INCREMENTAL)
    load(shop, "1,a 2,b 9,c")
    query(shop.dsn, "INSERT INTO shop.goods VALUES (3, 'by hand')")
    query(shop.dsn, cure)
    load(shop, "1,a 2,b 9,c")

    assert recorded(shop) == counted(shop)
    assert query(shop.dsn, "SELECT count(*) FROM shop.goods") == [(4,)]


def test_an_increment_reads_no_more_of_the_target_than_it_brings(shop: Shop) -> None:
    shop.table("goods", GOODS, INCREMENTAL)
    load(shop, " ".join(f"{n},a" for n in range(200_000)))
    read = "SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE relname = 'goods' AND schemaname = 'shop'"
    query(shop.dsn, "VACUUM ANALYZE shop.goods")
    [(before,)] = query(shop.dsn, read)
    load(shop, "199998,b 199999,a 200000,a")
    wait_for(lambda: query(shop.dsn, "SELECT 1 FROM pg_stat_user_tables WHERE relname = 'goods' AND n_tup_upd = 1"))

    assert query(shop.dsn, read) == [(before,)]


def test_a_first_load_makes_a_table_like_any_other(shop: Shop) -> None:
    shop.table("goods", GOODS, KEY)
    load(shop, "1,a")
    query(shop.dsn, "ALTER TABLE shop.goods RENAME TO old_goods")  # its index keeps its name
    query(shop.dsn, "ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES TO PUBLIC")
    load(shop, "2,b")

    assert shop.rows("goods") == [(2, "b")]
    assert query(
        shop.dsn,
        "SELECT relpersistence, reloptions, has_table_privilege('public', oid, 'SELECT'), obj_description(oid) FROM"
        " pg_class WHERE oid = 'shop.goods'::regclass",
    ) == [("p", None, True, "Loaded from goods.csv.")]
    assert query(
        shop.dsn, "SELECT count(*) FROM pg_index WHERE indrelid = 'shop.goods'::regclass AND indisprimary"
    ) == [(1,)]
