"""The ERP example from end to end: a real server, `etl-run all`, PostgreSQL."""

# ruff: noqa: F401, F811
from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from etl_jobs.erp.lookups import looked_up
from etl_jobs.sources.client import Client
from etl_jobs.sources.jsonrpc import Erp
from etl_jobs.warehouse import connect, locked
from tests.support.cli import ETL_RUN, clean_env
from tests.support.erp import EXAMPLE, erp
from tests.support.jobs import Ended, holding, nobody_left, query, run_job, start_job, wait_for
from tests.support.servers import database, warehouse

LOGIN = {"database": "company", "user": "etl", "password": "demo"}
TABLES = {"import_purchase": "purchase.order", "local_sale": "sale.order", "local_purchase_due": "account.move.line"}
STARTED = ("attempt_started", "local-sales")
JOBS = ("import_purchases", "local_sales", "local_purchases_due")


def variables(server: Any, password: str = "demo") -> dict[str, str]:
    return {"ERP_URL": server.url, "ERP_DATABASE": "company", "ERP_USER": "etl", "ERP_PASSWORD": password}


def job(server: Any, dsn: str, name: str = "local_sales", words: Sequence[str] = (), **env: str) -> Ended:
    return run_job(dsn, f"erp.{name}", *words, output=None, **{**variables(server), **env})


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
        records = query(database, "SELECT run, attempt, target, rows_in = inserted, deleted FROM etl.load ORDER BY 3")
        assert records == [(1, 1, f"erp.{table}", True, 0) for table in sorted(TABLES)]
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


def test_a_paid_document_that_is_seen_late_under_a_lower_id_is_read(database: str) -> None:
    with erp() as server:
        sales = server.data.models["sale.order"]
        paid = [number for number, sale in sales.items() if sale["payment_state"] == "paid"]
        late = {number: sales.pop(number) for number in (*paid[:2], *paid[100:103])}
        job(server, database)
        sales.update(late)
        seen = job(server, database)

        assert held(database, "local_sale") == served_by(server, "sale.order")
    assert seen.stdout.startswith("erp.local_sale: 109 documents read, 104 rows replaced by 109, 104 unpaid")


def customers(dsn: str, partner: int) -> list[tuple[Any, ...]]:
    return query(dsn, f"SELECT DISTINCT customer, city FROM erp.local_sale WHERE customer_id = {partner}")


def test_an_archived_partner_is_looked_up_like_any_other(database: str) -> None:
    with erp() as server:
        partner = server.data.models["res.partner"][1]
        partner |= {"active": False, "name": "Gone", "city": "Fes"}
        job(server, database)

    assert customers(database, 1) == [("Gone", "Fes")]


def test_a_partner_that_came_after_the_look_up_is_asked_for(database: str, tmp_path: Path) -> None:
    with erp() as server:
        partners = server.data.models["res.partner"]
        late = {number: partners.pop(number) | {"name": "Late", "city": "Fes"} for number in (1, 3)}
        with Client("erp") as client:
            looked_up(
                Erp(client, server.url, **LOGIN),
                "res.partner",
                ["name", "country", "city"],
                env={"ETL_RUN_DIR": str(tmp_path)},
            )
        partners.update(late)
        ended = job(server, database, ETL_RUN_DIR=str(tmp_path))

    assert ended.status == 0, ended.stderr
    assert customers(database, 1) == [("Late", "Fes")]


def test_a_document_whose_partner_may_not_be_seen_is_refused(database: str) -> None:
    with erp() as server:
        server.data.models["sale.order"][5]["partner_id"] = [99_999, "Hidden Ltd"]
        ended = job(server, database)

    assert ended.status == 78
    assert "the ERP's sale.order 5: res.partner 99999 ('Hidden Ltd') is not to be seen" in ended.stderr
    assert "give the user the right to read res.partner" in ended.stderr
    assert query(database, "SELECT to_regclass('erp.local_sale')") == [(None,)]


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


def test_an_erp_that_answers_null_in_the_middle_has_not_come_to_an_end(database: str) -> None:
    with erp() as server:
        real = server.data.call

        def forgets(model: str, *call: Any) -> Any:
            return None if server.asked["sale.order search_read"] == 2 else real(model, *call)

        server.data.call = forgets
        ended = job(server, database)

    assert ended.status == 75
    assert "the source the ERP's sale.order failed after 380 rows (" in ended.stderr
    assert "no records but null" in ended.stderr
    assert query(database, "SELECT to_regclass('erp.local_sale')") == [(None,)]


