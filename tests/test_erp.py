"""The ERP example from end to end: a real server, `etl-run all`, PostgreSQL."""

# ruff: noqa: F401, F811
from __future__ import annotations

import json
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from etl_jobs.erp.lookups import looked_up
from etl_jobs.sources.client import Client
from etl_jobs.sources.jsonrpc import Erp
from tests.support.cli import ETL_RUN, clean_env
from tests.support.erp import EXAMPLE, erp
from tests.support.jobs import Ended, query, run_job
from tests.support.servers import database, warehouse

LOGIN = {"database": "company", "user": "etl", "password": "demo"}
TABLES = {"import_purchase": "purchase.order", "local_sale": "sale.order", "local_purchase_due": "account.move.line"}
JOBS = ("import_purchases", "local_sales", "local_purchases_due")


def variables(server: Any, password: str = "demo") -> dict[str, str]:
    return {"ERP_URL": server.url, "ERP_DATABASE": "company", "ERP_USER": "etl", "ERP_PASSWORD": password}


def job(server: Any, dsn: str, name: str = "local_sales", **env: str) -> Ended:
    return run_job(dsn, f"erp.{name}", **{**variables(server), **env})


def held(dsn: str, table: str) -> list[tuple[Any, ...]]:
    return [
        (number, float(amount), float(residual), paid)
        for number, amount, residual, paid in query(
            dsn, f"SELECT id, amount, residual, paid FROM erp.{table} ORDER BY id"
        )
    ]


def served_by(server: Any, model: str) -> list[tuple[Any, ...]]:
    return [
        (r["id"], r["amount_total"], r["amount_residual"], r["payment_state"] == "paid")
        for _, r in sorted(server.data.models[model].items())
    ]


def test_all_three_loads_run_side_by_side_and_keep_up(tmp_path: Path, database: str) -> None:
    with erp(trouble=7) as server:
        env = clean_env(DATABASE_URL=database, ETL_HOME=str(tmp_path), **variables(server))

        def run_all() -> tuple[str, int, int]:
            """Requests for partners and for documents that a run took."""
            server.asked.clear()
            ended = subprocess.run(
                [*ETL_RUN, "all", "-c", EXAMPLE / "etl.toml", "-o", "json"],
                cwd=EXAMPLE, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100,
                check=False,
            )  # fmt: skip
            assert ended.returncode == 0, ended.stdout + ended.stderr
            documents = sum(server.asked[f"{model} search_read"] for model in TABLES.values())
            return ended.stdout, server.asked["res.partner search_read"], documents

        said, partners, _ = run_all()
        assert [held(database, table) for table in TABLES] == [served_by(server, m) for m in TABLES.values()]
        assert partners == 2  # one page and the end: asked for once in the run, not by each of the three
        assert sum('"outcome":"succeeded"' in line for line in said.splitlines()) == 3

        _change(server)
        run_all()
        assert [held(database, table) for table in TABLES] == [served_by(server, m) for m in TABLES.values()]


def _change(server: Any) -> None:
    """Payments, a cancelled document and new ones."""
    sales = server.data.models["sale.order"]
    unpaid = [n for n, r in sales.items() if r["payment_state"] != "paid"]
    for number in unpaid[:10]:
        sales[number] |= {"amount_residual": 0.0, "payment_state": "paid"}
    sales[unpaid[11]]["amount_residual"] = 0.5
    del sales[unpaid[12]]
    newest = max(sales)
    sales[newest + 1] = {**sales[newest], "id": newest + 1, "amount_residual": 0.0, "payment_state": "paid"}
    sales[newest + 2] = {**sales[newest], "id": newest + 2, "amount_residual": 1.0, "payment_state": "partial"}


def test_only_what_is_open_is_read_again(database: str) -> None:
    with erp() as server:
        first = job(server, database, ETL_OUTPUT="/dev/null")
        _change(server)
        query(database, "UPDATE erp.local_sale SET number = 'mine' WHERE paid")
        second = job(server, database)
        sales = server.data.models["sale.order"].values()

    assert first.stdout.startswith("erp.local_sale: 380 documents read, 0 rows replaced by 380, 104 unpaid")
    opened = sum(sale["payment_state"] != "paid" for sale in sales)
    assert second.stdout == (
        f"erp.local_sale: {opened + 11} documents read, 104 rows replaced by {opened + 11}, {opened} unpaid\n"
    )
    assert query(database, "SELECT count(*) FROM erp.local_sale WHERE number = 'mine'") == [(380 - 104,)]


