"""Loads of one interval, as a backfill starts them: what of the table they answer for, and the watermark."""

# ruff: noqa: F401, F811
from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import Project, clean_env
from tests.support.jobs import Ended, query
from tests.support.servers import Warehouse, database, warehouse
from tests.support.sources import Load

ROOT = Path(__file__).parents[1]
SALE = {"id": "integer", "day": "date", "amount": "integer"}
BETWEEN = "day >= ${ETL_INTERVAL_START:-2025-01-01} AND day < '${ETL_INTERVAL_END:-infinity}'"
DAYS = "SELECT count(*), min(day)::text, max(day)::text FROM shop.sale"
JANUARY, FEBRUARY, MARCH = [
    {"ETL_INTERVAL_START": f"2025-0{month}-01", "ETL_INTERVAL_END": f"2025-0{month + 1}-01"} for month in (1, 2, 3)
]


@pytest.fixture
def there(warehouse: Warehouse) -> Iterator[str]:
    """The source: 90 sales, one a day from the first of January 2025 on."""
    with warehouse.database() as dsn:
        query(dsn, "CREATE TABLE sale AS SELECT n + 1 AS id, date '2025-01-01' + n AS day, n AS amount"
                   " FROM generate_series(0, 89) AS n")  # fmt: skip
        yield dsn


@pytest.fixture
def load(tmp_path: Path, database: str, there: str) -> Load:
    return Load(tmp_path, database, kind="postgresql", top='url = "${THERE}"', env={"THERE": there})


def changed(ended: Ended) -> tuple[int, ...]:
    assert ended.status == 0, ended.stderr
    return tuple(ended.metrics[name] for name in ("rows", "inserted", "updated", "deleted"))


@pytest.mark.parametrize("by_query", [True, False])
def test_a_slice_by_interval_replaces_exactly_the_interval(load: Load, there: str, by_query: bool) -> None:
    source = f'source.query = "SELECT * FROM sale WHERE {BETWEEN}"' if by_query else ""
    load.table("sale", SALE, f'key = ["id"]\nstrategy = "slice"\nwhere = "{BETWEEN}"\n{source}')

    assert changed(load.load(0, **FEBRUARY)) == (28, 28, 0, 0)
    assert changed(load.load(0, **JANUARY)) == (31, 31, 0, 0)
    query(there, "DELETE FROM sale WHERE id IN (1, 40); UPDATE sale SET amount = -1 WHERE id IN (2, 41)")
    assert changed(load.load(0, **FEBRUARY)) == (27, 0, 1, 1)

    assert query(load.dsn, "SELECT id, amount FROM shop.sale WHERE id IN (1, 2, 40, 41) ORDER BY id") == [
        (1, 0), (2, 1), (41, -1),
    ]  # fmt: skip
    assert query(load.dsn, DAYS) == [(58, "2025-01-01", "2025-02-28")]
    assert load.run("final").status == 0


def test_a_slice_by_interval_of_a_text_column_finds_its_rows(load: Load, there: str) -> None:
    query(there, "ALTER TABLE sale ALTER day TYPE text")
    load.table("sale", SALE | {"day": "text"}, f'key = ["id"]\nstrategy = "slice"\nwhere = "{BETWEEN}"')

    assert changed(load.load(0, **JANUARY)) == (31, 31, 0, 0)


INCREMENTAL = (
    f'key = ["id"]\nstrategy = "incremental"\nwatermark = "id"\nsource.query = "SELECT * FROM sale WHERE {BETWEEN}"'
)


@pytest.mark.parametrize("strategy", ["incremental", "append"])
def test_older_intervals_are_not_cut_off_by_the_watermark_and_do_not_move_it(
    load: Load, there: str, strategy: str
) -> None:
    load.table("sale", SALE, INCREMENTAL.replace("incremental", strategy))

    assert changed(load.load(0, **FEBRUARY)) == (28, 28, 0, 0)
    assert changed(load.load(0, **JANUARY)) == (31, 31, 0, 0)
    assert query(load.dsn, "SELECT * FROM etl.watermark") == []
    assert changed(load.load()) == (90, 31, 0, 0)  # the first load of all
    assert query(load.dsn, "SELECT value FROM etl.watermark") == [("90",)]

    query(there, "INSERT INTO sale VALUES (-1, '2025-01-15', 1)")
    assert changed(load.load(0, **JANUARY)) == (32, 1, 0, 0)
    assert query(load.dsn, "SELECT value FROM etl.watermark") == [("90",)]
    assert load.run("final").status == 0
    query(there, "INSERT INTO sale VALUES (91, '2025-04-01', 1)")
    assert changed(load.load()) == (2, 1, 0, 0)  # from the watermark on
    assert query(load.dsn, DAYS) == [(92, "2025-01-01", "2025-04-01")]
    assert load.run("final").status == 0


@pytest.mark.parametrize("before", [True, False])
def test_final_still_sees_what_others_change_before_or_after_the_load_of_an_interval(load: Load, before: bool) -> None:
    load.table("sale", SALE, INCREMENTAL)
    load.load()
    if not before:
        load.load(0, **JANUARY)
    query(load.dsn, "DELETE FROM shop.sale WHERE id = 60")
    if before:
        load.load(0, **JANUARY)

    ended = load.run("final")

    assert ended.status == 65
    assert "changed outside of what was loaded: 90 rows expected, 89 there" in ended.stderr


