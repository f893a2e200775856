"""What others have decided for the sessions of a database or a role does not change what a load does."""

# ruff: noqa: F401, F811
from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.support.jobs import Shop, query
from tests.support.servers import Warehouse, database, warehouse

TOWNS = {"id": "integer", "größe": "text"}


@pytest.fixture
def shop(tmp_path: Path, database: str) -> Shop:
    return Shop(tmp_path, database)


def decide(shop: Shop, setting: str) -> None:
    name = psycopg.conninfo.conninfo_to_dict(shop.dsn)["dbname"]
    query(shop.dsn, f'ALTER DATABASE "{name}" SET {setting}')


@pytest.mark.parametrize("where", ["database", "environment"])
def test_views_and_comments_stay_as_they_are_whatever_the_sessions_encoding(shop: Shop, where: str) -> None:
    shop.table("towns", TOWNS, 'key = ["id"]\nstrategy = "replace"')
    shop.file("towns.csv", "id,größe\n1,Zürich\n2,Köln\n")
    env = {"PGCLIENTENCODING": "LATIN1"} if where == "environment" else {}
    if where == "database":
        decide(shop, "client_encoding = 'LATIN1'")
    assert shop.load(**env).status == 0
    with psycopg.connect(shop.dsn, client_encoding="UTF8") as session:
        session.execute("CREATE VIEW shop.one AS SELECT id FROM shop.towns WHERE größe = 'Zürich'")
        session.execute("COMMENT ON COLUMN shop.towns.größe IS 'Maß'")
    again = shop.load(0, "--full-refresh", **env)

    assert again.status == 0, again.stderr
    with psycopg.connect(shop.dsn, client_encoding="UTF8") as session:
        assert session.execute("SELECT id FROM shop.one").fetchall() == [(1,)]
        assert session.execute("SELECT col_description('shop.towns'::regclass, 2)").fetchall() == [("Maß",)]


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_of_another_encoding_holds_what_it_can(shop: Shop, warehouse: Warehouse, encoding: str) -> None:
    with psycopg.connect(warehouse.url, autocommit=True) as session:
        session.execute("DROP DATABASE IF EXISTS narrow")
        session.execute(f"CREATE DATABASE narrow TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'")
    shop.dsn = warehouse.url.replace("/warehouse?", "/narrow?")
    shop.table("towns", TOWNS, 'key = ["id"]')
    shop.file("towns.csv", "id,größe\n1,Zürich\n")

    ended = shop.load()
    assert ended.status == 0, ended.stderr
    with psycopg.connect(shop.dsn, client_encoding="UTF8") as session:
        assert session.execute('SELECT "größe" FROM shop.towns').fetchall() == [("Zürich",)]


def test_a_session_that_waits_for_its_source_is_not_ended(shop: Shop) -> None:
    shop.table("towns", TOWNS, 'key = ["id"]\nstrategy = "replace"\nrejects = { limit = 10 }')
    shop.file("towns.csv", "id,größe\n" + "".join(f"{n},x\n" for n in range(50_000)) + "0,twice\nx,no number\n")
    decide(shop, "idle_in_transaction_session_timeout = 1")

    ended = shop.load()
    assert ended.status == 0, ended.stderr


def test_who_may_not_make_schemas_loads_into_those_that_were_made_for_it(shop: Shop) -> None:
    query(shop.dsn, "DO $$ BEGIN IF to_regrole('loader') IS NULL THEN CREATE ROLE loader LOGIN; END IF; END $$")
    shop.table("towns", TOWNS, 'key = ["id"]')
    shop.file("towns.csv", "id,größe\n1,Zürich\n")
    owner, shop.dsn = shop.dsn, psycopg.conninfo.make_conninfo(shop.dsn, user="loader")

    refused = shop.load()
    assert refused.status == 78
    assert "cannot make the schemas etl, shop, shop_staging: permission denied for database" in refused.stderr
    assert "GRANT CREATE ON DATABASE" in refused.stderr

    for schema in ("etl", "shop", "shop_staging"):
        query(owner, f"CREATE SCHEMA {schema} AUTHORIZATION loader")
    ended = shop.load()
    assert ended.status == 0, ended.stderr
    assert shop.rows("towns") == [(1, "Zürich")]


def test_a_role_that_may_write_no_functions_is_told_of_the_row(shop: Shop) -> None:
    query(shop.dsn, "DO $$ BEGIN IF to_regrole('loader') IS NULL THEN CREATE ROLE loader LOGIN; END IF; END $$")
    for schema in ("etl", "shop", "shop_staging"):
        query(shop.dsn, f"CREATE SCHEMA {schema} AUTHORIZATION loader")
    name = psycopg.conninfo.conninfo_to_dict(shop.dsn)["dbname"]
    query(shop.dsn, f'REVOKE TEMPORARY ON DATABASE "{name}" FROM PUBLIC')
    shop.dsn = psycopg.conninfo.make_conninfo(shop.dsn, user="loader")
    shop.table("towns", TOWNS, 'key = ["id"]\nrejects = { limit = 9 }\nchecks = [{ sql = "1 / (id - 2) < 9" }]')
    shop.file("towns.csv", "id,größe\n1,a\n2,b\n")

    refused = shop.load()
    assert refused.status == 65
    assert "division by zero" in refused.stderr
    assert "towns.csv line 3" in refused.stderr
