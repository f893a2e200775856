"""The whole sample load: pre, tables, cleanups, final; and what final says when something is not right."""

# ruff: noqa: F401, F811
from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from etl_jobs.catalogue import PACKAGED, read_catalogue
from etl_jobs.load import load_table
from etl_jobs.owned import STAGING
from etl_jobs.records import Attempt, Loaded
from etl_jobs.warehouse import connect
from tests.support.jobs import Ended, Shop, query, run_job, start_job, state
from tests.support.servers import Warehouse, open_folder, warehouse

pytestmark = pytest.mark.xdist_group("jobs-final")  # they share one load

SCALE = "0.05"
MARTS = ("import_purchases", "local_purchases_due", "local_sales")


def load_all(dsn: str) -> list[Loaded]:
    """All 20 tables in no helpful order, in this process."""
    catalogue = read_catalogue(PACKAGED, env={}, scale=float(SCALE))
    order = sorted(catalogue.tables, key=lambda table: table.id * 7 % 20)
    with connect({"DATABASE_URL": dsn}) as session:
        return [load_table(session, catalogue, t, attempt=Attempt(run=None, job=t.name), wait=5) for t in order]


def run(dsn: str, *arguments: str, output: Path | None = None, **env: str) -> Ended:
    return run_job(dsn, *arguments, output=output, ETL_SCALE=SCALE, **env)


@pytest.fixture(scope="module")
def loaded(warehouse: Warehouse) -> Iterator[str]:
    """A database with the sample load in it; tests put back what they change."""
    with warehouse.database() as dsn:
        load_all(dsn)
        yield dsn


@pytest.fixture
def restored(loaded: str) -> Iterator[str]:
    """The sample load, loaded again after a test that damages it."""
    yield loaded
    query(loaded, "DELETE FROM etl.watermark")
    load_all(loaded)


def test_tables_loaded_in_any_order_reconcile_and_give_the_marts(loaded: str, tmp_path: Path) -> None:
    output = tmp_path / "output.jsonl"
    ended = run(loaded, "final", output=output, ETL_RUN_DIR=str(tmp_path))

    assert ended.status == 0, ended.stderr
    assert (ended.metrics["tables"], ended.metrics["marts"], ended.metrics["differences"]) == (20, 3, 0)
    assert "| partner | 300 | 300 | equal |" in (tmp_path / "reconciliation.md").read_text()
    for mart in MARTS:
        assert query(loaded, f"SELECT count(*) > 0 FROM erp_mart.{mart}") == [(True,)]


def test_marts_say_the_same_as_their_tables(loaded: str) -> None:
    run(loaded, "final")

    assert query(
        loaded,
        "SELECT (SELECT sum(amount) FROM erp_mart.local_sales) = (SELECT sum(amount) FROM erp.local_sale_line l"
        " JOIN erp.local_sale s ON s.id = l.sale_id WHERE s.state IN ('sale', 'done')),"
        " (SELECT sum(orders) FROM erp_mart.import_purchases) = (SELECT count(*) FROM erp.import_order),"
        " (SELECT sum(landed_costs) FROM erp_mart.import_purchases) = (SELECT sum(amount) FROM erp.landed_cost),"
        " (SELECT sum(to_pay) FROM erp_mart.local_purchases_due) = (SELECT sum(residual) FROM erp.local_purchase_due)",
    ) == [(True, True, True, True)]


def test_only_what_is_unpaid_is_kept_by_due_date(loaded: str) -> None:
    assert query(
        loaded,
        "SELECT count(*) > 0, min(residual) > 0 FROM erp.local_purchase_due",
    ) == [(True, True)]


