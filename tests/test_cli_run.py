# ruff: noqa: F401, F811
"""etl-run all and etl-run job, as real processes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.cli import ETL_RUN, Project, clean_env
from tests.support.servers import open_folder

GOOD = """
[pipeline]
name = "demo"
workers = 3
[phases]
pre   = {}
sub   = {}
final = { needs = ["pre", "sub"] }
[jobs.pre]
phase = "pre"
run = "true"
[jobs.table]
phase = "sub"
matrix = { id = "0..3" }
shell = true
run = 'echo "{{\\"rows\\": {id}}}" >> "$ETL_OUTPUT"'
[jobs.final]
phase = "final"
run = "true"
"""

BAD = """
[pipeline]
name = "demo"
[phases]
one = {}
two = { needs = ["one"] }
[jobs.bad]
phase = "one"
shell = true
run = "echo the reason; exit 3"
[jobs.good]
phase = "one"
run = "true"
[jobs.cleanup]
phase = "one"
needs = ["bad"]
when = "always"
run = "true"
[jobs.last]
phase = "two"
run = "touch ran"
"""

LONG = """
[jobs.long]
shell = true
grace = "90s"
run = "trap 'echo tidied; exit 0' TERM; touch up; sleep 60 & wait"
[jobs.after]
needs = ["long"]
run = "touch ran"
"""


def until(fact: Callable[[], object], *, seconds: float = 30) -> None:
    """Wait for a fact."""
    limit = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < limit, "it did not come true"
        time.sleep(0.02)


def test_all_runs_every_job_and_ends_with_0(tmp_path: Path) -> None:
    ended = Project(tmp_path, GOOD).run("all")

    assert ended.returncode == 0
    assert "OK  6 ok · 0 failed · 0 skipped" in ended.stdout
    assert "✓ table-3" in ended.stderr


def test_a_failed_job_ends_the_run_with_1_and_shows_its_last_words(tmp_path: Path) -> None:
    ended = Project(tmp_path, BAD).run("all")

    assert ended.returncode == 1
    assert "the reason" in ended.stdout
    assert "FAILED  2 ok · 1 failed · 1 skipped" in ended.stdout
    assert not (tmp_path / "ran").exists()


def test_json_is_one_object_a_line_and_the_last_is_the_end(tmp_path: Path) -> None:
    events = Project(tmp_path, BAD).events("all")

    assert all({"event", "run", "at"} <= event.keys() for event in events)
    finished = {event["job"]: event for event in events if event["event"] == "job_finished"}
    assert {"job", "phase", "attempt", "outcome", "exit", "seconds", "metrics"} <= finished["bad"].keys()
    assert {name: event["outcome"] for name, event in finished.items()} == {
        "bad": "failed", "good": "succeeded", "cleanup": "succeeded", "last": "skipped",
    }  # fmt: skip
    last = events[-1]
    assert (last["event"], last["status"], last["exit"]) == ("run_finished", "failed", 1)
    assert last["counts"] == {"succeeded": 2, "skipped": 1, "failed": 1}


def test_metrics_are_in_the_events(tmp_path: Path) -> None:
    events = Project(tmp_path, GOOD).events("all")

    rows = {event["job"]: event["metrics"] for event in events if event["event"] == "job_finished"}
    assert rows["table-2"] == {"rows": 2}


def test_quiet_says_nothing_when_all_is_well(tmp_path: Path) -> None:
    ended = Project(tmp_path, GOOD).run("all", "-q")

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_quiet_says_what_failed(tmp_path: Path) -> None:
    ended = Project(tmp_path, BAD).run("all", "-q")

    assert (ended.returncode, ended.stdout) == (1, "")
    assert "the reason" in ended.stderr
    assert "good" not in ended.stderr


def test_verbose_shows_the_output_of_jobs(tmp_path: Path) -> None:
    ended = Project(tmp_path, BAD).run("all", "-v")

    assert re.search(r"^bad +│ the reason$", ended.stderr, re.MULTILINE)


@pytest.mark.parametrize(
    ("words", "ran"),
    [
        (["--only", "sub"], {"table-0", "table-1", "table-2", "table-3"}),
        (["--only", "table-1", "--only", "pre"], {"table-1", "pre"}),
        (["--only", "final"], {"final"}),
        (["--skip", "table-[12]"], {"pre", "table-0", "table-3", "final"}),
        (["--only", "pre+"], {"pre", "final"}),
    ],
)
def test_only_and_skip_choose_jobs(tmp_path: Path, words: list[str], ran: set[str]) -> None:
    events = Project(tmp_path, GOOD).events("all", *words)

    assert {event["job"] for event in events if event["event"] == "job_finished"} == ran


def test_dry_run_shows_the_plan_and_runs_nothing(tmp_path: Path) -> None:
    ended = Project(tmp_path, BAD).run("all", "--dry-run")

    assert (ended.returncode, "cleanup" in ended.stdout) == (0, True)
    assert not (tmp_path / ".etl" / "ledger.db").exists()


def test_fail_fast_stops_the_rest(tmp_path: Path) -> None:
    text = '[jobs.bad]\nrun = "false"\n[jobs.long]\nrun = "sleep 60"\n'

    events = Project(tmp_path, text).events("all", "--fail-fast")

    outcomes = {event["job"]: event["outcome"] for event in events if event["event"] == "job_finished"}
    assert outcomes == {"bad": "failed", "long": "cancelled"}


def test_fail_fast_stops_the_other_copies_of_a_job_that_is_run_alone(tmp_path: Path) -> None:
    text = '[pipeline]\nfail_fast = true\n[jobs.j]\nmatrix = { id = "0..1" }\nshell = true\n'
    text += "run = 'test {id} = 1 && sleep 60'\n"

    events = Project(tmp_path, text).events("job", "j")

    outcomes = {event["job"]: event["outcome"] for event in events if event["event"] == "job_finished"}
    assert outcomes == {"j-0": "failed", "j-1": "cancelled"}
    assert "runs after a failure" not in Project(tmp_path, text).run("job", "j", "--dry-run").stdout


def test_every_flag_has_a_variable(tmp_path: Path) -> None:
    project = Project(tmp_path, BAD)

    ended = project.run("all", env=clean_env(ETL_RUN_OUTPUT="json", ETL_RUN_WORKERS="2", ETL_RUN_ONLY="good"))

    events = [json.loads(line) for line in ended.stdout.splitlines()]
    assert (ended.returncode, events[0]["workers"], events[0]["jobs"]) == (0, 2, 1)


def test_timeout_limits_each_job(tmp_path: Path) -> None:
    events = Project(tmp_path, '[jobs.slow]\nrun = "sleep 60"\n').events("all", "--timeout", "0.2s")

    assert [event["outcome"] for event in events if event["event"] == "job_finished"] == ["timed-out"]


def test_job_runs_one_copy_and_passes_its_status_on(tmp_path: Path) -> None:
    text = '[jobs.table]\nmatrix = { id = "0..19" }\nshell = true\nrun = "touch ran-{id}; exit {id}"\n'
    project = Project(tmp_path, text)

    ended = project.run("job", "table", "--id", "3")

    assert ended.returncode == 3
    assert [path.name for path in tmp_path.glob("ran-*")] == ["ran-3"]


def test_job_by_its_full_name_runs_without_its_needs(tmp_path: Path) -> None:
    ended = Project(tmp_path, BAD).run("job", "last")

    assert (ended.returncode, (tmp_path / "ran").exists()) == (0, True)


def test_job_adds_what_stands_behind_two_dashes(tmp_path: Path) -> None:
    project = Project(tmp_path, '[jobs.say]\nrun = "echo one"\n')

    ended = project.run("job", "say", "-v", "--", "--two", "x y")

    assert re.search(r"^say +│ one --two x y$", ended.stderr, re.MULTILINE)


def test_job_help_lists_its_parameters_from_the_file(tmp_path: Path) -> None:
    text = '[jobs.table]\nmatrix = { id = "0..19" }\nrun = "true {id}"\ndescription = "Loads one table."\n'
    project = Project(tmp_path, text)

    shown = project.run("job", "table", "--help").stdout

    assert "--id 0..19" in shown
    assert "Loads one table." in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["job", "tabel"], "did you mean 'table'?"),
        (["job", "table", "--id", "20"], "'20' is not one of 0..19"),
        (["job"], "Usage: etl-run job"),
        (["all", "--only", "tabel"], "table"),
        (["all", "-w", "0"], "Invalid value for '-w'"),
        (["all", "--param", "x"], "expected NAME=VALUE"),
        (["all", "--param", "x=1"], "x"),
        (["all", "--timeout", "soon"], "soon"),
        (["al"], "all"),
        (["-c", "nope.toml", "all"], "nope.toml: no such file"),
        (["-c", ".", "all"], "is a directory"),
        (["-c", "latin.toml", "all"], "latin.toml:2: not UTF-8"),
        (["--profile", "prd", "all"], "prod"),
    ],
)
def test_wrong_use_ends_with_2_says_the_cure_and_runs_nothing(tmp_path: Path, words: list[str], message: str) -> None:
    text = '[jobs.table]\nmatrix = { id = "0..19" }\nrun = "touch ran-{id}"\n[profiles.prod]\npipeline.workers = 2\n'
    project = Project(tmp_path, text)
    (tmp_path / "latin.toml").write_bytes(b"[pipeline]\nname = '\xe9'\n")

    ended = project.run(*words)

    assert ended.returncode == 2
    assert message.lower() in (ended.stdout + ended.stderr).lower()
    assert "Traceback" not in ended.stderr
    assert not list(tmp_path.glob("ran-*"))


def test_without_a_pipeline_file_the_error_says_where_it_was_looked_for(tmp_path: Path) -> None:
    ended = subprocess.run(
        [*ETL_RUN, "all"], cwd=tmp_path, env=clean_env(), capture_output=True, text=True, check=False
    )

    assert ended.returncode == 2
    assert f"no etl.toml in {tmp_path} or any folder above it" in ended.stderr


def test_a_broken_file_lists_every_problem_before_anything_starts(tmp_path: Path) -> None:
    text = '[pipeline]\ntimeout = "10 minuts"\n[jobs.a]\nrun = "touch ran"\ndepends_on = ["b"]\n'

    ended = Project(tmp_path, text).run("all")

    assert ended.returncode == 2
    assert "etl.toml:2:11: pipeline.timeout" in ended.stderr
    assert "did you mean 'needs'?" in ended.stderr
    assert not (tmp_path / "ran").exists()


def test_errors_are_json_where_json_is_wanted(tmp_path: Path) -> None:
    ended = Project(tmp_path, GOOD).run("all", "--only", "nope", "-o", "json")

    error = json.loads(ended.stderr)
    assert (ended.returncode, error["error"], error["exit"]) == (2, "usage", 2)


def test_two_runs_of_a_pipeline_never_overlap(tmp_path: Path) -> None:
    project = Project(tmp_path, LONG)
    first = project.start("all")
    until((tmp_path / "up").exists)

    second = project.run("all")
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=30)

    assert second.returncode == 75
    assert "run 1 of " in second.stderr
    assert f"pid {first.pid}" in second.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_run_gracefully_with_its_summary(tmp_path: Path, number: signal.Signals) -> None:
    project = Project(tmp_path, LONG)
    running = project.start("all")
    until((tmp_path / "up").exists)

    running.send_signal(number)
    out, err = running.communicate(timeout=30)

    assert running.returncode == -number  # re-raised: a shell loop around us stops, too
    assert "cancelled" in out
    assert "Traceback" not in err
    assert (tmp_path / ".etl/runs/1/logs/long.1.log").read_text() == "tidied\n"
    assert not (tmp_path / "ran").exists()


def test_a_second_ctrl_c_does_not_wait(tmp_path: Path) -> None:
    script = "trap 'touch asked' TERM; touch up; while :; do sleep 0.05; done"
    text = f'[jobs.stubborn]\nshell = true\ngrace = "90s"\nrun = "{script}"\n'
    project = Project(tmp_path, text)
    running = project.start("all")
    until((tmp_path / "up").exists)

    running.send_signal(signal.SIGINT)
    until((tmp_path / "asked").exists)
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=30)

    assert running.returncode == -signal.SIGINT


def test_the_run_after_a_killed_one_works_and_the_killed_one_is_lost(tmp_path: Path) -> None:
    project = Project(tmp_path, LONG.replace("sleep 60", "sleep 3"))
    killed = project.start("all")
    until((tmp_path / "up").exists)
    killed.kill()
    killed.communicate(timeout=30)

    until(lambda: project.run("all", "--only", "after").returncode != 75)  # its jobs are still being stopped
    history = json.loads(project.run("history", "-o", "json").stdout)

    assert [run["state"] for run in history["runs"]] == ["succeeded", "lost"]


def test_the_readers_end_of_a_pipe_may_close(tmp_path: Path) -> None:
    project = Project(tmp_path, GOOD)
    command = f"{' '.join(ETL_RUN)} all 2>&1 | head -n 1"

    ended = subprocess.run(
        ["/bin/sh", "-c", command], cwd=project.folder, env=clean_env(), capture_output=True, text=True, check=False
    )

    assert len(ended.stdout.splitlines()) == 1
    assert "Traceback" not in ended.stderr
    shown = json.loads(project.run("show", "1", "-o", "json").stdout)
    assert shown["run"]["counts"] == {"succeeded": 6}


def test_a_cron_environment_is_enough(tmp_path: Path) -> None:
    project = Project(tmp_path, "[jobs.which]\nrun = \"python -c 'import msgspec'\"\n")
    etl_run = Path(sys.executable).with_name("etl-run")
    cron = {"HOME": "/root", "LOGNAME": "root", "SHELL": "/bin/sh", "PATH": "/usr/bin:/bin"}

    ended = subprocess.run(
        ["/bin/sh", "-c", f"cd {tmp_path} && {etl_run} all -q"], cwd="/", env=cron, capture_output=True, check=False
    )

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")
    assert json.loads(project.run("history", "-o", "json").stdout)["runs"][0]["by"] == "cron"


@pytest.mark.parametrize(
    ("words", "json_in_environment", "where"),
    [
        (("all", "--workers", "0", "-o", "json"), False, "etl-run all"),
        (("-o", "json", "job", "table", "--id", "9"), False, "etl-run job table"),
        (("show", "1", "a", "b", "--output=json"), False, "etl-run show"),
        (("-ojson", "al"), False, "etl-run"),
        (("plan", "--nope"), True, "etl-run plan"),
    ],
)
def test_misuse_is_one_object_too_where_json_is_asked_for(
    tmp_path: Path, words: tuple[str, ...], json_in_environment: bool, where: str
) -> None:
    project = Project(tmp_path, GOOD)

    env = clean_env() | ({"ETL_RUN_OUTPUT": "json"} if json_in_environment else {})
    ended = project.run(*words, env=env)

    said = json.loads(ended.stderr)
    assert (ended.returncode, ended.stdout, said["error"], said["exit"]) == (2, "", "usage", 2)
    assert (said["hint"], "\n" in said["message"]) == (f"see {where} --help", False)


def test_misuse_is_text_where_text_is_asked_for(tmp_path: Path) -> None:
    for words in (("plan", "--nope"), ("plan", "--nope", "-o", "text"), ("job", "table", "--nope", "--", "-o", "json")):
        assert Project(tmp_path, GOOD).run(*words).stderr.startswith("Usage: etl-run ")


def test_run_all_etls_is_etl_run_all(tmp_path: Path) -> None:
    project = Project(tmp_path, GOOD)
    script = shutil.copy(Path(__file__).parents[1] / "run_all_etls.py", project.folder)

    ended = subprocess.run(
        [sys.executable, script, "--workers", "2", "--only", "pre", "-o", "json"],
        cwd="/", env=clean_env(), capture_output=True, text=True, check=False,
    )  # fmt: skip

    events = [json.loads(line) for line in ended.stdout.splitlines()]
    assert (ended.returncode, events[0]["workers"], events[0]["jobs"]) == (0, 2, 1)
    assert events[0]["command"][:3] == ["etl-run", "all", "--workers"]


def test_latest_points_at_the_last_run(tmp_path: Path) -> None:
    project = Project(tmp_path, GOOD)

    project.run("all")
    project.run("all", "--only", "pre")

    assert os.readlink(tmp_path / ".etl/runs/latest") == "2"  # noqa: PTH115


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom etl_runner.cli.main import main\n"
        "try: main('--help')\n"
        "finally: print('LOADED', *sorted({'asyncio', 'msgspec', 'rich', 'psycopg', 'sqlite3'} & sys.modules.keys()))"
    )

    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (ended.returncode, ended.stdout.splitlines()[-1].strip()) == (0, "LOADED")


@pytest.mark.parametrize("words", [["-c", "other.toml"], ["--config=other.toml"], ["--config", "other.toml"]])
def test_job_takes_the_file_wherever_it_stands(tmp_path: Path, words: list[str]) -> None:
    project = Project(tmp_path, "")
    (tmp_path / "other.toml").write_text('[jobs.table]\nmatrix = { id = "0..2" }\nrun = "touch ran-{id}"\n')

    ended = project.run("job", "table", "--id", "2", *words)

    assert (ended.returncode, (tmp_path / "ran-2").exists()) == (0, True)


def test_preloaded_modules_are_there_for_python_m_jobs(tmp_path: Path) -> None:
    text = '[pipeline]\npreload = ["stock"]\n[jobs.work]\nrun = "python -m work"\n'
    project = Project(tmp_path, text)
    (tmp_path / "stock.py").write_text("")
    (tmp_path / "work.py").write_text("import sys; print('stock' in sys.modules, sys.argv)")

    project.run("all")

    assert (tmp_path / ".etl/runs/1/logs/work.1.log").read_text().startswith("True ['")
    assert (tmp_path / ".etl/keeper.log").read_text() == ""


def test_a_real_server_is_asked_to_notice_soon_that_a_job_is_gone(tmp_path: Path) -> None:
    project = Project(tmp_path, '[pipeline]\nwarehouse = true\n[jobs.show]\nrun = "env"\n')

    project.run("all", env=clean_env(DATABASE_URL="postgresql://nowhere/x", PGOPTIONS="-c work_mem=64MB"))

    log = (tmp_path / ".etl/runs/1/logs/show.1.log").read_text()
    assert "PGOPTIONS=-c work_mem=64MB -c client_connection_check_interval=1000\n" in log


PROGRAM = """#!/bin/sh
if [ "$1" = --version ]; then echo "postgres (PostgreSQL) 18.4"; exit; fi
touch {folder}/starting; exec sleep 60
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_the_embedded_server_starts_is_obeyed_at_once(open_folder: Path, number: signal.Signals) -> None:
    project = Project(open_folder, '[pipeline]\nwarehouse = true\n[jobs.a]\nrun = "touch ran"\n')
    open_folder.chmod(0o777)  # the server's account says by a file that it is starting
    programs = open_folder / "programs"
    programs.mkdir()
    for name in ("postgres", "initdb", "pg_isready", "psql", "pg_ctl"):
        (programs / name).write_text(PROGRAM.format(folder=open_folder))
        (programs / name).chmod(0o755)
    running = project.start("all", env=clean_env(ETL_PG_BIN=str(programs)))
    until(lambda: (open_folder / "starting").exists() or running.poll() is not None)

    running.send_signal(number)
    _, errors = running.communicate(timeout=20)

    assert running.returncode == -number, errors
    assert "Traceback" not in errors
    assert not (open_folder / "ran").exists()


def test_jobs_that_found_nothing_to_do_are_good_and_counted(tmp_path: Path) -> None:
    text = '[jobs.a]\nshell = true\nrun = "echo cached=true >> $ETL_OUTPUT"\n[jobs.b]\nrun = "true"\nneeds = "a"\n'

    ended = Project(tmp_path, text).run("all")

    assert "OK  2 ok (1 cached) · 0 failed · 0 skipped" in ended.stdout
    assert ended.returncode == 0
