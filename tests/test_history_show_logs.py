"""What people read afterwards: history, show, logs."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from etl_runner.cli.main import cli
from etl_runner.events import AttemptExited, AttemptStarted
from etl_runner.ledger import Ledger, hold_run_lock
from etl_runner.model import Outcome, Retry, RunStatus
from etl_runner.paths import Home
from tests.support.ledgers import MONDAY, Pen, job, line_of, past_run, plan, python, started, until, write_log

NIGHTLY = plan("table-0", "table-1", "marts", profile="prod")
NASTY = b"\x1b[31mred\x1b[0m \x1b]52;c;ZXZpbA==\x07clip\x00 caf\xc3\xa9 \xff\n"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "etl.toml").touch()
    return Home(tmp_path / ".etl")


def etl_run(home: Home, *arguments: str, env: Mapping[str, str] | None = None) -> Result:
    """The command line, in this process."""
    config = str(home.folder.parent / "etl.toml")
    wanted = {"ETL_HOME": None, "COLUMNS": "80", "NO_COLOR": "1", **(env or {})}
    return CliRunner().invoke(cli, [*arguments, "-c", config], env=wanted, standalone_mode=False)


def status(result: Result) -> int:
    return int(result.return_value if result.return_value is not None else result.exit_code)


def document(home: Home, *arguments: str) -> dict[str, Any]:
    result = etl_run(home, *arguments, "-o", "json")
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def command(home: Home, *arguments: str, **settings: Any) -> subprocess.Popen[bytes]:
    """The command line, as a process of its own."""
    env = {**os.environ, "COLUMNS": "80", **settings.pop("env", {})}
    for unwanted in ("ETL_HOME", "PYTHONUNBUFFERED"):
        env.pop(unwanted, None)
    return subprocess.Popen(
        [sys.executable, "-m", "etl_runner", *arguments, "-c", str(home.folder.parent / "etl.toml")],
        env=env,
        **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **settings},
    )


def running(home: Home, ledger: Ledger, *jobs: str) -> Pen:
    of = plan(*jobs)
    pen = Pen(ledger, of, at=datetime.now(UTC))
    pen.write(started(of))
    return pen


# history


def test_before_the_first_run_history_says_how_to_start_one(home: Home) -> None:
    result = etl_run(home, "history")

    assert (status(result), result.stdout) == (0, "")
    assert "no runs yet" in result.stderr
    assert "etl-run all" in result.stderr
    assert document(home, "history") == {"version": 1, "runs": []}


@pytest.mark.parametrize("arguments", [["history"], ["show"], ["logs", "a"], ["stop"], ["retry"]])
def test_a_pipeline_file_that_is_named_must_exist(home: Home, arguments: list[str]) -> None:
    past_run(home, NIGHTLY)
    (home.folder.parent / "etl.toml").unlink()

    result = etl_run(home, *arguments)

    assert (status(result), "etl.toml: no such file" in result.stderr) == (2, True)


def test_where_the_home_is_named_no_pipeline_file_is_needed(home: Home, tmp_path: Path) -> None:
    past_run(home, NIGHTLY)
    (home.folder.parent / "etl.toml").unlink()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    env = {**os.environ, "ETL_HOME": str(home.folder)}
    shown = subprocess.run(
        [sys.executable, "-m", "etl_runner", "history"], cwd=elsewhere, env=env, capture_output=True, check=False
    )

    assert (shown.returncode, b"3 ok" in shown.stdout) == (0, True)


def test_history_lists_runs_newest_first_with_their_result_and_how_usual_their_time_was(home: Home) -> None:
    for day, seconds in enumerate([8.0, 8.0, 10.0]):
        past_run(home, NIGHTLY, at=MONDAY + timedelta(days=day), seconds={"table-0": seconds}, attempts={"marts": day})
    past_run(home, NIGHTLY, outcomes={"table-1": Outcome.FAILED, "marts": Outcome.SKIPPED}, by="ana")

    result = etl_run(home, "history", env={"TZ": "UTC"})

    lines = result.stdout.splitlines()
    assert lines[0].split() == ["Run", "Started", "By", "Profile", "Result", "Time", "vs", "usual"]
    assert [line.split()[0] for line in lines[1:-1]] == ["4", "3", "2", "1"]
    assert "ana   prod     ✗ 1 failed, 1 −   2.0s         –" in lines[1]
    assert "cron  prod     ✓ 3 ok, 1 ↻      13.0s      +30%" in lines[2]
    assert "cron  prod     ✓ 3 ok           10.0s        0%" in lines[3]
    assert lines[-1] == "3 ok of the last 4 · usual time 10.0s    etl-run show 4"


def test_only_runs_alike_say_what_is_usual(home: Home) -> None:
    for _ in range(3):
        past_run(home, NIGHTLY)
    past_run(home, plan("table-0", profile="prod"))

    usual = [run["usual_seconds"] for run in document(home, "history")["runs"]]

    assert usual == [None, 3.0, 3.0, 3.0]


def test_history_shows_interrupted_lost_and_running_runs_as_such(home: Home) -> None:
    with Ledger.open(home.ledger) as ledger:
        interrupted, lost = (running(home, ledger, "a", "b") for _ in range(2))
        interrupted.end("a", Outcome.CANCELLED)
        interrupted.finish(RunStatus.CANCELLED)
        lost.job("a")
        going_on = running(home, ledger, "a", "b")
        going_on.job("a")
        with hold_run_lock(home, going_on.run):
            rows = etl_run(home, "history").stdout.splitlines()
            states = [run["state"] for run in document(home, "history")["runs"]]

    assert states == ["running", "lost", "cancelled"]
    assert "● 1 of 2" in rows[1]
    assert "? lost, 1 ok" in rows[2]
    assert "■ interrupted" in rows[3]
    assert rows[-1].startswith("0 ok of the last 2")


def test_limit_shows_fewer_runs_but_knows_as_much(home: Home) -> None:
    for _ in range(4):
        past_run(home, NIGHTLY)

    lines = etl_run(home, "history", "--limit", "1").stdout.splitlines()

    assert len(lines) == 3
    assert "4 ok of the last 4" in lines[-1]
    assert len(document(home, "history", "--limit", "2")["runs"]) == 2


def test_pipelines_are_named_where_there_are_several(home: Home) -> None:
    past_run(home, plan("a", pipeline="hourly"))
    assert "Pipeline" not in etl_run(home, "history").stdout

    past_run(home, plan("a", pipeline="nightly"))
    lines = etl_run(home, "history").stdout.splitlines()

    assert ("Pipeline" in lines[0], "nightly" in lines[1], "hourly" in lines[2]) == (True, True, True)


def test_history_tells_instants_in_local_time(home: Home) -> None:
    past_run(home, NIGHTLY, at=datetime(2020, 1, 15, 3, tzinfo=UTC))

    shown, _ = command(home, "history", env={"TZ": "America/New_York"}).communicate()

    assert b"14 Jan 2020 22:00" in shown
    assert document(home, "history")["runs"][0]["started_at"] == "2020-01-15T03:00:00.000+00:00"


def test_history_fits_a_narrow_screen_and_one_without_unicode(home: Home) -> None:
    past_run(home, NIGHTLY, outcomes={"marts": Outcome.FAILED}, by="\x1b[31ma very long name indeed")

    for width in ("80", "50", "30"):
        lines = etl_run(home, "history", env={"COLUMNS": width}).stdout.splitlines()
        assert max(map(len, lines)) <= int(width)
    shown, _ = command(home, "history", env={"PYTHONIOENCODING": "latin-1"}).communicate()
    assert b"FAIL 1 failed" in shown
    assert b"?" not in shown
    assert b"\x1b" not in shown


def test_the_history_of_a_job_is_a_spark_for_every_run_with_percentiles_and_failures(home: Home) -> None:
    for seconds in (1.0, 4.0, 8.0):
        past_run(home, NIGHTLY, seconds={"table-1": seconds})
    past_run(home, NIGHTLY, outcomes={"table-1": Outcome.FAILED, "table-0": Outcome.SKIPPED})

    lines = etl_run(home, "history", "table").stdout.splitlines()

    assert lines == [
        "table-0  ███−  p50    1.0s  p95    1.0s  failed 0 of 3",
        "table-1  ▂▅█✗  p50    4.0s  p95    7.6s  failed 1 of 4",
    ]
    (one,) = document(home, "history", "table-1")["jobs"]
    assert (one["p50"], one["failed"], one["ran"]) == (4.0, 1, 4)
    assert one["ends"][0] == {"run": 1, "outcome": "succeeded", "seconds": 1.0, "attempts": 1}


def test_the_jobs_of_a_template_stand_in_the_order_of_the_plan(home: Home) -> None:
    past_run(home, plan("table-3"))
    past_run(home, plan("table-2", "table-10"))
    past_run(home, plan("table-10"))

    lines = etl_run(home, "history", "table").stdout.splitlines()

    assert [line.split()[0] for line in lines] == ["table-2", "table-10", "table-3"]
    assert [past["job"] for past in document(home, "history", "table")["jobs"]] == ["table-2", "table-10", "table-3"]


@pytest.mark.parametrize("arguments", [["history", "tabel-1"], ["logs", "tabel-1"], ["show", "1", "tabel-1"]])
def test_a_misspelt_job_is_answered_with_the_likely_one(home: Home, arguments: list[str]) -> None:
    past_run(home, NIGHTLY)

    result = etl_run(home, *arguments)

    assert (status(result), result.stdout) == (2, "")
    assert "no job called 'tabel-1'" in result.stderr
    assert "did you mean 'table-1'?" in result.stderr


@pytest.mark.parametrize(
    "arguments", [["history", "x"], ["show"], ["logs", "x"], ["show", "3"], ["logs", "x", "--run=3"]]
)
def test_before_the_first_run_there_is_nothing_to_show(home: Home, arguments: list[str]) -> None:
    result = etl_run(home, *arguments)

    assert (status(result), result.stdout) == (2, "")
    assert "no runs yet" in result.stderr


@pytest.mark.parametrize("arguments", [["show", "7"], ["logs", "marts", "--run", "7"]])
def test_an_unknown_run_is_wrong_use(home: Home, arguments: list[str]) -> None:
    past_run(home, NIGHTLY)

    result = etl_run(home, *arguments)

    assert (status(result), result.stdout) == (2, "")
    assert "there is no run 7" in result.stderr
    assert json.loads(etl_run(home, *arguments, "-o", "json").stderr)["error"] == "usage"


@pytest.mark.parametrize(
    "words",
    [
        ["history", "--limit"], ["show"], ["retry"], ["stop"], ["logs", "marts", "--run"],
        ["logs", "marts", "--attempt"], ["all", "-w"],
    ],
)  # fmt: skip
@pytest.mark.parametrize("number", ["0", "9" * 30, "٣"])
def test_a_number_that_nobody_means_is_wrong_use(home: Home, words: list[str], number: str) -> None:
    past_run(home, NIGHTLY)

    with command(home, *words, number) as process:
        _, said = process.communicate(timeout=30)

    assert (process.returncode, b"Traceback" in said) == (2, False)


def test_a_damaged_ledger_is_said_and_not_a_traceback(home: Home) -> None:
    home.folder.mkdir()
    home.ledger.write_text("nonsense " * 1000)

    result = etl_run(home, "history")

    assert (status(result), result.stdout) == (1, "")
    assert "is damaged" in result.stderr
    assert f"mv {home.ledger}" in result.stderr


# show


def test_show_tells_who_ran_what_and_how_it_went(home: Home) -> None:
    past_run(home, NIGHTLY, command=("etl-run", "all", "--param", "day=a b"), by="ana")
    run = past_run(home, NIGHTLY, outcomes={"table-1": Outcome.FAILED, "marts": Outcome.SKIPPED})
    write_log(home, run, "table-1", 1, b"start\n" + NASTY)

    last, first = etl_run(home, "show").stdout, etl_run(home, "show", "1").stdout

    assert last.startswith("Run 2 · warehouse · prod · ✗ 1 failed, 1 −\n")
    assert "by cron" in last
    assert "exit status 1" in last
    assert "✗ table-1  exit 1" in last
    assert "│ red clip café" in last
    assert "\x1b" not in last
    assert "etl-run all --param 'day=a b'" in first
    assert "by ana" in first


def test_show_as_json_has_every_job_and_attempt(home: Home) -> None:
    past_run(home, NIGHTLY, attempts={"table-1": 2}, outcomes={"marts": Outcome.SKIPPED})

    shown = document(home, "show", "1")

    assert (shown["version"], shown["run"]["run"], shown["run"]["state"]) == (1, 1, "succeeded")
    states = {job["job"]: (job["state"], len(job["attempts"])) for job in shown["jobs"]}
    assert states == {"table-0": ("succeeded", 1), "table-1": ("succeeded", 2), "marts": ("skipped", 0)}
    first, second = shown["jobs"][1]["attempts"]
    assert (first["exit"], second["exit"], second["attempt"]) == (1, 0, 2)
    assert second["log"] == str(home.log(1, "table-1", 2))


def test_show_of_one_job_has_its_command_attempts_and_last_lines(home: Home) -> None:
    load = job("load", argv=("python", "-m", "load it"), env={"PGPASSWORD": "hunter2"}, timeout=600.0, needs=("a",))
    past_run(home, plan("a", load), attempts={"load": 2}, outcomes={"load": Outcome.FAILED})
    write_log(home, 1, "load", 2, b"first\nlast words\n")

    shown = etl_run(home, "show", "1", "load").stdout

    assert "✗ load  exit 1 after 2 attempts" in shown
    assert "python -m 'load it'" in shown
    assert "PGPASSWORD" in shown
    assert "hunter2" not in shown
    assert "timeout 10m" in shown
    assert [line.split()[0] for line in shown.splitlines() if line.endswith("exit 1")] == ["1", "2"]
    assert "│ last words" in shown
    told = document(home, "show", "load")["job"]
    assert (told["argv"], told["env"], told["tail"]) == (
        ["python", "-m", "load it"],
        ["PGPASSWORD"],
        ["first", "last words"],
    )


def test_show_of_one_job_tells_what_its_attempt_cost_and_left(home: Home) -> None:
    with Ledger.open(home.ledger) as ledger, hold_run_lock(home, 1):
        pen = running(home, ledger, "load")
        pen.write(AttemptStarted(job="load", attempt=1, pid=1))
        exited = AttemptExited(
            job="load",
            attempt=1,
            seconds=2.0,
            signal=11,
            metrics={"rows": 4656},
            cpu_seconds=1.5,
            peak_memory=40 * 2**20,
            left_behind=2,
            log_truncated=True,
            warnings=("late \x1b[31mdata",),
        )
        pen.write(exited, after=2.0)
        shown = etl_run(home, "show", "load", env={"COLUMNS": "160"}).stdout
        narrow = etl_run(home, "show", "load", env={"COLUMNS": "70"}).stdout.splitlines()

    (row,) = [line for line in shown.splitlines() if "SIGSEGV" in line]
    assert row.split("  ")[-1].strip() == "cpu 1.5s · memory 40 MiB · processes left behind: 2 · log truncated"
    assert " metrics    4,656 rows\n" in shown
    assert "! late data" in shown
    at = next(number for number, line in enumerate(narrow) if "SIGSEGV" in line)
    assert narrow[at].endswith("killed by SIGSEGV   cpu 1.5s ·")
    assert [line.strip() for line in narrow[at + 1 : at + 3]] == [
        "memory 40 MiB · processes left behind: 2",
        "· log truncated",
    ]


def test_each_attempt_has_what_it_reported_itself(home: Home) -> None:
    with Ledger.open(home.ledger) as ledger, hold_run_lock(home, 1):
        pen = running(home, ledger, "load")
        for attempt in (1, 2):
            pen.write(AttemptStarted(job="load", attempt=attempt, pid=attempt))
            pen.write(AttemptExited(job="load", attempt=attempt, seconds=2.0, exit=1, metrics={"rows": attempt}))
        shown = etl_run(home, "show", "load").stdout

    assert (shown.count("1 rows"), shown.count("2 rows"), " metrics    2 rows\n" in shown) == (1, 1, True)


def test_a_text_for_the_shell_is_shown_as_it_was_written(home: Home) -> None:
    past_run(home, plan(job("a", argv=("/bin/sh", "-c", "echo 'it is' \"$x\""))))

    assert " shell      echo 'it is' \"$x\"\n" in etl_run(home, "show", "a").stdout


def test_show_of_a_template_has_the_rows_of_its_jobs(home: Home) -> None:
    past_run(home, NIGHTLY)

    shown = etl_run(home, "show", "1", "table").stdout

    assert ("table-0" in shown, "table-1" in shown, "marts" in shown) == (True, True, False)
    assert [job["job"] for job in document(home, "show", "table")["jobs"]] == ["table-0", "table-1"]


def test_without_a_run_a_job_is_shown_in_the_last_run_that_has_it(home: Home) -> None:
    past_run(home, NIGHTLY)
    past_run(home, plan("other"))

    assert document(home, "show", "marts")["run"]["run"] == 1
    assert document(home, "logs", "marts")["run"] == 1
    assert document(home, "show")["run"]["run"] == 2


def test_show_says_lost_of_what_nobody_saw_the_end_of(home: Home) -> None:
    with Ledger.open(home.ledger) as ledger:
        pen = running(home, ledger, "a", "b", "c")
        pen.job("a")
        pen.write(AttemptStarted(job="b", attempt=1, pid=1))

    shown = etl_run(home, "show").stdout
    states = {job["job"]: job["state"] for job in document(home, "show")["jobs"]}

    assert "? lost, 1 ok" in shown
    assert "LOST" in shown
    assert states == {"a": "succeeded", "b": "lost", "c": "lost"}
    assert "lost" in etl_run(home, "show", "b").stdout


def write_result(home: Home, pen: Pen, name: str, attempt: int, **ended: object) -> None:
    """What a supervisor leaves when its runner is gone."""
    path = home.result(pen.run, name, attempt)
    path.parent.mkdir(parents=True, exist_ok=True)
    fields: dict[str, object] = {
        "exit": 0,
        "signal": None,
        "seconds": 4.5,
        "cpu_seconds": 0.1,
        "stopped": False,
        "unkillable": [],
    }
    path.write_text(json.dumps({"ended": {**fields, "out_of_memory": False, "left": 0, **ended}}))
    os.utime(path, (when := (pen.now + timedelta(seconds=9)).timestamp(), when))


def test_show_of_a_lost_run_has_the_ends_its_runner_did_not_hear_of(home: Home) -> None:
    lost = plan("good", job("bad", retry=Retry(count=2)), "stopped", "unkillable", "waiting")
    with Ledger.open(home.ledger) as ledger:
        pen = Pen(ledger, lost)
        pen.write(started(lost))
        for name in ("good", "bad", "stopped", "unkillable"):
            pen.write(AttemptStarted(job=name, attempt=1, pid=1))
    write_result(home, pen, "good", 1)
    write_result(home, pen, "bad", 2, exit=3)
    write_result(home, pen, "stopped", 1, exit=None, signal=15, stopped=True)
    write_result(home, pen, "unkillable", 1, unkillable=[17])

    shown = document(home, "show")
    (run,) = document(home, "history")["runs"]
    lines = etl_run(home, "show").stdout

    states = {"good": "succeeded", "bad": "failed", "stopped": "lost", "unkillable": "lost", "waiting": "lost"}
    assert {job["job"]: job["state"] for job in shown["jobs"]} == states
    assert shown["jobs"][0]["attempts"][0]["seconds"] == 4.5
    assert [job["seconds"] for job in shown["jobs"]] == [4.5, 4.5, 4.5, 0, 0]
    assert (run["state"], run["counts"], run["seconds"]) == ("lost", {"succeeded": 1, "failed": 1, "lost": 3}, 9)
    assert "? lost, 1 ok" in lines
    assert "LOST  1 ok · 1 failed · 3 lost" in lines
    assert "exit 3" in lines
    assert "lost: stopped when its runner was gone" in etl_run(home, "show", "stopped").stdout
    assert "succeeded, 4.5s" in etl_run(home, "show", "good").stdout


def test_an_end_that_was_recorded_is_not_taken_from_what_was_written_down(home: Home) -> None:
    with Ledger.open(home.ledger) as ledger:
        pen = running(home, ledger, "a")
        pen.write(AttemptStarted(job="a", attempt=1, pid=1), AttemptExited(job="a", attempt=1, seconds=2.0, exit=3))
    write_result(home, pen, "a", 1, exit=3)

    (shown,) = document(home, "show")["jobs"]

    assert (shown["state"], shown["attempts"][0]["seconds"]) == ("failed", 2.0)


def test_show_of_a_run_that_is_going_on_shows_it_so_far(home: Home) -> None:
    with Ledger.open(home.ledger) as ledger:
        pen = running(home, ledger, "a", "b", "c")
        pen.job("a", Outcome.FAILED)
        pen.write(AttemptStarted(job="b", attempt=1, pid=1))
        with hold_run_lock(home, pen.run):
            shown = etl_run(home, "show").stdout
            states = {job["job"]: job["state"] for job in document(home, "show")["jobs"]}

    assert "● 1 of 3, 1 failed  going on for" in shown
    assert "LOST" not in shown
    assert states == {"a": "failed", "b": "running", "c": "waiting"}


def test_a_run_that_is_no_number_is_wrong_use(home: Home) -> None:
    past_run(home, NIGHTLY)

    result = etl_run(home, "show", "last", "marts")

    assert status(result) == 2
    assert "a run is a number" in result.stderr


# logs


def test_logs_in_a_pipe_are_the_very_bytes_and_headings_are_elsewhere(home: Home) -> None:
    of = plan(job("load", retry=Retry(count=2)))
    past_run(home, of, attempts={"load": 2})
    write_log(home, 1, "load", 1, b"no newline at the end")
    write_log(home, 1, "load", 2, NASTY * 50_000)

    out, err = command(home, "logs", "load", env={"TZ": "UTC"}).communicate()

    assert out == b"no newline at the end" + NASTY * 50_000
    assert err.decode().splitlines() == [
        "── attempt 1 of 3 · 03:00:00 · exit 1 ──",
        "── attempt 2 of 3 · 03:00:01 · exit 0 ──",
    ]
    assert command(home, "logs", "load", "--attempt", "1").communicate() == (b"no newline at the end", b"")


def on_a_terminal(process: subprocess.Popen[bytes], controller: int) -> bytes:
    """All that a process printed on its terminal."""
    shown = b""
    while True:
        try:
            chunk = os.read(controller, 65536)
        except OSError:  # the terminal is gone
            chunk = b""
        if not chunk:
            break
        shown += chunk
    process.wait(30)
    os.close(controller)
    return shown


@pytest.mark.parametrize("follow", [[], ["-f"]])
def test_logs_on_a_terminal_have_no_control_characters(home: Home, follow: list[str]) -> None:
    past_run(home, plan("load"))
    write_log(home, 1, "load", 1, NASTY + b"10%\r20%\r" + b"end \x9b31m")
    controller, terminal = pty.openpty()

    process = command(home, "logs", "load", *follow, stdout=terminal, stderr=terminal)
    os.close(terminal)
    shown = on_a_terminal(process, controller)

    assert shown.decode().split("\r\n") == [
        "red clip café \N{REPLACEMENT CHARACTER}",
        "end \N{REPLACEMENT CHARACTER}31m",
        "",
    ]
    assert not set(shown) & (set(range(32)) - {10, 13})


def test_logs_of_a_template_are_those_of_its_jobs_each_under_its_name(home: Home) -> None:
    past_run(home, NIGHTLY)
    for name in ("table-0", "table-1"):
        write_log(home, 1, name, 1, f"I am {name}\n".encode())

    result = etl_run(home, "logs", "table")

    assert result.stdout == "I am table-0\nI am table-1\n"
    assert [line.split()[1] for line in result.stderr.splitlines()] == ["table-0", "table-1"]


def test_logs_as_json_are_one_document_of_the_last_attempt(home: Home) -> None:
    past_run(home, NIGHTLY, attempts={"marts": 2})
    write_log(home, 1, "marts", 1, b"one\n")
    write_log(home, 1, "marts", 2, b"a\n\n\x1b[1mb \xff\n")

    assert document(home, "logs", "marts") == {
        "version": 1,
        "run": 1,
        "job": "marts",
        "attempt": 2,
        "log": ["a", "", "\x1b[1mb \N{REPLACEMENT CHARACTER}"],
    }
    assert document(home, "logs", "marts", "--attempt", "1")["log"] == ["one"]


def test_logs_as_json_are_of_one_job(home: Home) -> None:
    past_run(home, NIGHTLY)

    result = etl_run(home, "logs", "table", "-o", "json")

    assert status(result) == 2
    assert "choose one: table-0, table-1" in json.loads(result.stderr)["hint"]


def test_an_attempt_that_was_not_made_is_wrong_use(home: Home) -> None:
    past_run(home, NIGHTLY)

    result = etl_run(home, "logs", "marts", "--attempt", "3")

    assert status(result) == 2
    assert "marts had no attempt 3 in run 1" in result.stderr
    assert "1 attempt" in result.stderr


def test_a_job_that_never_started_has_no_log_and_a_reason(home: Home) -> None:
    past_run(home, NIGHTLY, outcomes={"marts": Outcome.SKIPPED})

    result = etl_run(home, "logs", "marts")

    assert (status(result), result.stdout) == (0, "")
    assert "marts never started: skipped" in result.stderr
    assert document(home, "logs", "marts") == {"version": 1, "run": 1, "job": "marts", "attempt": None, "log": []}


def test_a_log_that_is_gone_is_said(home: Home) -> None:
    past_run(home, NIGHTLY)

    result = etl_run(home, "logs", "marts")

    assert (status(result), result.stdout) == (1, "")
    assert f"is gone: {home.log(1, 'marts', 1)}" in result.stderr


# logs -f


def begin(pen: Pen, name: str, attempt: int, content: bytes) -> None:
    write_log(pen_home(pen), pen.run, name, attempt, content)
    pen.write(AttemptStarted(job=name, attempt=attempt, pid=1))


def pen_home(pen: Pen) -> Home:
    return Home(pen.ledger.path.parent)


def add(pen: Pen, name: str, attempt: int, content: bytes) -> None:
    with pen_home(pen).log(pen.run, name, attempt).open("ab") as file:
        file.write(content)


def end(pen: Pen, name: str, attempt: int, *, exit_status: int = 0) -> None:
    pen.write(AttemptExited(job=name, attempt=attempt, seconds=1.0, exit=exit_status))


def test_a_log_is_followed_over_all_attempts_until_the_job_is_over(home: Home) -> None:
    with Ledger.open(home.ledger) as ledger, hold_run_lock(home, 1):
        pen = running(home, ledger, "load", "other")
        process = command(home, "logs", "load", "-f")
        assert process.stdout
        begin(pen, "load", 1, b"one\n")
        assert process.stdout.readline() == b"one\n"
        add(pen, "load", 1, b"two\n")
        assert process.stdout.readline() == b"two\n"
        end(pen, "load", 1, exit_status=1)
        begin(pen, "load", 2, b"")
        add(pen, "load", 2, b"three, ")
        assert process.stdout.read(7) == b"three, "
        add(pen, "load", 2, b"the end")
        end(pen, "load", 2)
        pen.end("load", Outcome.SUCCEEDED, attempt=2)
        rest, err = process.communicate(timeout=30)

    assert (rest, process.returncode) == (b"the end", 0)
    assert "attempt 2 of 2" in err.decode()


def test_a_job_that_has_not_started_is_waited_for(home: Home) -> None:
    with Ledger.open(home.ledger) as ledger, hold_run_lock(home, 1):
        pen = running(home, ledger, "load")
        process = command(home, "logs", "load", "-f")
        assert process.stderr
        assert process.stderr.readline() == b"waiting for load to start\n"
        begin(pen, "load", 1, b"at last\n")
        end(pen, "load", 1)
        pen.end("load", Outcome.SUCCEEDED, attempt=1)
        assert process.communicate(timeout=30) == (b"at last\n", b"")


def test_following_one_attempt_ends_with_it(home: Home) -> None:
    with Ledger.open(home.ledger) as ledger, hold_run_lock(home, 1):
        pen = running(home, ledger, "load")
        begin(pen, "load", 1, b"one\n")
        process = command(home, "logs", "load", "-f", "--attempt", "1")
        assert process.stdout
        assert process.stdout.readline() == b"one\n"
        end(pen, "load", 1, exit_status=1)
        assert process.communicate(timeout=30)[0] == b""

    assert process.returncode == 0


def test_followed_jobs_of_a_template_have_their_names_before_whole_lines(home: Home) -> None:
    with Ledger.open(home.ledger) as ledger, hold_run_lock(home, 1):
        pen = running(home, ledger, "table-0", "table-10")
        begin(pen, "table-0", 1, b"hal")
        begin(pen, "table-10", 1, b"x\n")
        process = command(home, "logs", "table", "-f")
        assert process.stdout
        assert process.stdout.readline().decode() == "table-10 │ x\n"
        add(pen, "table-0", 1, b"f a line\n")
        assert process.stdout.readline().decode() == "table-0  │ half a line\n"
        for name in ("table-0", "table-10"):
            end(pen, name, 1)
            pen.end(name, Outcome.SUCCEEDED, attempt=1)
        process.communicate(timeout=30)

    assert process.returncode == 0


HOLD_RUN = """
import sys
from pathlib import Path
from etl_runner.ledger import hold_run_lock
from etl_runner.paths import Home
with hold_run_lock(Home(Path(sys.argv[1])), 1):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_following_ends_when_the_run_dies(home: Home) -> None:
    with Ledger.open(home.ledger) as ledger:
        runner = python(HOLD_RUN, home.folder)
        assert line_of(runner) == "held"
        pen = running(home, ledger, "load")
        begin(pen, "load", 1, b"one\nlast wor")
        process = command(home, "logs", "load", "-f")
        assert process.stdout
        assert process.stdout.readline() == b"one\n"
        assert process.stdout.read(8) == b"last wor"
        runner.kill()
        runner.communicate()
        out, err = process.communicate(timeout=30)

    assert (out, process.returncode) == (b"", 0)
    assert "run 1 was lost" in err.decode()


