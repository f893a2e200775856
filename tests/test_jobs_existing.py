"""Targets that somebody else has made: their keys, triggers and rules."""

# ruff: noqa: F401, F811
from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.jobs import Shop, query
from tests.support.servers import database, warehouse

COLUMNS = {"id": "integer", "v": "text"}


@pytest.fixture
def shop(tmp_path: Path, database: str) -> Shop:
    query(database, "CREATE SCHEMA shop")
    return Shop(tmp_path, database)


KEYS = {
    "a key that may be empty": (
        "id integer UNIQUE, v text",
        'key = ["id"]',
        "exists with a key that may be empty: 'id'",
        "ALTER COLUMN \"id\" SET NOT NULL;",
    ),
    "a key of which one part may be empty": (
        "id integer NOT NULL, v text, UNIQUE (id, v)",
        'key = ["id", "v"]',
        "exists with a key that may be empty: 'v'",
        "ALTER COLUMN \"v\" SET NOT NULL;",
    ),
    "a key of fewer columns that carries another one": (
        "id integer NOT NULL, v text NOT NULL, UNIQUE (id) INCLUDE (v)",
        'key = ["id", "v"]',
        "exists without a primary key on (id, v)",
        "ADD PRIMARY KEY",
    ),
    "a key that is looked at late, for append": (
        "id integer PRIMARY KEY DEFERRABLE, v text",
        'key = ["id"]\nstrategy = "append"',
        "exists with a key that is DEFERRABLE, which append cannot go by",
        'ADD PRIMARY KEY ("id");',
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", KEYS)
def test_a_key_that_names_no_row_is_refused(shop: Shop, case: str) -> None:
    definition, settings, said, cure = KEYS[case]
    query(shop.dsn, f"CREATE TABLE shop.t ({definition})")
    shop.table("t", COLUMNS, settings + "\nmax_delete = 1")
    shop.file("t.csv", "id,v\n1,a\n2,b\n")
    ended = shop.load()

    assert ended.status == 78, ended.stderr
    assert said in ended.stderr
    assert cure in ended.stderr
    assert shop.rows("t") == []


def test_rows_without_a_key_do_not_become_more_with_every_load(shop: Shop) -> None:
    query(shop.dsn, "CREATE TABLE shop.t (id integer UNIQUE, v text)")
    query(shop.dsn, "INSERT INTO shop.t VALUES (NULL, 'x'), (1, 'a')")
    shop.table("t", COLUMNS, 'key = ["id"]\nmax_delete = 1')
    shop.file("t.csv", "id,v\n1,a\n2,b\n")
    refused = shop.load()
    before = shop.rows("t")
    query(shop.dsn, "DELETE FROM shop.t WHERE id IS NULL")
    query(shop.dsn, 'ALTER TABLE "shop"."t" ALTER COLUMN "id" SET NOT NULL')
    ended = shop.load()

    assert refused.status == 78
    assert before == [(1, "a"), (None, "x")]
    assert (ended.status, shop.rows("t")) == (0, [(1, "a"), (2, "b")])


@pytest.mark.parametrize("key", ["PRIMARY KEY (id) INCLUDE (v)", "PRIMARY KEY (id) DEFERRABLE"])
def test_a_key_that_names_every_row_is_taken(shop: Shop, key: str) -> None:
    query(shop.dsn, f"CREATE TABLE shop.t (id integer, v text, {key})")
    shop.table("t", COLUMNS, 'key = ["id"]')
    shop.file("t.csv", "id,v\n1,a\n2,b\n")
    ended = shop.load()

    assert (ended.status, shop.rows("t")) == (0, [(1, "a"), (2, "b")]), ended.stderr


SWALLOWS = "CREATE FUNCTION shop.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
STRATEGIES = {
    "snapshot": 'key = ["id"]',
    "snapshot without a key": "",
    "slice": 'key = ["id"]\nstrategy = "slice"\nwhere = "id > 0"',
    "incremental": 'key = ["id"]\nstrategy = "incremental"\nwatermark = "id"\nlag = 10',
    "append": 'key = ["id"]\nstrategy = "append"',
    "append without a key": 'strategy = "append"',
    "scd2": 'key = ["id"]\nstrategy = "scd2"',
}
KEEPERS = {
    "trigger": [SWALLOWS, "CREATE TRIGGER tr BEFORE {event} ON shop.t FOR EACH ROW EXECUTE FUNCTION shop.f()"],
    "rule": ["CREATE RULE ru AS ON {event} TO shop.t DO INSTEAD NOTHING"],
}


def first_load(shop: Shop, strategy: str) -> None:
    shop.table("t", COLUMNS, STRATEGIES[strategy] + "\nmax_delete = 1")
    shop.file("t.csv", "id,v\n1,a\n2,b\n")
    assert shop.load().status == 0


@pytest.mark.parametrize("keeper", KEEPERS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_rows_that_something_of_the_table_keeps_away_fail_the_load(shop: Shop, strategy: str, keeper: str) -> None:
    first_load(shop, strategy)
    before = shop.rows("t")
    for statement in KEEPERS[keeper]:
        query(shop.dsn, statement.format(event="INSERT"))
    shop.file("t.csv", "id,v\n3,c\n" if strategy == "append without a key" else "id,v\n1,a\n2,b\n3,c\n")
    ended = shop.load()

    said = f'1 of 1 rows were not inserted in "shop"."t", which has something that may keep rows away: {keeper}'
    if strategy == "append":
        said = said.replace("1 of 1", "1 of 3")
    if keeper == "rule" and strategy in {"append", "scd2"}:
        said = "the warehouse said: "  # such statements do not go with rules
    assert (ended.status, shop.rows("t")) == (78 if "warehouse" in said else 65, before)
    assert said in ended.stderr


@pytest.mark.parametrize(
    ("event", "strategy", "word"),
    [
        ("UPDATE", "snapshot", "updated"),
        ("DELETE", "snapshot", "deleted"),
        ("DELETE", "snapshot without a key", "deleted"),
        ("UPDATE", "scd2", "updated"),
        ("UPDATE", "incremental", "updated"),
    ],
)
def test_changes_that_something_of_the_table_keeps_away_fail_the_load(
    shop: Shop, event: str, strategy: str, word: str
) -> None:
    first_load(shop, strategy)
    before = shop.rows("t")
    for statement in KEEPERS["trigger"]:
        query(shop.dsn, statement.format(event=event))
    shop.file("t.csv", "id,v\n2,c\n" if event == "UPDATE" else "id,v\n2,b\n")
    ended = shop.load()

    assert (ended.status, shop.rows("t")) == (65, before)
    assert f" rows were not {word} in " in ended.stderr


@pytest.mark.parametrize("strategy", ["snapshot", "append", "append without a key", "snapshot without a key"])
def test_rows_that_a_trigger_puts_into_tables_that_inherit_are_there(shop: Shop, strategy: str) -> None:
    first_load(shop, strategy)
    query(shop.dsn, "CREATE TABLE shop.late (CHECK (id > 2)) INHERITS (shop.t)")
    query(
        shop.dsn,
        "CREATE FUNCTION shop.f() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN INSERT INTO shop.late VALUES (new.*); RETURN NULL; END'",
    )
    query(shop.dsn, KEEPERS["trigger"][1].format(event="INSERT"))
    shop.file("t.csv", "id,v\n1,a\n2,b\n3,c\n" if "append" not in strategy else "id,v\n3,c\n")
    ended = shop.load()

    assert (ended.status, shop.rows("t")) == (0, [(1, "a"), (2, "b"), (3, "c")]), ended.stderr
