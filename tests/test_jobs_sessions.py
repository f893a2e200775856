"""What others have decided for the sessions of a database or a role does not change what a load does."""

# ruff: noqa: F401, F811
from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from tests.support.jobs import Ended, Shop, query
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


@pytest.fixture
def writer(shop: Shop) -> str:
    """The DSN of a role that may do nothing yet; `shop` is the superuser's."""
    query(shop.dsn, "DO $$ BEGIN IF to_regrole('writer') IS NULL THEN CREATE ROLE writer LOGIN; END IF; END $$")
    shop.table("towns", TOWNS, 'key = ["id"]')
    shop.file("towns.csv", "id,größe\n1,Zürich\n")
    return psycopg.conninfo.make_conninfo(shop.dsn, user="writer")


def make_schemas(shop: Shop, *schemas: str) -> None:
    for schema in schemas:
        query(shop.dsn, f"CREATE SCHEMA {schema} AUTHORIZATION writer")


def name_of(shop: Shop) -> str:
    return str(query(shop.dsn, "SELECT quote_ident(current_database())")[0][0])


def hint_of(refused: Ended) -> str:
    assert refused.status == 78, refused.stderr
    return next(line.removeprefix("hint: ") for line in refused.stderr.splitlines() if line.startswith("hint: "))


def test_who_may_not_make_schemas_loads_into_those_that_were_made_for_it(shop: Shop, writer: str) -> None:
    refused = replace(shop, dsn=writer).load()
    assert "cannot make the schemas etl, shop, shop_staging: permission denied for database" in refused.stderr
    assert hint_of(refused) == f"GRANT CREATE ON DATABASE {name_of(shop)} TO writer, or make them for it"

    make_schemas(shop, "etl", "shop", "shop_staging")
    ended = replace(shop, dsn=writer).load()
    assert ended.status == 0, ended.stderr
    assert shop.rows("towns") == [(1, "Zürich")]


def test_the_cure_for_missing_rights_names_the_role_in_force_not_the_login(shop: Shop, writer: str) -> None:
    decide(shop, "role = 'writer'")

    assert hint_of(shop.load()) == f"GRANT CREATE ON DATABASE {name_of(shop)} TO writer, or make them for it"


def test_who_may_not_make_tables_in_the_schema_of_the_load_records_can_after_the_hint(shop: Shop, writer: str) -> None:
    make_schemas(shop, "shop", "shop_staging")
    query(shop.dsn, "CREATE SCHEMA etl; GRANT USAGE ON SCHEMA etl TO writer")
    refused = replace(shop, dsn=writer).load()
    query(shop.dsn, hint_of(refused).removeprefix("run: "))
    ended = replace(shop, dsn=writer).load()

    assert "the load records as they are to be: permission denied for schema etl" in refused.stderr
    assert ended.status == 0, ended.stderr


@pytest.mark.parametrize("older", ["ALTER TABLE etl.load DROP COLUMN run_started CASCADE", "DROP TABLE etl.batch"])
def test_older_load_records_of_another_role_are_brought_up_to_date_by_the_hint(
    shop: Shop, writer: str, older: str
) -> None:
    assert shop.load().status == 0
    [(owner,)] = query(shop.dsn, "SELECT quote_ident(current_user)")
    query(shop.dsn, "GRANT USAGE, CREATE ON SCHEMA etl TO writer; DROP SCHEMA shop, shop_staging CASCADE")
    make_schemas(shop, "shop", "shop_staging")
    query(shop.dsn, older)
    refused = replace(shop, dsn=writer).load()
    first, _, then = hint_of(refused).partition("; then run: ")
    assert shop.run("final").status != 78
    query(shop.dsn, then)
    ended = replace(shop, dsn=writer).load()

    assert "the load records as they are to be: must be owner of table load" in refused.stderr
    assert first == f"let {owner}, whose they are, load first"
    assert ended.status == 0, ended.stderr


def test_a_database_that_only_reads_is_a_matter_for_a_person(shop: Shop) -> None:
    shop.table("towns", TOWNS, 'key = ["id"]')
    shop.file("towns.csv", "id,größe\n1,Zürich\n")
    decide(shop, "default_transaction_read_only = on")

    refused = shop.load()
    assert refused.status == 78
    assert "in a read-only transaction" in refused.stderr


def test_a_role_that_may_write_no_functions_is_told_of_the_row(shop: Shop) -> None:
    query(shop.dsn, "DO $$ BEGIN IF to_regrole('writer') IS NULL THEN CREATE ROLE writer LOGIN; END IF; END $$")
    for schema in ("etl", "shop", "shop_staging"):
        query(shop.dsn, f"CREATE SCHEMA {schema} AUTHORIZATION writer")
    name = psycopg.conninfo.conninfo_to_dict(shop.dsn)["dbname"]
    query(shop.dsn, f'REVOKE TEMPORARY ON DATABASE "{name}" FROM PUBLIC')
    shop.dsn = psycopg.conninfo.make_conninfo(shop.dsn, user="writer")
    shop.table("towns", TOWNS, 'key = ["id"]\nrejects = { limit = 9 }\nchecks = [{ sql = "1 / (id - 2) < 9" }]')
    shop.file("towns.csv", "id,größe\n1,a\n2,b\n")

    refused = shop.load()
    assert refused.status == 65
    assert "division by zero" in refused.stderr
    assert "towns.csv line 3" in refused.stderr
