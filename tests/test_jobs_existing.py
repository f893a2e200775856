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
