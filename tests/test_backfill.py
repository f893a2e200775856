"""etl-run backfill, as a real process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cli import Project

PIPELINE = """
[pipeline]
name = "past"
workers = 3
[jobs.load]
shell = true
run = 'test ! -e broken-"$ETL_INTERVAL_START" && echo "$ETL_INTERVAL_START $ETL_INTERVAL_END" >> ran'
[jobs.other]
run = "touch other"
"""
RANGE = ("--from", "2025-01-30", "--to", "2025-02-02")


def ran(folder: Path) -> list[str]:
    path = folder / "ran"
    return path.read_text().splitlines() if path.exists() else []


def test_a_job_runs_once_for_each_interval_and_finds_it_in_its_environment(tmp_path: Path) -> None:
    ended = Project(tmp_path, PIPELINE).run("backfill", "load", *RANGE, "--by", "month", "-w", "1")

    assert ended.returncode == 0
    assert ran(tmp_path) == ["2025-01-30 2025-02-01", "2025-02-01 2025-02-03"]
    assert not (tmp_path / "other").exists()


def test_run_again_it_does_what_is_left_and_then_nothing(tmp_path: Path) -> None:
    project = Project(tmp_path, PIPELINE)
    (tmp_path / "broken-2025-01-31").touch()

    first = project.run("backfill", "load", *RANGE)
    (tmp_path / "broken-2025-01-31").unlink()
    second = project.events("backfill", "load", *RANGE)
    third = project.run("backfill", "load", *RANGE)

    assert first.returncode == 1
    assert [event["job"] for event in second if event["event"] == "job_finished"] == ["load@2025-01-31"]
    assert (third.returncode, third.stdout) == (
        0, "nothing to do: all 4 intervals have succeeded before (--again runs them again)\n",
    )  # fmt: skip
    assert len(ran(tmp_path)) == 4


def test_again_runs_everything_again(tmp_path: Path) -> None:
    project = Project(tmp_path, PIPELINE)

    for _ in range(2):
        project.run("backfill", "load", *RANGE, "--again")

    assert len(ran(tmp_path)) == 8


@pytest.mark.parametrize(("words", "days"), [([], ["2025-01-30"]), (["--newest-first"], ["2025-02-02", "2025-02-01"])])
def test_one_at_a_time_keeps_the_order_and_stops_at_a_failure(
    tmp_path: Path, words: list[str], days: list[str]
) -> None:
    project = Project(tmp_path, PIPELINE)
    (tmp_path / "broken-2025-01-31").touch()

    project.run("backfill", "load", *RANGE, "--one-at-a-time", *words)

    assert [line.split()[0] for line in ran(tmp_path)] == days


def test_logs_and_history_know_the_intervals(tmp_path: Path) -> None:
    project = Project(tmp_path, PIPELINE.replace(">> ran", "| tee -a ran"))
    project.run("backfill", "load", *RANGE)

    logs = project.run("logs", "load@2025-01-31")
    history = project.run("history", "load")

    assert logs.stdout == "2025-01-31 2025-02-01\n"
    assert "load@2025-02-02" in history.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["load", "--from", "2025-02-01", "--to", "2025-01-01"], "is after --to"),
        (["load", "--from", "soon", "--to", "2025-01-01"], "expected a date such as"),
        (["lod", *RANGE], "did you mean 'load'?"),
        (RANGE, "which job?"),
        (["load", *RANGE, "--by", "year"], "'year' is not one of"),
    ],
)
def test_wrong_use_ends_with_2_and_runs_nothing(tmp_path: Path, words: list[str], message: str) -> None:
    ended = Project(tmp_path, PIPELINE).run("backfill", *words)

    assert ended.returncode == 2
    assert message in ended.stderr
    assert ran(tmp_path) == []