def test_a_load_record_goes_with_the_rows(database: str) -> None:
    who = {"ETL_RUN_ID": "4", "ETL_JOB": "local-sales", "ETL_ATTEMPT": "1"}
    with erp() as server:
        job(server, database, **who)
        _change(server)
        job(server, database, **who | {"ETL_RUN_ID": "5", "ETL_ATTEMPT": "2"})

    facts = "run, job, attempt, target, strategy, source, inserted - rows_in, deleted, held_rows"
    [(*first, held_first), (*second, held_second)] = query(database, f"SELECT {facts} FROM etl.load ORDER BY id")
    target = ("erp.local_sale", "slice", "the ERP's sale.order")
    assert first == [4, "local-sales", 1, *target, 0, 0]
    assert second == [5, "local-sales", 2, *target, 0, 104]
    assert (held_first, held_second) == (380, 381)
    assert query(database, "SELECT held_rows FROM etl.load ORDER BY id DESC LIMIT 1") == query(
        database, "SELECT count(*) FROM erp.local_sale"
    )


def test_a_retry_after_a_lost_acknowledgement_tells_what_was_recorded(database: str, tmp_path: Path) -> None:
    who = {"ETL_RUN_ID": "4", "ETL_JOB": "local-sales"}
    with erp() as server:
        first = job(server, database, **who, ETL_ATTEMPT="1")
        _change(server)
        server.asked.clear()
        again = job(server, database, **who, ETL_ATTEMPT="2")
        nothing_asked = not server.asked
        later = job(server, database, **who | {"ETL_RUN_ID": "5"}, ETL_ATTEMPT="1")

    assert again.stdout == first.stdout.replace("\n", ", as recorded by an earlier attempt\n")
    assert nothing_asked
    assert "recorded" not in later.stdout
    assert query(database, "SELECT run, attempt FROM etl.load ORDER BY id") == [(4, 1), (5, 1)]


def test_a_retry_reads_again_what_somebody_has_emptied_meanwhile(database: str) -> None:
    who = {"ETL_RUN_ID": "4", "ETL_JOB": "local-sales"}
    with erp() as server:
        job(server, database, **who, ETL_ATTEMPT="1")
        query(database, "TRUNCATE erp.local_sale")
        again = job(server, database, **who, ETL_ATTEMPT="2")

        assert again.stdout == "erp.local_sale: 380 documents read, 0 rows replaced by 380, 104 unpaid\n"
        assert held(database, "local_sale") == served_by(server, "sale.order")


def test_a_load_killed_in_its_transaction_and_retried_at_once_loads_once(database: str) -> None:
    [(name,)] = query(database, "SELECT current_database()")
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%{}%'"
    who = {"ETL_RUN_ID": "4", "ETL_JOB": "local-sales"}
    with erp() as server:
        job(server, database)
        query(database, f'ALTER DATABASE "{name}" SET client_connection_check_interval = 0')  # not every server helps
        _change(server)
        env = {**variables(server), **who}
        with holding(database, "LOCK TABLE erp.local_sale IN SHARE MODE"):
            first = start_job(database, "erp.local_sales", **env, ETL_ATTEMPT="1")
            wait_for(lambda: query(database, waiting.format("DELETE FROM")))
            first.kill()
            first.communicate()
            second = start_job(database, "erp.local_sales", **env, ETL_ATTEMPT="2")
        stdout, stderr = second.communicate(timeout=60)

        assert second.returncode == 0, stderr
        assert held(database, "local_sale") == served_by(server, "sale.order")
    assert "recorded" not in stdout
    assert query(database, "SELECT attempt FROM etl.load WHERE run = 4") == [(2,)]


def test_a_job_killed_in_its_transaction_is_tried_again_beside_the_others(database: str, tmp_path: Path) -> None:
    (tmp_path / "etl.toml").write_text((EXAMPLE / "etl.toml").read_text().replace('"10s"', '"0.1s"'))
    deleting = (
        "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        " AND application_name = 'etl-run/1/local-sales/{}'"
    )
    with erp() as server:
        job(server, database)
        _change(server)
        env = clean_env(DATABASE_URL=database, **variables(server))
        with holding(database, "LOCK TABLE erp.local_sale IN SHARE MODE"):
            run = subprocess.Popen(
                [*ETL_RUN, "all", "-o", "json"], cwd=tmp_path, env=env, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            assert run.stdout is not None
            events = (json.loads(line) for line in run.stdout)
            pid = next(e["pid"] for e in events if (e["event"], e.get("job")) == STARTED)
            wait_for(lambda: query(database, deleting.format(1)))
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda: query(database, deleting.format(2)))
        ends = {e["job"]: (e["attempt"], e["outcome"]) for e in events if e["event"] == "job_finished"}
        run.communicate(timeout=60)

        assert run.returncode == 0
        assert [held(database, table) for table in TABLES] == [served_by(server, m) for m in TABLES.values()]
    assert ends["local-sales"] == (2, "succeeded")
    records = query(database, "SELECT job, attempt FROM etl.load WHERE run = 1 ORDER BY job")
    assert records == [("import-purchases", 1), ("local-purchases-due", 1), ("local-sales", 2)]


