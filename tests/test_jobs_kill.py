"""Killing a job at any moment leaves the target exactly old or exactly new, and running again makes it new."""

# ruff: noqa: F401, F811
from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.jobs import holding, nobody_left, query, run_job, start_job, state, wait_for
from tests.support.servers import database, warehouse

PACKAGED = Path(__file__).parents[1] / "etl_jobs" / "tables.toml"
ROUNDS = 6


def catalogue(folder: Path, *, seed: int) -> Path:
    """The sample load with other data: the same tables, other rows."""
    path = folder / f"seed{seed}.toml"
    text = PACKAGED.read_text().replace("seed  = 1", f"seed  = {seed}").replace('marts  = "marts"', "")
    path.write_text(text.replace("[[table]]", "[[table]]\nmax_delete = 1"))
    return path


@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", [5, 14, 17, 19])
def test_a_load_killed_at_any_moment_leaves_old_or_new_and_can_run_again(
    number: int, database: str, tmp_path: Path
) -> None:
    moments = random.Random(number)
    catalogues = [catalogue(tmp_path, seed=seed) for seed in (1, 2)]
    load = ("--id", number, "--scale", 0.5, "--catalogue")
    states = []
    for path in catalogues:
        began = time.monotonic()
        assert run_job(database, "table", *load, path).status == 0
        usual = time.monotonic() - began
        states.append(state(database, "erp"))
        query(database, "DELETE FROM etl.watermark")
    assert states[0] != states[1]

    for turn in range(ROUNDS):
        new = turn % 2
        query(database, "DELETE FROM etl.watermark")  # an increment, too, begins at the beginning
        job = start_job(database, "table", *load, catalogues[new])
        with contextlib.suppress(subprocess.TimeoutExpired):
            job.wait(timeout=moments.uniform(0.3, 1.1) * usual)
        job.kill()
        job.communicate()
        wait_for(lambda: nobody_left(database))

        assert state(database, "erp") in (states[0], states[1])
        assert run_job(database, "table", *load, catalogues[new]).status == 0
        assert state(database, "erp") == states[new]
        assert state(database, "erp_staging") == {}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_the_middle_of_a_copy_ends_the_job_and_spares_the_table(number: int, database: str) -> None:
    load = ("table", "--id", 14, "--scale")
    assert run_job(database, *load, 0.01).status == 0
    before = state(database, "erp")
    job = start_job(database, *load, 300)
    wait_for(
        lambda: query(
            database,
            "SELECT 1 FROM pg_stat_progress_copy WHERE tuples_processed > 1000 AND datname = current_database()",
        )
    )
    job.send_signal(number)
    began = time.monotonic()
    stderr = job.communicate(timeout=30)[1]

    assert job.returncode == -number
    assert time.monotonic() - began < 2
    assert stderr == ""
    assert state(database, "erp") == before
    wait_for(lambda: nobody_left(database), seconds=10)


def test_the_statement_of_a_killed_job_does_not_go_on(database: str, tmp_path: Path) -> None:
    first, second = (catalogue(tmp_path, seed=seed) for seed in (1, 2))
    load = ("table", "--id", 5, "--scale", 0.1, "--catalogue")
    [(name,)] = query(database, "SELECT current_database()")
    query(database, f'ALTER DATABASE "{name}" SET client_connection_check_interval = 0')  # not every server helps
    assert run_job(database, *load, first).status == 0
    before = state(database, "erp")
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with holding(database, "LOCK TABLE erp.partner IN SHARE MODE"):
        job = start_job(database, *load, second)
        wait_for(lambda: query(database, waiting))
        job.kill()
        job.communicate()
        wait_for(lambda: not query(database, waiting), seconds=10)

    wait_for(lambda: nobody_left(database))
    assert state(database, "erp") == before
    assert run_job(database, "cleanup", "staging").status == 0
    assert state(database, "erp_staging") == {}


def test_a_session_the_server_ends_is_worth_another_attempt(database: str) -> None:
    load = ("table", "--id", 14, "--scale")
    assert run_job(database, *load, 0.01).status == 0
    before = state(database, "erp")
    job = start_job(database, *load, 300)
    copying = "FROM pg_stat_progress_copy WHERE tuples_processed > 1000 AND datname = current_database()"
    wait_for(lambda: query(database, f"SELECT 1 {copying}"))
    query(database, f"SELECT pg_terminate_backend(pid) {copying}")
    stderr = job.communicate(timeout=30)[1]

    assert job.returncode == 75, stderr
    assert "terminat" in stderr
    assert "Traceback" not in stderr
    assert state(database, "erp") == before