@pytest.mark.parametrize("name", JOBS)
def test_each_load_is_a_script_of_its_own(database: str, name: str) -> None:
    with erp() as server:
        ended, again = job(server, database, name), job(server, database, name)

    assert (ended.status, again.status) == (0, 0), ended.stderr + again.stderr
    table = name.replace("sales", "sale").replace("purchases", "purchase")
    columns = "*" if name == "local_sales" else "number, supplier, company"
    assert query(database, f"SELECT count(*) FROM (SELECT {columns} FROM erp.{table}) AS t WHERE t IS NULL") == [(0,)]
    assert query(database, f"SELECT count(*) FROM erp.{table} WHERE company IS NULL OR currency IS NULL") == [(0,)]


def test_an_erp_that_dies_in_the_middle_leaves_the_table(database: str) -> None:
    with erp() as server:
        assert job(server, database).status == 0
        before = held(database, "local_sale")
        _change(server)
        real = server.data.call

        def dies(model: str, *call: Any) -> Any:
            if model == "sale.order" and server.asked["sale.order search_read"] > 3:
                raise RuntimeError("the connection breaks")
            return real(model, *call)

        server.data.call = dies
        ended = job(server, database)

    assert (ended.status, held(database, "local_sale")) == (75, before)
    assert "RemoteProtocolError" in ended.stderr


def test_what_a_person_must_change_is_said(database: str) -> None:
    with erp() as server:
        refused = job(server, database, ERP_PASSWORD="wrong")
        unset = run_job(database, "erp.local_sales", ERP_URL="x", ERP_USER="etl")

    assert (refused.status, unset.status) == (78, 78)
    assert "refuses user 'etl' of database 'company'" in refused.stderr
    assert unset.stderr.startswith("error: no ERP: ERP_DATABASE, ERP_PASSWORD not set")


def test_a_look_up_is_asked_for_once_however_many_want_it(tmp_path: Path) -> None:
    with erp() as server, Client("erp") as client:
        session = Erp(client, server.url, **LOGIN)
        asked = threading.Lock()

        class One:
            def pages(self, *call: Any) -> Any:
                assert asked.acquire(blocking=False), "asked twice"
                return session.pages(*call)

        def look(_: int) -> Any:
            return looked_up(One(), "res.partner", ["name"], env={"ETL_RUN_DIR": str(tmp_path)})  # type: ignore[arg-type]

        with ThreadPoolExecutor(8) as threads:
            found = list(threads.map(look, range(8)))

    assert all(one == found[0] for one in found)
    assert found[0][1]["name"] == server.data.models["res.partner"][1]["name"]


def test_a_look_up_that_was_not_finished_is_asked_for_again(tmp_path: Path) -> None:
    with erp() as server, Client("erp") as client:
        (tmp_path / "look-ups").mkdir()
        (tmp_path / "look-ups" / "res.company.new").write_text('[{"id": 1, "na')
        session = Erp(client, server.url, **LOGIN)

        found = looked_up(session, "res.company", ["currency"], env={"ETL_RUN_DIR": str(tmp_path)})

    assert [company["currency"] for company in found.values()] == ["EUR", "USD", "MAD", "CNY"]


def test_the_example_has_three_parallel_jobs_of_ten_minutes() -> None:
    shown = subprocess.run(
        [*ETL_RUN, "plan", "-c", EXAMPLE / "etl.toml", "-o", "json"],
        cwd=EXAMPLE, env=clean_env(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    jobs = json.loads(shown.stdout)["jobs"]

    assert [(j["name"], j["timeout"], j.get("needs", [])) for j in jobs] == [
        ("import-purchases", 600, []),
        ("local-sales", 600, []),
        ("local-purchases-due", 600, []),
    ]