@pytest.mark.parametrize("seed", range(3))
def test_a_load_killed_at_any_moment_leaves_old_or_new(database: str, seed: int) -> None:
    moments = random.Random(seed)
    with erp() as server:
        began = time.monotonic()
        job(server, database)
        usual = time.monotonic() - began
        states = [held(database, "local_sale")]
        for run in range(1, 5):
            _change(server)
            states.append(served_by(server, "sale.order"))
            killed = start_job(database, "erp.local_sales", **variables(server), ETL_RUN_ID=str(run), ETL_JOB="x")
            with contextlib.suppress(subprocess.TimeoutExpired):
                killed.wait(timeout=moments.uniform(0.3, 1.1) * usual)
            killed.kill()
            killed.communicate()
            wait_for(lambda: nobody_left(database))
            assert held(database, "local_sale") in states[-2:]
            assert job(server, database, ETL_RUN_ID=str(run), ETL_JOB="x", ETL_ATTEMPT="2").status == 0
            assert held(database, "local_sale") == states[-1]
        assert query(database, "SELECT count(*) FROM etl.load WHERE run IS NOT NULL") == [(4,)]


def test_a_job_has_one_connection_to_the_erp_and_one_to_the_warehouse(database: str) -> None:
    with erp() as server, psycopg.connect(database, autocommit=True) as session:

        def sessions() -> int:
            row = session.execute("SELECT sessions FROM pg_stat_database WHERE datname = current_database()").fetchone()
            return int(row[0]) if row else 0

        wait_for(lambda: sessions() == 1)  # ours
        job(server, database)
        others = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        wait_for(lambda: not session.execute(others).fetchall())

        assert (server.connections, sessions()) == (1, 2)


def test_a_missing_value_is_null_not_false(database: str) -> None:
    with erp() as server:
        sales = server.data.models["sale.order"]
        sales[1] |= {"state": False, "partner_id": False}
        sales[2] |= {"date_order": False}
        ended = job(server, database)

    assert ended.status == 0, ended.stderr
    assert query(database, "SELECT state, customer_id, customer FROM erp.local_sale WHERE id = 1") == [(None,) * 3]
    assert query(database, "SELECT sold_on FROM erp.local_sale WHERE id = 2") == [(None,)]
    assert query(database, "SELECT count(*) FROM erp.local_sale WHERE 'false' IN (city, state, customer)") == [(0,)]


def test_everything_is_read_again_when_that_is_asked_for(database: str) -> None:
    with erp() as server:
        job(server, database)
        query(
            database,
            "UPDATE erp.local_sale SET number = 'mine'; INSERT INTO erp.local_sale (id, paid) VALUES (0, true)",
        )
        ended = job(server, database, words=["--full-refresh"])

        assert ended.stdout == "erp.local_sale: 380 documents read, 381 rows replaced by 380, 104 unpaid\n"
        assert held(database, "local_sale") == served_by(server, "sale.order")


def test_an_erp_that_shows_next_to_nothing_is_not_believed(database: str) -> None:
    with erp() as server:
        job(server, database)
        before = held(database, "local_sale")
        server.data.models["sale.order"].clear()
        refused = job(server, database)
        kept = held(database, "local_sale")
        wanted = job(server, database, words=["--full-refresh"])

    assert (refused.status, kept) == (65, before)
    assert "104 of 104 unpaid documents are no longer in the ERP" in refused.stderr
    assert (wanted.status, held(database, "local_sale")) == (0, [])


def refusal(server: Any, dsn: str, **env: str) -> tuple[int, str]:
    ended = job(server, dsn, **env)
    assert "Traceback" not in ended.stderr
    return ended.status, ended.stderr


