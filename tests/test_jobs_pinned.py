"""Types that the target keeps: a source that widens later is refused before anything of it is cut."""

# ruff: noqa: F401, F811
from __future__ import annotations

import sqlite3
from pathlib import Path

import duckdb
import pytest

from etl_jobs.sources.types import lost, parse
from tests.support.jobs import Shop, query
from tests.support.servers import Warehouse, database, warehouse
from tests.support.sources import Load


def in_postgresql(load: Load, there: str, price: str) -> None:
    query(there, f"DROP TABLE IF EXISTS t; CREATE TABLE t (id integer, v {price}); INSERT INTO t VALUES (1, 1.2345)")


def in_parquet(load: Load, there: str, price: str) -> None:
    with duckdb.connect() as session:
        session.execute(
            f"COPY (SELECT 1::INTEGER AS id, 1.2345::{price} AS v) TO '{load.folder}/t.parquet' (FORMAT parquet)"
        )


MAKERS = {"postgresql": in_postgresql, "parquet": in_parquet}
TOPS = {"postgresql": 'url = "${THERE}"', "parquet": 'folder = "."'}


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("strategy", ["snapshot", "replace"])
def test_a_column_that_nobody_declared_is_not_cut_when_its_source_widens(
    tmp_path: Path, warehouse: Warehouse, database: str, kind: str, strategy: str
) -> None:
    with warehouse.database() as there:
        load = Load(tmp_path, database, kind=kind, top=TOPS[kind], env={"THERE": there})
        load.tables.append(f'[[table]]\nname = "t"\nkey = ["id"]\nstrategy = "{strategy}"\n')
        MAKERS[kind](load, there, "decimal(10,2)")
        assert load.load().status == 0
        MAKERS[kind](load, there, "decimal(10,4)")
        refused, explained, compared = load.load(), load.run("table --id 0 --explain"), load.run("final --reread")

        assert (refused.status, explained.status, compared.status) == (78, 78, 78)
        for said in (refused.stderr, explained.stderr, compared.stderr):
            assert "column 'v' is numeric(10,4) there, numeric(10,2) here: digits would be lost" in said
        assert query(database, "SELECT v::text FROM shop.t") == [("1.23",)]
        cure = 'ALTER TABLE "shop"."t" ALTER COLUMN "v" TYPE numeric(10,4) USING "v"::numeric(10,4);'
        assert cure in refused.stderr
        load.tables[0] += 'source = { lossy = ["v"] }\n'
        assert (load.load().status, query(database, "SELECT v::text FROM shop.t")) == (0, [("1.23",)])
        query(database, cure)
        assert (load.load().status, query(database, "SELECT v::text FROM shop.t")) == (0, [("1.2345",)])


def test_a_target_that_is_narrower_than_a_table_of_another_database_is_refused(tmp_path: Path, database: str) -> None:
    load = Load(tmp_path, database, kind="sql", top=f'url = "sqlite:///{tmp_path}/there.db"')
    with sqlite3.connect(tmp_path / "there.db") as there:
        there.execute("CREATE TABLE t (id integer, v decimal(10,4))")
    there.close()
    query(database, "CREATE SCHEMA shop; CREATE TABLE shop.t (id bigint PRIMARY KEY, v numeric(10,2))")
    load.tables = ['[[table]]\nname = "t"\nkey = ["id"]\n']
    ended = load.load()

    assert (ended.status, "here: digits would be lost" in ended.stderr) == (78, True), ended.stderr
    assert 'run: ALTER TABLE "shop"."t" ALTER COLUMN "v" TYPE numeric USING "v"::numeric;' in ended.stderr