def test_running_everything_twice_changes_nothing(loaded: str, tmp_path: Path) -> None:
    run(loaded, "final")
    before = state(loaded, "erp", "erp_mart")
    again = load_all(loaded)
    final = run(loaded, "final", output=tmp_path / "output.jsonl").metrics

    assert [(one.inserted, one.updated, one.deleted) for one in again] == [(0, 0, 0)] * 20
    assert (final["inserted"], final["deleted"]) == (0, 0)
    assert state(loaded, "erp", "erp_mart") == before


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("DELETE FROM erp.users WHERE id = 3", ["users: 5 rows in the source, 4 in the warehouse"]),
        ("UPDATE erp.users SET name = 'x' WHERE id = 3", ["users: as many rows as in the source, but other values"]),
        ("INSERT INTO erp.local_purchase_due VALUES (1, 9, '2020-01-01', 1, 1, 0)", ["due: changed outside"]),
        ("DELETE FROM erp.stock_move WHERE id = 1", ["stock_move: "]),
        ("DELETE FROM erp.company WHERE id = 1", ["company: 4 rows in", "users: 2 rows refer to no parent, 0 when"]),
        ("DROP TABLE erp.payment_term", ["payment_term: erp.payment_term does", "local_purchase: erp.pay"]),
        ("DELETE FROM etl.load WHERE target = 'erp.users'", ["users: was never loaded"]),
    ],
)  # fmt: skip
def test_any_difference_fails_loudly_and_spares_the_marts(restored: str, damage: str, said: list[str]) -> None:
    run(restored, "final")
    marts = state(restored, "erp_mart")
    query(restored, damage)
    ended = run(restored, "final")

    assert ended.status == 65
    assert [word for word in said if word not in ended.stderr] == [], ended.stderr
    assert state(restored, "erp_mart") == marts


def test_a_source_that_has_changed_since_its_load_is_a_difference(loaded: str) -> None:
    ended = run_job(loaded, "final", "--scale", "0.06")

    assert ended.status == 65
    assert "partner: the source has changed since it was loaded" in ended.stderr


def test_reading_the_sources_again_finds_them_in_the_warehouse(loaded: str) -> None:
    query(loaded, "UPDATE etl.load SET rows_in = rows_in + 1 WHERE target = 'erp.partner'")
    trusting, reading = run(loaded, "final"), run(loaded, "final", "--reread")
    query(loaded, "UPDATE etl.load SET rows_in = rows_in - 1 WHERE target = 'erp.partner'")

    assert (trusting.status, reading.status) == (65, 0)


def test_cleanup_drops_leftovers_but_not_what_is_in_use(loaded: str) -> None:
    for name in ("partner", "product"):
        query(loaded, f"CREATE TABLE erp_staging.{name} (id integer)")
        query(loaded, f"COMMENT ON TABLE erp_staging.{name} IS '{STAGING}'")
    holder = start_job(loaded, "table", "--id", 14, "--scale", "50")
    try:
        while not query(loaded, "SELECT 1 FROM pg_stat_progress_copy WHERE tuples_processed > 0"):
            assert holder.poll() is None
        ended = run(loaded, "cleanup", "1")
    finally:
        holder.kill()
        holder.communicate()

    assert ended.stdout.startswith("2 staging tables")
    assert query(loaded, "SELECT tablename FROM pg_tables WHERE schemaname = 'erp_staging'") == [("local_sale_line",)]


def test_old_load_records_expire_but_never_a_tables_last(loaded: str) -> None:
    [(before,)] = query(loaded, "SELECT count(*) FROM etl.load WHERE target = 'erp.country'")
    run(loaded, "table", "--id", "1")
    query(loaded, "UPDATE etl.load SET finished = '2020-01-01' WHERE target = 'erp.country'")
    ended = run(loaded, "cleanup", "staging")

    assert f"{before} old load records" in ended.stdout
    assert query(loaded, "SELECT count(*) FROM etl.load WHERE target = 'erp.country'") == [(1,)]


