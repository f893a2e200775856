# ruff: noqa: F401, F811
"""A job killed in the middle of its transaction, and its retry: the table holds one row set."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from etl_runner.environment import application_name
from tests.support.cli import Project, clean_env
from tests.support.servers import Warehouse, database, open_folder, warehouse

LOAD = """
import os, sys, psycopg
attempt = int(os.environ["ETL_ATTEMPT"])
with psycopg.connect(os.environ["DATABASE_URL"]) as db:
    others = db.execute(
        "SELECT application_name FROM pg_stat_activity WHERE application_name LIKE 'etl-run/%'"
        " AND pid <> pg_backend_pid()").fetchall()
    print("others:", others, flush=True)
    db.execute("DELETE FROM target")
    db.execute("INSERT INTO target SELECT generate_series(1, 1000)")
    if attempt == 1:
        print("in the middle", flush=True)
        db.execute("SELECT pg_sleep(4)")
"""

PIPELINE = """
[pipeline]
warehouse = true
[jobs.load]
run = "python load.py"
timeout = "1s"
grace = "0s"
retries = 1
"""


@pytest.fixture
def target(database: str) -> str:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE target (n integer)")
    return database


def test_a_retry_meets_no_session_of_the_attempt_before_and_the_rows_are_there_once(
    tmp_path: Path, target: str
) -> None:
    project = Project(tmp_path, PIPELINE)
    (tmp_path / "load.py").write_text(LOAD)
    # the server's own check is off, as on servers before 14: only ending the old session helps
    env = clean_env(DATABASE_URL=target, PGOPTIONS="-c client_connection_check_interval=0")

    ended = project.run("all", env=env)

    logs = tmp_path / ".etl/runs/1/logs"
    assert ended.returncode == 0
    assert "in the middle" in (logs / "load.1.log").read_text()
    assert (logs / "load.2.log").read_text() == "others: []\n"
    with psycopg.connect(target) as connection:
        assert connection.execute("SELECT count(*), count(DISTINCT n) FROM target").fetchone() == (1000, 1000)


def test_a_retry_starts_when_the_server_cannot_be_asked(tmp_path: Path) -> None:
    text = "[pipeline]\nwarehouse = true\n[jobs.flaky]\nrun = \"sh -c 'test $ETL_ATTEMPT = 2'\"\nretries = 1\n"
    project = Project(tmp_path, text)

    ended = project.run("all", env=clean_env(DATABASE_URL="postgresql://127.0.0.1:1/nowhere"))

    assert ended.returncode == 0


def test_the_attempt_is_told_apart_however_long_the_jobs_name() -> None:
    names = {application_name(7, "x" * 200, attempt) for attempt in range(1, 20)}

    assert len(names) == 19
    assert max(map(len, names)) == 63


KILLS_ITS_SERVER = """
import os, signal, sys, psycopg
with psycopg.connect(os.environ["DATABASE_URL"]) as db:
    data = db.execute("SHOW data_directory").fetchone()[0]
if os.environ["ETL_ATTEMPT"] == "1":
    os.kill(int(open(f"{data}/postmaster.pid").readline()), signal.SIGKILL)
    sys.exit(1)
"""


def test_an_embedded_server_that_was_killed_is_started_again_for_the_retry(open_folder: Path) -> None:
    text = '[pipeline]\nwarehouse = true\n[jobs.a]\nrun = "python kills.py"\nretries = 1\n'
    project = Project(open_folder, text)
    (open_folder / "kills.py").write_text(KILLS_ITS_SERVER)

    ended = project.run("all")

    assert (ended.returncode, ended.stdout.count("at attempt 2")) == (0, 1), ended.stdout
