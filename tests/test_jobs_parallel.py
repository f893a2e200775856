"""Many tables at once, and real tables under every strategy."""

# ruff: noqa: F401, F811
from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from etl_jobs.catalogue import read_catalogue
from etl_jobs.load import load_table
from etl_jobs.records import Attempt, Loaded
from etl_jobs.warehouse import connect
from tests.support.jobs import Shop, query
from tests.support.lahman import EDITIONS, KEYS, lahman_folder
from tests.support.servers import database, warehouse

EXAMPLE = Path(__file__).parents[1] / "examples" / "lahman" / "tables.toml"
REPEATING = {"AllstarFull", "AwardsPlayers", "CollegePlaying"}  # they have no key
STRATEGIES = ("replace", "slice", "append", "incremental", "scd2")


def load(dsn: str, catalogue: Path, number: int, *, full: bool = False, **env: str) -> Loaded:
    tables = read_catalogue(catalogue, env=env)
    with connect({"DATABASE_URL": dsn}) as session:
        table = tables.table(number)
        return load_table(session, tables, table, attempt=Attempt(run=None, job=table.name), wait=60, full=full)


@pytest.mark.timeout(200)
def test_tables_that_refer_to_each_other_both_ways_load_side_by_side(tmp_path: Path, database: str) -> None:
    shop = Shop(tmp_path, database)
    strategies = ("snapshot", "replace", 'slice"\nwhere = "id >= 0', "append", 'incremental"\nwatermark = "id', "scd2")
    for number in range(20):
        others = [(number + step) % 20 for step in (1, 7, 19)]
        references = ", ".join(f'{{ columns = ["r{o}"], table = "t{o}", to = ["id"] }}' for o in others)
        columns = {"id": "integer", "n": "integer"} | {f"r{o}": "integer" for o in others}
        strategy = strategies[number % len(strategies)]
        shop.table(f"t{number}", columns, f'key = ["id"]\nstrategy = "{strategy}"\nreferences = [{references}]')
    for turn in range(3):
        for number in range(20):
            head = ",".join(("id", "n", *(f"r{(number + step) % 20}" for step in (1, 7, 19))))
            lines = (f"{n},{turn},{n},{(n + turn) % 60},{n}" for n in range(60))
            shop.file(f"t{number}.csv", "\n".join([head, *lines]) + "\n")
        with ThreadPoolExecutor(8) as pool:
            loaded = list(pool.map(lambda number: load(database, shop.catalogue, number), range(20)))

        assert [one.rows >= 1 for one in loaded] == [True] * 20
    assert query(database, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == [(0,)]


@pytest.mark.timeout(200)
@pytest.mark.skipif(lahman_folder() is None, reason="the Lahman data is not here: set ETL_LAHMAN")
def test_two_editions_end_the_same_under_every_strategy(tmp_path: Path, database: str) -> None:
    """2024, then 2025; strategies that never delete say so, and a full refresh makes them equal as well."""
    folder = lahman_folder()
    assert folder is not None
    names = [name for name in KEYS if name not in REPEATING]
    numbers = [list(KEYS).index(name) for name in names]
    states = {}
    for strategy in ("snapshot", *STRATEGIES):
        catalogue = tmp_path / f"{strategy}.toml"
        text = EXAMPLE.read_text().replace('"lahman"', f'"{strategy}"')
        for name in names:
            settings = {"slice": 'where = "true"', "incremental": f'watermark = "{KEYS[name][0]}"\nlag = 1'}
            text = text.replace(
                f'name = "{name}"\n', f'name = "{name}"\nstrategy = "{strategy}"\n{settings.get(strategy, "")}\n'
            )
        if strategy == "incremental":  # a lag must be of the watermark's type: read everything instead
            text = text.replace("lag = 1", "lag = 0")
        catalogue.write_text(text)
        grows = strategy in {"append", "incremental"}
        for edition, full in ((EDITIONS[0], False), (EDITIONS[1], False), *(((EDITIONS[1], True),) if grows else ())):
            with ThreadPoolExecutor(4) as pool:
                source = str(folder / edition)
                list(pool.map(lambda n: load(database, catalogue, n, full=full, ETL_SOURCE=source), numbers))  # noqa: B023
        states[strategy] = {name: current(database, strategy, name) for name in names}

    assert {strategy: state for strategy, state in states.items() if state != states["snapshot"]} == {}


def current(dsn: str, schema: str, name: str) -> tuple[object, ...]:
    """Row count and checksum of the source's columns, of a history for the rows that hold now."""
    condition = "is_current" if schema == "scd2" else "true"
    with psycopg.connect(dsn) as session:
        columns = session.execute(
            "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attname) FROM pg_attribute WHERE attnum > 0"
            " AND attrelid = %s::regclass AND attname NOT IN ('valid_from', 'valid_to', 'is_current')",
            [f'"{schema}"."{name}"'],
        ).fetchone()
        assert columns is not None
        total = f"count(*), sum(hash_record_extended(ROW({columns[0]}), 0))"
        row = session.execute(f'SELECT {total} FROM "{schema}"."{name}" WHERE {condition}'.encode()).fetchone()
    assert row is not None
    return row