def test_final_rereads_all_of_the_source_after_the_load_of_an_interval(load: Load, there: str) -> None:
    load.table("sale", SALE, INCREMENTAL)
    load.load()
    load.load(0, **JANUARY)
    assert load.run("final --reread").status == 0
    query(there, "UPDATE sale SET amount = -1 WHERE id = 60")

    assert load.run("final --reread").status == 65


def test_a_load_of_one_interval_never_holds_for_another(load: Load) -> None:
    query_ = "SELECT * FROM sale"
    load.table(
        "sale", SALE, INCREMENTAL.replace(f"SELECT * FROM sale WHERE {BETWEEN}", query_) + '\nfresh_for = "1 day"'
    )

    cached = [load.load(0, **span).metrics.get("cached") for span in (JANUARY, FEBRUARY, {}, {})]

    assert cached == [None, None, None, True]


def test_a_full_refresh_of_one_interval_is_refused(load: Load) -> None:
    load.table("sale", SALE, INCREMENTAL)
    load.load()

    ended = load.run("table --id 0 --full-refresh", **JANUARY)

    assert ended.status == 78
    assert "--full-refresh would leave one interval" in ended.stderr
    assert query(load.dsn, "SELECT count(*) FROM shop.sale") == [(90,)]


def test_an_interval_takes_the_place_of_its_own_rejects_only(load: Load, there: str) -> None:
    query(there, "UPDATE sale SET amount = -1 WHERE id IN (1, 40)")
    settings = 'checks = [{ column = "amount", min = 0 }]\nrejects = { limit = 9 }'
    load.table("sale", SALE, f'key = ["id"]\nstrategy = "slice"\nwhere = "{BETWEEN}"\n{settings}')

    for name, span in (("january", JANUARY), ("february", FEBRUARY), ("january", JANUARY)):
        assert load.load(0, ETL_JOB=name, **span).metrics["rejected"] == 1
    query(there, "UPDATE sale SET amount = 1 WHERE id = 1")
    load.load(0, ETL_JOB="january", **JANUARY)

    assert query(load.dsn, "SELECT job, record ->> 'id' FROM shop.sale__rejects") == [("february", "40")]


def test_the_example_of_the_documentation_loads_interval_by_interval_and_every_night(
    tmp_path: Path, database: str, there: str
) -> None:
    text = (ROOT / "docs" / "loading.md").read_text(encoding="utf-8")
    part = text.split("## Intervals of the past")[1].split("\n## ")[0]
    pipeline, catalogue = re.findall(r"```toml\n(.*?)```", part, re.DOTALL)
    (command,) = re.findall(r"^    etl-run (.*)$", part, re.MULTILINE)
    (tmp_path / "tables.toml").write_text(catalogue)
    project = Project(tmp_path, pipeline)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = clean_env(PATH=path, DATABASE_URL=database, SHOP_URL=there, PYTHONPATH=str(ROOT))

    backfill = project.run(*command.split(), env=env)

    assert backfill.returncode == 0, backfill.stdout
    assert query(database, DAYS) == [(90, "2025-01-01", "2025-03-31")]
    loads = query(database, "SELECT job, rows_in FROM etl.load ORDER BY 1")
    assert loads == [("sale@2025-01-01", 31), ("sale@2025-02-01", 28), ("sale@2025-03-01", 31)]
    query(there, "DELETE FROM sale WHERE id = 45; INSERT INTO sale VALUES (91, '2025-04-01', 1)")
    assert project.run("all", env=env).returncode == 0
    assert query(database, DAYS) == [(90, "2025-01-01", "2025-04-01")]


def test_the_rows_of_one_interval_are_no_measure_for_those_of_the_whole_table_nor_of_another(load: Load) -> None:
    source = f'source.query = "SELECT * FROM sale WHERE {BETWEEN}"'
    load.table("sale", SALE, f'key = ["id"]\nstrategy = "append"\nchecks = [{{ row_change = 0.05 }}]\n{source}')

    spans = ({}, JANUARY, FEBRUARY, {})  # 90 rows, 31, 28, 90

    assert [load.load(0, **span).status for span in spans] == [0, 0, 0, 0]


@pytest.mark.parametrize("strategy", ["snapshot", "replace", "append", 'slice"\nwhere = "id > 0'])
def test_a_table_that_asks_for_no_interval_is_loaded_and_compared_as_a_whole(
    load: Load, there: str, strategy: str
) -> None:
    load.table("sale", SALE, f'key = ["id"]\nstrategy = "{strategy}"')
    assert load.load(0, **JANUARY).metrics["rows"] == 90
    recorded = query(load.dsn, 'SELECT "interval" FROM etl.load')
    same = load.run("final")
    query(there, "DELETE FROM sale WHERE id = 5")
    other = load.run("final --reread")

    assert (recorded, same.status) == ([(None,)], 0)
    assert other.status == (65 if strategy != "append" else 0), other.stdout