def test_vacuum_takes_what_this_run_changed(loaded: str) -> None:
    query(loaded, "DELETE FROM erp.country WHERE code = 'JP'")
    for number in (0, 1):
        run(loaded, "table", "--id", str(number), ETL_RUN_ID="77", ETL_JOB=f"table-{number}")

    assert run(loaded, "cleanup", "2", ETL_RUN_ID="77").stdout == "1 tables vacuumed and analyzed\n"
    assert run(loaded, "cleanup", "vacuum").stdout == "20 tables vacuumed and analyzed\n"


def test_a_mart_whose_query_changes_is_made_again(loaded: str, tmp_path: Path) -> None:
    shop = Shop(tmp_path, loaded)
    (tmp_path / "marts").mkdir()
    shop.table("t", {"id": "integer"}, 'key = ["id"]')
    shop.file("t.csv", "id\n1\n2\n")
    mart = tmp_path / "marts" / "total.sql"
    shop.load()
    mart.write_text("SELECT count(*) AS n FROM t")
    one = shop.run("final")
    mart.write_text("SELECT count(*) AS n, max(id) AS most FROM t")
    two = shop.run("final")
    mart.write_text("SELECT no_such FROM t")
    bad = shop.run("final")

    assert (one.status, two.status, bad.status) == (0, 0, 78)
    assert 'total.sql: column "no_such" does not exist' in bad.stderr
    assert query(loaded, "SELECT * FROM shop_mart.total") == [(2, 2)]


def test_pre_passes_what_is_as_declared(loaded: str, tmp_path: Path) -> None:
    ended = run(loaded, "pre", output=tmp_path / "output.jsonl")

    assert ended.status == 0, ended.stderr
    assert ended.metrics["tables"] == 20


def test_pre_lists_every_source_that_is_not_as_declared(loaded: str, tmp_path: Path) -> None:
    shop = Shop(tmp_path, loaded)
    for name in ("a", "b", "c"):
        shop.table(name, {"id": "integer"}, 'key = ["id"]')
    shop.file("b.csv", "id\n1\n")
    shop.file("c.csv", "no\n1\n")
    ended = shop.run("pre")

    assert ended.status == 65
    assert "a.csv does not exist" in ended.stderr
    assert "c.csv line 1: no column 'id' and unexpected column 'no'" in ended.stderr


def test_pre_refuses_a_database_that_cannot_be_written(loaded: str) -> None:
    query(loaded, "DO $$ BEGIN IF to_regrole('guest') IS NULL THEN CREATE ROLE guest LOGIN; END IF; END $$")
    ended = run(loaded, "pre", PGOPTIONS="-c role=guest")

    assert ended.status == 78
    assert "guest may not make schemas" in ended.stderr


@pytest.mark.parametrize("place", ["the server's folder", "the role's tablespace", "the database's tablespace"])
def test_pre_looks_for_room_where_new_tables_go(
    tmp_path: Path, warehouse: Warehouse, open_folder: Path, place: str
) -> None:
    [(data,)] = query(warehouse.url, "SELECT current_setting('data_directory')")
    owner, far = Path(data).stat(), open_folder / "far"
    far.mkdir()
    os.chown(far, owner.st_uid, owner.st_gid)
    query(warehouse.url, f"CREATE TABLESPACE roomy LOCATION '{far}'")
    query(warehouse.url, f"CREATE DATABASE roomy{' TABLESPACE roomy' * place.startswith('the database')}")
    try:
        shop = Shop(tmp_path, warehouse.url.replace("/warehouse?", "/roomy?"))
        shop.table("t", {"id": "integer"})
        os.truncate(shop.file("t.csv", "id\n1\n"), 1 << 42)
        options = "-c default_tablespace=roomy" if place.startswith("the role") else ""
        ended = shop.run("pre", PGOPTIONS=options)
    finally:
        (tmp_path / "t.csv").unlink()  # it only looks as large
        query(warehouse.url, "DROP DATABASE roomy WITH (FORCE)")
        query(warehouse.url, "DROP TABLESPACE roomy")

    assert ended.status == 75, ended.stderr
    assert f"hint: make room on the disk of {data if 'server' in place else far}\n" in ended.stderr
