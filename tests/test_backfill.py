"""etl-run backfill, as a real process."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.cli import Project, clean_env
from tests.support.ledgers import until

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


WORDS = """
[pipeline]
name = "past"
[params]
interval_start = "1900-01-01"
interval_end = "tomorrow"
[jobs.load]
matrix = { region = ["a", "b"] }
run = [
    "python3", "-c", "import sys; print(*sys.argv[1:], file=open('ran', 'a'))",
    "{interval_start}..{interval_end}", "{region}",
]
env = { DAY = "{interval_start}" }
"""


def test_a_command_has_its_interval_as_parameters_and_other_runs_their_usual_values(tmp_path: Path) -> None:
    project = Project(tmp_path, WORDS)

    backfill = project.run("backfill", "--from", "2025-01-01", "--to", "2025-01-02")
    usual = project.run("all", "--param", "interval_end=today")

    assert (backfill.returncode, usual.returncode) == (0, 0)
    assert sorted(ran(tmp_path)) == [
        "1900-01-01..today a", "1900-01-01..today b",
        "2025-01-01..2025-01-02 a", "2025-01-01..2025-01-02 b", "2025-01-02..2025-01-03 a", "2025-01-02..2025-01-03 b",
    ]  # fmt: skip


def test_a_retry_of_a_backfill_takes_the_intervals_parameters(tmp_path: Path) -> None:
    project = Project(
        tmp_path, WORDS.replace("import sys;", "import os, sys; print(os.environ['DAY']); 1 / os.path.exists('cured');")
    )
    project.run("backfill", "--from", "2025-01-01", "--to", "2025-01-01")
    (tmp_path / "cured").touch()

    rest = project.run("retry")

    assert (rest.returncode, "now says otherwise" in rest.stderr) == (0, False)
    assert sorted(ran(tmp_path)) == ["2025-01-01..2025-01-02 a", "2025-01-01..2025-01-02 b"]
    assert project.run("logs", "load-a@2025-01-01").stdout == "2025-01-01\n"


@pytest.mark.parametrize(
    ("line", "problem", "cure"),
    [
        (
            'run = "x ${ETL_INTERVAL_START}"',
            "only a job of a backfill knows ETL_INTERVAL_START",
            "write {interval_start}",
        ),
        ('run = "x ${ETL_INTERVAL_END:-1}"', "only a job of a backfill knows ETL_INTERVAL_END", "write {interval_end}"),
        (
            'run = "x"\nenv = { D = "${ETL_INTERVAL_START}" }',
            "only a job of a backfill knows",
            "write {interval_start}",
        ),
        ('run = "x {interval_end}"', "unknown parameter 'interval_end'", 'add interval_end = "…" to [params]'),
        ('run = "x {interval}"', "unknown parameter 'interval'", "{interval_start} and {interval_end} are"),
        ('run = "x"\nmatrix = { interval_start = ["1"] }', "a backfill gives 'interval_start'", "rename it"),
    ],
)
def test_the_interval_where_it_cannot_be_known_is_refused_with_the_cure(
    tmp_path: Path, line: str, problem: str, cure: str
) -> None:
    ended = Project(tmp_path, f"[jobs.load]\n{line}\n").run("check", env=clean_env(ETL_INTERVAL_START="2025-01-01"))

    assert ended.returncode == 2
    assert problem in ended.stdout + ended.stderr
    assert cure in ended.stdout + ended.stderr


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


def test_what_an_interval_was_cut_short_of_is_not_done(tmp_path: Path) -> None:
    project = Project(tmp_path, PIPELINE)

    project.run("backfill", "load", "--from", "2025-01-01", "--to", "2025-01-10", "--by", "month")
    project.run("backfill", "load", "--from", "2025-01-01", "--to", "2025-03-31", "--by", "month", "-w", "1")

    assert sorted(ran(tmp_path)) == [
        "2025-01-01 2025-01-11", "2025-01-01 2025-02-01", "2025-02-01 2025-03-01", "2025-03-01 2025-04-01",
    ]  # fmt: skip


def test_an_interval_is_done_when_shorter_ones_cover_all_of_it(tmp_path: Path) -> None:
    project = Project(tmp_path, PIPELINE)
    project.run("backfill", "load", "--from", "2024-02-28", "--to", "2024-03-06", "--by", "day")
    (tmp_path / "ran").unlink()

    weeks = project.run("backfill", "load", "--from", "2024-02-28", "--to", "2024-03-15", "--by", "week", "-w", "1")

    assert sorted(ran(tmp_path)) == ["2024-03-04 2024-03-11", "2024-03-11 2024-03-16"]
    assert "1 of 3 intervals has succeeded before: left out (--again runs it, too)" in weeks.stderr


def test_the_newest_outcome_of_an_interval_counts(tmp_path: Path) -> None:
    project = Project(tmp_path, PIPELINE)
    project.run("backfill", "load", *RANGE)
    (tmp_path / "broken-2025-01-31").touch()
    project.run("backfill", "load", *RANGE, "--again")
    (tmp_path / "broken-2025-01-31").unlink()
    (tmp_path / "ran").unlink()

    ended = project.run("backfill", "load", *RANGE)

    assert (ended.returncode, ran(tmp_path)) == (0, ["2025-01-31 2025-02-01"])


def test_a_day_that_failed_since_is_missing_from_its_month(tmp_path: Path) -> None:
    project = Project(tmp_path, PIPELINE)
    january = ("--from", "2025-01-01", "--to", "2025-01-31", "--by")
    project.run("backfill", "load", *january, "month")
    (tmp_path / "broken-2025-01-15").touch()
    project.run("backfill", "load", "--from", "2025-01-15", "--to", "2025-01-15", "--again")
    (tmp_path / "broken-2025-01-15").unlink()
    (tmp_path / "ran").unlink()

    project.run("backfill", "load", *january, "day")

    assert ran(tmp_path) == ["2025-01-15 2025-01-16"]


def test_what_was_going_on_when_its_runner_was_killed_is_not_done(tmp_path: Path) -> None:
    project = Project(tmp_path, PIPELINE)
    project.run("backfill", "load", *RANGE)
    stuck = PIPELINE.replace("run = 'test", "run = 'touch here; test ! -e slow || sleep 60; test")
    (tmp_path / "etl.toml").write_text(stuck)
    (tmp_path / "slow").touch()
    killed = project.start("backfill", "load", *RANGE, "--again", "-w", "1")
    until((tmp_path / "here").exists)
    killed.kill()
    killed.communicate(timeout=30)
    (tmp_path / "slow").unlink()
    (tmp_path / "ran").unlink()

    project.run("backfill", "load", *RANGE)

    assert len(ran(tmp_path)) == 4


def test_what_succeeded_with_another_profile_is_not_done(tmp_path: Path) -> None:
    project = Project(tmp_path, PIPELINE + "[profiles.test.pipeline]\nworkers = 2\n")

    for words in (["--profile", "test"], []):
        project.run("backfill", "load", *RANGE, *words)

    assert len(ran(tmp_path)) == 8


@pytest.mark.parametrize("words", [[], ["--one-at-a-time"]])
def test_the_command_that_a_failed_backfill_says_runs_the_rest(tmp_path: Path, words: list[str]) -> None:
    text = PIPELINE.replace("shell = true", 'shell = true\nenv = { WHO = "me" }', 1).replace('echo "', 'echo "$WHO ')
    project = Project(tmp_path, text)
    (tmp_path / "broken-2025-01-31").touch()
    failed = project.run("backfill", "load", *RANGE, *words)
    (said,) = re.findall(r"run the rest: etl-run (.*)", failed.stdout)
    (tmp_path / "broken-2025-01-31").unlink()

    rest = project.run(*said.split())

    assert rest.returncode == 0, rest.stderr
    assert "now says otherwise" not in rest.stderr
    days = ["2025-01-30", "2025-01-31", "2025-02-01", "2025-02-02", "2025-02-03"]
    assert sorted(ran(tmp_path)) == [f"me {start} {end}" for start, end in pairwise(days)]
    assert project.run("backfill", "load", *RANGE).stdout.startswith("nothing to do")


def test_a_retry_that_cannot_know_a_hidden_command_says_how_to_run_the_interval(tmp_path: Path) -> None:
    text = '[jobs.load]\nshell = true\nenv_file = "env"\nrun = "touch ran; false se3cretive"\n'
    (tmp_path / "env").write_text("TOKEN=se3cretive\n")
    project = Project(tmp_path, text)
    project.run("backfill", "--from", "2025-01-01", "--to", "2025-01-31", "--by", "month")
    (tmp_path / "etl.toml").write_text(text.replace("touch ran; false", "echo"))

    refused = project.run("retry")
    (said,) = re.findall(r"run it anew: etl-run (.*)", refused.stderr)

    assert refused.returncode == 2
    assert project.run(*said.split()).returncode == 0
    assert said == "backfill load --from 2025-01-01 --to 2025-01-31 --by month --again"


@pytest.mark.parametrize(("words", "days"), [([], ["2025-01-30"]), (["--newest-first"], ["2025-02-02", "2025-02-01"])])
def test_one_at_a_time_keeps_the_order_and_stops_at_a_failure(
    tmp_path: Path, words: list[str], days: list[str]
) -> None:
    project = Project(tmp_path, PIPELINE)
    (tmp_path / "broken-2025-01-31").touch()

    project.run("backfill", "load", *RANGE, "--one-at-a-time", *words)

    assert [line.split()[0] for line in ran(tmp_path)] == days


@pytest.mark.parametrize("newest_first", [False, True])
def test_intervals_start_in_their_order_however_long_each_took_before(tmp_path: Path, newest_first: bool) -> None:
    slow = """run = '[ "$ETL_INTERVAL_START" != 2025-01-31 ] || sleep 0.3; echo "$ETL_INTERVAL_START" >> ran'"""
    project = Project(tmp_path, re.sub("run = 'test.*", slow, PIPELINE))
    assert project.run("backfill", "load", *RANGE).returncode == 0
    (tmp_path / "ran").unlink()

    project.run("backfill", "load", *RANGE, "--again", "-w", "1", *(["--newest-first"] if newest_first else []))

    days = ["2025-01-30", "2025-01-31", "2025-02-01", "2025-02-02"]
    assert ran(tmp_path) == (days[::-1] if newest_first else days)


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
        (["load", "--from", "2025-01-01", "--to", "9999-12-31"], "--to 9999-12-31: the last day can be 9998-12-31"),
        (["load", "--from", "0001-01-01", "--to", "9998-12-31"], "more than 1,000,000 intervals"),
    ],
)
def test_wrong_use_ends_with_2_and_runs_nothing(tmp_path: Path, words: list[str], message: str) -> None:
    ended = Project(tmp_path, PIPELINE).run("backfill", *words)

    assert ended.returncode == 2
    assert message in ended.stderr
    assert ran(tmp_path) == []
