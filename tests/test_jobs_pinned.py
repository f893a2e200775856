"""Types that the target keeps: a source that widens later is refused before anything of it is cut."""

# ruff: noqa: F401, F811
from __future__ import annotations

import sqlite3
from pathlib import Path

import duckdb
import pytest

from etl_jobs.sources.types import lost, parse
from tests.support.jobs import query
from tests.support.servers import Warehouse, database, warehouse
from tests.support.sources import Load


def in_postgresql(load: Load, there: str, price: str) -> None:
    query(there, f"DROP TABLE IF EXISTS t; CREATE TABLE t (id integer, v {price}); INSERT INTO t VALUES (1, 1.2345)")


def in_sqlite(load: Load, there: str, price: str) -> None:
    session = sqlite3.connect(load.folder / "there.db")
    session.executescript(
        f"DROP TABLE IF EXISTS t; CREATE TABLE t (id integer, v {price}); INSERT INTO t VALUES (1, 1.2345)"
    )
    session.close()


def in_parquet(load: Load, there: str, price: str) -> None:
    with duckdb.connect() as session:
        session.execute(
            f"COPY (SELECT 1::INTEGER AS id, 1.2345::{price} AS v) TO '{load.folder}/t.parquet' (FORMAT parquet)"
        )


MAKERS = {"postgresql": in_postgresql, "sql": in_sqlite, "parquet": in_parquet}
TOPS = {"postgresql": 'url = "${THERE}"', "sql": 'url = "sqlite:///${FOLDER}/there.db"', "parquet": 'folder = "."'}


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("strategy", ["snapshot", "replace"])
def test_a_column_that_nobody_declared_is_not_cut_when_its_source_widens(
    tmp_path: Path, warehouse: Warehouse, database: str, kind: str, strategy: str
) -> None:
    with warehouse.database() as there:
        load = Load(tmp_path, database, kind=kind, top=TOPS[kind], env={"THERE": there, "FOLDER": str(tmp_path)})
        load.tables.append(f'[[table]]\nname = "t"\nkey = ["id"]\nstrategy = "{strategy}"\n')
        MAKERS[kind](load, there, "decimal(10,2)")
        assert load.load().status == 0
        MAKERS[kind](load, there, "decimal(10,4)")
        refused, explained, compared = load.load(), load.run("table --id 0 --explain"), load.run("final --reread")

        assert (refused.status, explained.status, compared.status) == (78, 78, 78)
        told = [ended.stderr.replace("(10, 4)", "(10,4)") for ended in (refused, explained, compared)]
        for said in told:
            assert "column 'v' is numeric(10,4) there, numeric(10,2) here: digits would be lost" in said
        assert query(database, "SELECT v::text FROM shop.t") == [("1.23",)]
        cure = 'ALTER TABLE "shop"."t" ALTER COLUMN "v" TYPE numeric(10,4) USING "v"::numeric(10,4);'
        assert cure in told[0]
        load.tables[0] += 'source = { lossy = ["v"] }\n'
        assert (load.load().status, query(database, "SELECT v::text FROM shop.t")) == (0, [("1.23",)])
        query(database, cure)
        assert (load.load().status, query(database, "SELECT v::text FROM shop.t")) == (0, [("1.2345",)])


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