def test_following_a_job_that_is_over_prints_it_and_ends(home: Home) -> None:
    past_run(home, NIGHTLY, outcomes={"table-1": Outcome.SKIPPED})
    write_log(home, 1, "marts", 1, b"done\n")

    assert command(home, "logs", "marts", "-f").communicate(timeout=30) == (b"done\n", b"")
    assert b"never started" in command(home, "logs", "table-1", "-f").communicate(timeout=30)[1]


def test_an_interrupt_ends_following_without_a_traceback(home: Home) -> None:
    with Ledger.open(home.ledger) as ledger, hold_run_lock(home, 1):
        pen = running(home, ledger, "load")
        begin(pen, "load", 1, b"one\n")
        process = command(home, "logs", "load", "-f")
        assert process.stdout
        assert process.stdout.readline() == b"one\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)

    assert (out, err, process.returncode) == (b"", b"", -signal.SIGINT)


def test_following_ends_when_nobody_reads_any_more_though_the_job_is_silent(home: Home) -> None:
    with Ledger.open(home.ledger) as ledger, hold_run_lock(home, 1):
        pen = running(home, ledger, "load")
        begin(pen, "load", 1, b"one\n")
        process = command(home, "logs", "load", "-f")
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == b"one\n"
        process.stdout.close()
        assert process.wait(30) == -signal.SIGPIPE
        assert process.stderr.read() == b""
        process.stderr.close()