@pytest.mark.parametrize(
    ("first", "then", "said"),
    [
        ("date '2024-01-01'", "timestamp '2024-01-01 13:14:15'", "a part of the time would be lost"),
        ("timestamp '2024-01-01 10:00'", "timestamptz '2024-01-01 10:00+05'", "the time zone would be lost"),
        ("interval(0) '1 s'", "interval '1.6 s'", "digits would be lost"),
    ],
)
def test_time_is_not_cut_either(
    tmp_path: Path, warehouse: Warehouse, database: str, first: str, then: str, said: str
) -> None:
    with warehouse.database() as there:
        load = Load(tmp_path, database, kind="postgresql", top='url = "${THERE}"', env={"THERE": there})
        load.tables = [f'[[table]]\nname = "t"\nsource.query = "SELECT 1 AS id, {first} AS v"\n']
        assert load.load().status == 0
        load.tables = [f'[[table]]\nname = "t"\nsource.query = "SELECT 1 AS id, {then} AS v"\n']
        ended = load.load()

    assert (ended.status, said in ended.stderr) == (78, True), ended.stderr
    assert 'run: ALTER TABLE "shop"."t" ALTER COLUMN "v" TYPE' in ended.stderr


@pytest.mark.parametrize(
    ("source", "declared", "expected"),
    [
        ("interval", "interval(0)", "digits would be lost"),
        ("interval(3)", "interval(3)", ""),
        ("interval(6)", "interval", ""),
        ("interval", "interval day to second(3)", "digits would be lost"),
        ("interval", "interval year to month", "a part of the time would be lost"),
        ("interval", "interval hour", "a part of the time would be lost"),
        ("interval year to month", "interval day", ""),
        ("interval[]", "interval(0)[]", "digits would be lost"),
        ("interval", "text", ""),
    ],
)
def test_an_interval_is_not_cut(source: str, declared: str, expected: str) -> None:
    assert lost(parse(source), parse(declared)) == expected


@pytest.fixture
def shop(tmp_path: Path, database: str) -> Shop:
    return Shop(tmp_path, database)


@pytest.mark.parametrize(
    ("kind", "value", "wider"),
    [
        ("smallint", "40000", "bigint"),
        ("integer", "3000000000", "bigint"),
        ("bigint", "9223372036854775808", "numeric"),
        ("numeric(4,2)", "123.45", "numeric"),
        ("double precision", "1e400", "numeric"),
        ("integer", "one", "text"),
        ("character varying(3)", "long", "text"),
    ],
)
def test_a_value_that_is_too_large_for_the_target_is_said_with_the_type_that_holds_it(
    shop: Shop, kind: str, value: str, wider: str
) -> None:
    query(shop.dsn, f"CREATE SCHEMA shop; CREATE TABLE shop.goods (id bigint PRIMARY KEY, n {kind})")
    shop.table("goods", {}, 'key = ["id"]')
    shop.file("goods.csv", f"id,n\n1,{value}\n")
    cure = f'ALTER TABLE "shop"."goods" ALTER COLUMN "n" TYPE {wider} USING "n"::{wider};'
    ended = shop.load()

    assert ended.status == 65
    assert f"hint: if the source is right, run: {cure}" in ended.stderr
    query(shop.dsn, cure)
    assert shop.load().status == 0


def test_before_the_first_load_the_type_that_holds_a_value_is_to_be_declared(shop: Shop) -> None:
    shop.table("goods", {"id": "bigint", "n": "integer"})
    shop.file("goods.csv", "id,n\n1,3000000000\n")
    refused = shop.load()
    shop.redeclare(0, '"n" = "integer"', '"n" = "bigint"')

    assert "hint: if the source is right, declare 'n' as bigint" in refused.stderr
    assert shop.load().status == 0


@pytest.mark.parametrize(
    ("source", "declared", "expected"),
    [
        ("integer", "numeric(6,-2)", "digits would be lost"),
        ("numeric(10,-2)", "numeric(10,-2)", ""),
        ("numeric(10,-2)", "numeric(12,-3)", "digits would be lost"),
        ("bigint", "numeric(20)", ""),
    ],
)
def test_digits_before_the_point_are_not_cut_either(source: str, declared: str, expected: str) -> None:
    assert lost(parse(source), parse(declared)) == expected
