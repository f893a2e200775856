"""--if-running: runs of one pipeline that meet, as real processes."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.cli import Project, clean_env
from tests.support.ledgers import until

TEXT = """
[pipeline]
name = "demo"
[jobs.a]
shell = true
run = "echo >> ran; until test -e go; do sleep 0.02; done"
"""

First = tuple[Project, "subprocess.Popen[str]"]


@pytest.fixture
def first(tmp_path: Path) -> Iterator[First]:
    """A run that goes on until there is a file `go`."""
    project = Project(tmp_path, TEXT)
    running = project.start("all")
    until((tmp_path / "ran").exists)
    yield project, running
    (tmp_path / "go").touch()
    running.communicate(timeout=30)


def starts(project: Project) -> int:
    return len((project.folder / "ran").read_text().splitlines())


@pytest.mark.parametrize("words", [["all"], ["job", "a"], ["retry"]])
def test_skip_ends_with_0_and_one_line(first: First, words: list[str]) -> None:
    project, running = first

    ended = project.run(*words, "--if-running", "skip")

    assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (0, "", 1)
    assert "skipped: run 1 of 'demo' is going on" in ended.stderr
    assert f"(pid {running.pid})" in ended.stderr
    assert starts(project) == 1


def test_fail_is_what_is_done_if_nothing_is_said(first: First) -> None:
    project, _ = first

    said, unsaid = project.run("all", "--if-running", "fail"), project.run("job", "a")

    assert (said.returncode, unsaid.returncode) == (75, 75)
    assert "etl-run stop 1" in said.stderr


@pytest.mark.parametrize("words", [["all"], ["job", "a"]])
def test_wait_says_for_whom_and_runs_when_the_other_is_over(first: First, words: list[str]) -> None:
    project, _ = first
    waiting = project.start(*words, "--if-running", "wait")
    said = waiting.stderr.readline() if waiting.stderr else ""
    begun = starts(project)

    (project.folder / "go").touch()
    waiting.communicate(timeout=30)

    assert "waiting: run 1 of 'demo' is going on" in said
    assert (begun, waiting.returncode, starts(project)) == (1, 0, 2)
    runs = json.loads(project.run("history", "-o", "json").stdout)["runs"]
    assert runs[0]["started_at"] >= runs[1]["ended_at"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_waiting_can_be_interrupted_and_leaves_nothing(first: First, number: signal.Signals) -> None:
    project, _ = first
    waiting = project.start("all", "--if-running", "wait")
    assert waiting.stderr
    waiting.stderr.readline()

    waiting.send_signal(number)
    _, err = waiting.communicate(timeout=30)

    assert (waiting.returncode, "Traceback" in err) == (-number, False)
    assert len(json.loads(project.run("history", "-o", "json").stdout)["runs"]) == 1


def test_the_variable_says_it_for_cron(first: First) -> None:
    project, _ = first

    ended = project.run("all", "-q", env=clean_env(ETL_RUN_IF_RUNNING="skip"))

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_programs_get_a_note_they_can_read(first: First) -> None:
    project, _ = first

    ended = project.run("all", "--if-running", "skip", "-o", "json")

    assert (ended.stdout, list(json.loads(ended.stderr))) == ("", ["note"])


def test_of_many_that_wait_each_runs_once_and_none_beside_another(first: First) -> None:
    project, _ = first
    waiting = [project.start("all", "--if-running", "wait") for _ in range(4)]
    for process in waiting:
        assert process.stderr
        process.stderr.readline()

    (project.folder / "go").touch()
    for process in waiting:
        process.communicate(timeout=60)

    runs = json.loads(project.run("history", "-o", "json").stdout)["runs"]
    spans = sorted((run["started_at"], run["ended_at"]) for run in runs)
    assert ([process.returncode for process in waiting], starts(project)) == ([0] * 4, 5)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
