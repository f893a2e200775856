"""etl-run stop, as real processes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from etl_runner.ledger import Ledger
from etl_runner.ledger.holders import Runner
from etl_runner.paths import Home
from tests.support.cli import Project, clean_env
from tests.support.ledgers import Pen, line_of, plan, python, started, until

POLITE = """
[jobs.long]
shell = true
grace = "60s"
run = "trap 'echo tidied; exit 0' TERM; touch up; sleep 60 & wait"
"""
STUBBORN = """
[jobs.long]
shell = true
grace = "90s"
run = "trap 'touch asked' TERM; touch up; while :; do sleep 0.02; done"
"""


def going_on(folder: Path, text: str) -> tuple[Project, subprocess.Popen[str]]:
    project = Project(folder, text)
    running = project.start("all")
    until((folder / "up").exists)
    return project, running


def test_a_run_is_ended_gracefully_and_waited_for(tmp_path: Path) -> None:
    project, running = going_on(tmp_path, POLITE)

    stopped = project.run("stop")

    assert running.poll() == -signal.SIGTERM
    assert (stopped.returncode, "run 1" in stopped.stdout, "interrupted" in stopped.stdout) == (0, True, True)
    assert "etl-run retry 1" in stopped.stdout
    assert (tmp_path / ".etl/runs/1/logs/long.1.log").read_text() == "tidied\n"
    assert "cancelled" in running.communicate(timeout=30)[0]


def test_now_does_not_wait_for_the_grace_and_leaves_a_finished_record(tmp_path: Path) -> None:
    project, running = going_on(tmp_path, STUBBORN)

    stopped = project.run("stop", "1", "--now", "-o", "json")

    assert running.poll() == -signal.SIGTERM
    document = json.loads(stopped.stdout)
    run = document["run"]
    assert (document.keys(), document["version"]) == ({"version", "run"}, 1)
    assert (run["run"], run["state"], run["exit"]) == (1, "cancelled", 143)
    running.communicate(timeout=30)


def test_stopping_twice_is_not_a_second_signal_but_now_is(tmp_path: Path) -> None:
    project, running = going_on(tmp_path, STUBBORN)
    first = project.start("stop")
    until((tmp_path / "asked").exists)
    second = project.start("stop")
    said = second.stderr.readline() if second.stderr else ""
    went_on = running.poll() is None

    project.run("stop", "--now")

    assert ("already being stopped" in said, went_on, running.poll()) == (True, True, -signal.SIGTERM)
    for process in (first, second, running):
        process.communicate(timeout=30)
    assert (first.returncode, second.returncode) == (0, 0)
    assert json.loads(project.run("show", "-o", "json").stdout)["run"]["state"] == "cancelled"


def test_where_nothing_is_going_on_stop_ends_with_1(tmp_path: Path) -> None:
    project = Project(tmp_path, '[jobs.a]\nrun = "true"\n')

    before = project.run("stop")
    project.run("all")
    after, named, unknown = project.run("stop"), project.run("stop", "1"), project.run("stop", "7")

    assert (before.returncode, after.returncode, named.returncode, unknown.returncode) == (1, 1, 1, 2)
    assert "no run is going on" in before.stderr
    assert "run 1 is not going on" in named.stderr


def test_of_two_runs_one_must_be_named(tmp_path: Path) -> None:
    env = clean_env(ETL_HOME=str(tmp_path / "home"))
    running = []
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        project = Project(tmp_path / name, f'[pipeline]\nname = "{name}"\n' + POLITE)
        running.append(project.start("all", env=env))
        until((tmp_path / name / "up").exists)

    unclear, one, other = (project.run("stop", *words, env=env) for words in ([], ["1"], []))

    assert (unclear.returncode, "name one: 1, 2" in unclear.stderr) == (2, True)
    assert (one.returncode, other.returncode) == (0, 0)
    for process in running:
        process.communicate(timeout=30)
        assert process.returncode == -signal.SIGTERM


def test_stop_needs_no_pipeline_file_where_the_home_is_named(tmp_path: Path) -> None:
    project, running = going_on(tmp_path, POLITE)
    (tmp_path / "etl.toml").unlink()

    without, with_home = project.run("stop"), project.run("stop", env=clean_env(ETL_HOME=str(tmp_path / ".etl")))

    running.communicate(timeout=30)
    assert (without.returncode, with_home.returncode, running.returncode) == (2, 0, -signal.SIGTERM)


def test_a_run_whose_runner_is_dead_is_waited_for(tmp_path: Path) -> None:
    text = POLITE.replace("echo tidied; exit 0", "until test -e go; do sleep 0.02; done")
    project, running = going_on(tmp_path, text)
    running.kill()
    running.communicate(timeout=30)

    stopping = project.start("stop")
    said = stopping.stderr.readline() if stopping.stderr else ""
    project.run("history")
    waited = stopping.poll() is None
    (tmp_path / "go").touch()
    out, _ = stopping.communicate(timeout=30)

    assert ("the runner of run 1 is dead; what it started is being stopped" in said, waited) == (True, True)
    assert (stopping.returncode, "lost" in out) == (0, True)


def test_a_process_that_only_has_the_number_of_a_runner_is_left_alone(tmp_path: Path) -> None:
    """Its number was used again: the ledger says that this process is the runner, but it does not hold the lock."""
    home = Home(tmp_path / ".etl")
    (tmp_path / "etl.toml").touch()
    with subprocess.Popen(["sleep", "60"]) as stranger, Ledger.open(home.ledger) as ledger:
        of = plan("a")
        pen = Pen(ledger, of, at=datetime.now(UTC))
        pen.write(started(of, pid=stranger.pid))
        hold = "import sys, fcntl\nfile = open(sys.argv[1], 'w')\nfcntl.flock(file, fcntl.LOCK_EX)\n"
        home.run_lock(pen.run).parent.mkdir(parents=True)
        holder = python(hold + "print('held', flush=True)\nsys.stdin.readline()", home.run_lock(pen.run))
        assert line_of(holder) == "held"
        stopping = subprocess.Popen(
            [sys.executable, "-m", "etl_runner", "stop", "-c", str(tmp_path / "etl.toml")],
            env=clean_env(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        said = stopping.stderr.readline() if stopping.stderr else ""
        holder.communicate("\n", timeout=30)
        stopping.communicate(timeout=30)
        left_alone = stranger.poll() is None
        stranger.kill()

    assert ("is dead" in said, left_alone, stopping.returncode) == (True, True, 0)


def test_a_run_that_begins_just_now_is_stopped_as_soon_as_it_is_known_who_runs_it(tmp_path: Path) -> None:
    home = Home(tmp_path / ".etl")
    hold = "import sys, fcntl\nfile = open(sys.argv[1], 'w')\nfcntl.flock(file, fcntl.LOCK_EX)\n"
    with Ledger.open(home.ledger) as ledger:
        of = plan("a")
        pen = Pen(ledger, of, at=datetime.now(UTC))
        home.run_lock(pen.run).parent.mkdir(parents=True)
        runner = python(hold + "print('held', flush=True)\nsys.stdin.readline()", home.run_lock(pen.run))
        assert line_of(runner) == "held"
        command = [sys.executable, "-m", "etl_runner", "stop"]
        env = clean_env(ETL_HOME=str(home.folder))
        with subprocess.Popen(
            command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as stopping:
            subprocess.run([*command[:-1], "history"], env=env, capture_output=True, check=True)  # takes as long
            pen.write(started(of, pid=runner.pid))
            _, said = stopping.communicate(timeout=30)
        runner.communicate(timeout=30)

    assert (runner.returncode, stopping.returncode, said) == (-signal.SIGTERM, 0, "")


def test_a_pinned_runner_that_is_over_gets_no_signal(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    process = python("import sys\nfile = open(sys.argv[1], 'w')\nprint('held', flush=True)\nsys.stdin.readline()", lock)
    line_of(process)

    with closing(Runner.find(process.pid, lock) or pytest_fail()) as runner:
        before = runner.is_over
        process.communicate("\n", timeout=30)

        assert (before, runner.is_over, runner.send(signal.SIGTERM)) == (False, True, False)
        assert Runner.find(process.pid, lock) is None


def pytest_fail() -> Runner:
    raise AssertionError("the runner was not found")
