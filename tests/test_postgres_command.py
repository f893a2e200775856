"""`etl-run db url|psql|stop`, as a user runs them."""
# ruff: noqa: F401, F811 - fixtures are imported and then named as arguments

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from etl_runner.postgres import EmbeddedPostgres, ping
from tests.support.servers import database, is_running, open_folder, warehouse

CLEAN = {
    name: value for name, value in os.environ.items() if name != "DATABASE_URL" and not name.startswith(("PG", "ETL"))
}


@pytest.fixture
def project(open_folder: Path) -> Path:
    (open_folder / "etl.toml").write_text("")
    return open_folder


def db(
    project: Path, *arguments: str, env: dict[str, str] | None = None, given: str = ""
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "etl_runner", *arguments],
        cwd=project,
        env={**CLEAN, **(env or {})},
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )


def test_url_starts_a_server_that_goes_on_until_stop(project: Path) -> None:
    said = db(project, "db", "url")
    assert ping(said.stdout.strip())
    assert "etl-run db stop" in said.stderr
    assert (project / ".etl" / ".gitignore").read_text() == "*\n"

    assert db(project, "db", "stop").stdout == "stopped\n"
    assert not is_running(project / ".etl" / "pg")
    assert db(project, "db", "stop").returncode == 0


def test_url_and_stop_speak_json(project: Path) -> None:
    said = json.loads(db(project, "db", "url", "-o", "json").stdout)
    stopped = json.loads(db(project, "-o", "json", "db", "stop").stdout)

    assert said["embedded"] is True
    assert said["url"].startswith("postgresql:///warehouse?host=")
    assert stopped == {"version": 1, "stopped": True}


def test_url_of_a_named_server_starts_nothing(open_folder: Path) -> None:
    said = db(open_folder, "db", "url", env={"DATABASE_URL": "postgresql://ana@db/dw"})

    assert (said.returncode, said.stdout, said.stderr) == (0, "postgresql://ana@db/dw\n", "")
    assert list(open_folder.iterdir()) == []


def test_psql_takes_its_own_options_and_passes_its_status_on(project: Path) -> None:
    answer = db(project, "db", "psql", "-v", "x=42", "-tAq", given="select :x;")
    failed = db(project, "db", "psql", "-tAc", "select 1/0")

    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "42\n", "")
    assert failed.returncode == 1
    assert "division by zero" in failed.stderr
    assert not is_running(project / ".etl" / "pg")


def test_psql_of_a_named_server(open_folder: Path, database: str) -> None:
    answer = db(open_folder, "db", "psql", "-tAc", "select current_database()", env={"DATABASE_URL": database})

    assert answer.stdout.strip() in database


def test_stop_is_refused_while_in_use_unless_forced(project: Path) -> None:
    embedded = EmbeddedPostgres(project / ".etl" / "pg")
    with embedded.hold():
        refused = db(project, "db", "stop")
        assert refused.returncode == 1
        assert f"in use by process {os.getpid()}" in refused.stderr
        assert "--force" in refused.stderr
        assert is_running(project / ".etl" / "pg")

        assert db(project, "db", "stop", "--force").returncode == 0
        assert not is_running(project / ".etl" / "pg")


def test_without_a_project_the_error_says_so(open_folder: Path) -> None:
    said = db(open_folder, "db", "url")

    assert said.returncode == 2
    assert "no etl.toml" in said.stderr