def test_following_and_json_do_not_go_together(home: Home) -> None:
    past_run(home, NIGHTLY)

    assert status(etl_run(home, "logs", "marts", "-f", "-o", "json")) == 2


# all of it, for real


PIPELINE = """
[pipeline]
name = "demo"
[jobs.load]
run = ["sh", "-c", "echo attempt $ETL_ATTEMPT; while ! test -e go; do sleep 0.02; done; test $ETL_ATTEMPT = 2"]
retries = 1
"""


def test_a_run_that_is_going_on_can_be_listed_shown_and_followed(home: Home) -> None:
    root = home.folder.parent
    (root / "etl.toml").write_text(PIPELINE)
    run = command(home, "all", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: home.log(1, "load", 1).exists())

    follow = command(home, "logs", "load", "-f")
    assert follow.stdout
    assert follow.stdout.readline() == b"attempt 1\n"
    assert document(home, "history")["runs"][0]["state"] == "running"
    assert document(home, "show")["jobs"][0]["state"] == "running"
    (root / "go").touch()
    rest, err = follow.communicate(timeout=30)

    assert run.wait(30) == 0
    assert (rest, follow.returncode) == (b"attempt 2\n", 0)
    assert "attempt 2 of 2" in err.decode()
    assert document(home, "history")["runs"][0]["state"] == "succeeded"