def test_what_a_person_must_change_is_said(database: str) -> None:
    with erp() as server:
        unset = run_job(database, "erp.local_sales", ERP_URL="x", ERP_USER="etl")
        cases = {
            "refuses user 'etl' of database 'company'": refusal(server, database, ERP_PASSWORD="wrong"),
            "404 Not Found": refusal(server, database, ERP_URL=server.url.replace("/jsonrpc", "/web")),
            "is no URL": refusal(server, database, ERP_URL="erp.example:8069"),
        }

    assert (unset.status, unset.stderr.splitlines()[0]) == (78, "error: no ERP: ERP_DATABASE, ERP_PASSWORD not set")
    for said, (status, stderr) in cases.items():
        assert (status, said in stderr) == (78, True), stderr
        assert "check ERP_URL (it ends in /jsonrpc), ERP_DATABASE, ERP_USER and ERP_PASSWORD" in stderr
    assert query(database, "SELECT count(*) FROM etl.load") == [(0,)]


def test_an_erp_that_is_down_is_worth_another_attempt(database: str) -> None:
    with erp() as server:
        pass  # it was there
    status, stderr = refusal(server, database)

    assert (status, "ConnectError" in stderr) == (75, True), stderr
    assert "is the ERP up, and is ERP_URL its address?" in stderr


ERRORS = {
    "another field": ({"data": {"name": "builtins.ValueError", "message": "Invalid field 'x'"}}, 65, "field 'x'"),
    "no details": ({"code": -32601, "message": "Method not found"}, 65, "failed: Method not found\n"),
    "a text": ("broken", 65, "failed: broken\n"),
    "no rights": ({"data": {"name": "odoo.exceptions.AccessError", "message": "not you"}}, 78, "the user's rights"),
    "no such database": (
        {"data": {"name": "psycopg2.OperationalError", "message": 'database "company" does not exist'}},
        78, "is 'company' the database's name?",
    ),
    "busy": ({"data": {"name": "psycopg2.errors.SerializationFailure", "message": "again"}}, 75, "failed: again\n"),
}  # fmt: skip


@pytest.mark.parametrize("case", ERRORS)
def test_an_error_of_the_erp_says_what_and_whose_turn_it_is(database: str, case: str) -> None:
    error, expected, said = ERRORS[case]
    with erp() as server:
        server.RequestHandlerClass = type(
            "Broken", (server.RequestHandlerClass,), {"_answer": lambda _, asked: {"id": asked["id"], "error": error}}
        )
        status, stderr = refusal(server, database)

    assert (status, said in stderr, "hint: " in stderr) == (expected, True, True), stderr


def test_two_loads_of_one_table_take_turns(database: str) -> None:
    with erp() as server, connect({"DATABASE_URL": database}) as session:
        with locked(session, "erp.local_sale", wait=0):
            refused = job(server, database, words=["--wait", "0"])
        others = [start_job(database, "erp.local_sales", **variables(server)) for _ in range(3)]
        said = [other.communicate(timeout=60) for other in others]

        assert [other.returncode for other in others] == [0, 0, 0], said
        assert held(database, "local_sale") == served_by(server, "sale.order")
    assert refused.status == 75
    assert "erp.local_sale is being loaded by etl_jobs" in refused.stderr


def test_a_table_of_other_columns_is_refused_with_the_cure(database: str) -> None:
    with erp() as server:
        job(server, database)
        query(database, "ALTER TABLE erp.local_sale DROP COLUMN city, ALTER COLUMN amount TYPE double precision")
        ended = job(server, database)

    assert ended.status == 78
    assert 'run: ALTER TABLE "erp"."local_sale" ADD COLUMN "city" text, ALTER COLUMN "amount" TYPE numeric(14,2)' in (
        ended.stderr
    )


def test_a_table_whose_columns_stand_in_another_order_is_filled_by_their_names(database: str) -> None:
    with erp() as server:
        job(server, database)
        before = held(database, "local_sale")
        for column in ("number", "amount"):
            query(
                database,
                f"ALTER TABLE erp.local_sale RENAME {column} TO old; ALTER TABLE erp.local_sale ADD {column}"
                f" {'text' if column == 'number' else 'numeric(14,2)'}; UPDATE erp.local_sale SET {column} = old;"
                " ALTER TABLE erp.local_sale DROP old",
            )
        again = job(server, database, words=["--full-refresh"])

    assert again.status == 0, again.stderr
    assert held(database, "local_sale") == before


def test_a_look_up_is_asked_for_once_however_many_want_it(tmp_path: Path) -> None:
    with erp() as server, Client("erp") as client:
        session = Erp(client, server.url, **LOGIN)
        asked = threading.Lock()

        class One:
            def pages(self, *call: Any, **options: Any) -> Any:
                assert asked.acquire(blocking=False), "asked twice"
                return session.pages(*call, **options)

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
