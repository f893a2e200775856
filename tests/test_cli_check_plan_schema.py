"""etl-run check, plan and schema, as commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from textwrap import dedent

import pytest

from etl_runner.events import AttemptExited, AttemptStarted, JobFinished, Record, RunFinished, RunStarted
from etl_runner.ledger import Ledger
from etl_runner.model import Outcome, Plan, RunStatus
from etl_runner.paths import Home
from etl_runner.pipeline import read_pipeline

GOOD = """\
[pipeline]
name = "warehouse"
workers = 2
[params]
day = "monday"
[phases]
sub = {}
final = { needs = ["sub"] }
[jobs.table]
phase = "sub"
run = "echo {id} {day}"
matrix = { id = "0..3" }
tags = ["t"]
[jobs.final]
phase = "final"
run = "echo done"
[profiles.prod]
pipeline.workers = 7
"""
BAD = """\
[jobs.a]
cmd = "x"
needs = ["b"]
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "etl.toml").write_text(GOOD, encoding="utf-8")
    yield tmp_path


def etl_run(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """The command, as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "etl_runner", *arguments],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "PYTHONUTF8": "1",
            **env,
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def test_check_says_how_much_there_is(project: Path) -> None:
    done = etl_run(project, "check")

    assert (done.returncode, done.stdout, done.stderr) == (0, "ok: 5 jobs, 2 phases\n", "")
    assert etl_run(project, "check", "-q").stdout == ""


def test_check_shows_every_problem_on_stderr_and_exits_2(project: Path) -> None:
    (project / "etl.toml").write_text(BAD, encoding="utf-8")

    done = etl_run(project, "check")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == dedent("""\
        etl.toml:2:1: jobs.a: unknown key 'cmd'
            2 │ cmd = "x"
              │ ^^^ did you mean 'run'?

        etl.toml:3:10: jobs.a.needs.0: no phase or job called 'b'
            3 │ needs = ["b"]
              │          ^^^

        2 problems in etl.toml
        """)


def test_check_as_json_is_one_document(project: Path) -> None:
    good = json.loads(etl_run(project, "check", "-o", "json").stdout)
    (project / "etl.toml").write_text(BAD, encoding="utf-8")
    done = etl_run(project, "check", "-o", "json")

    assert good == {"version": 1, "ok": True, "problems": [], "warnings": [], "jobs": 5, "phases": 2}
    assert done.returncode == 2
    assert json.loads(done.stdout)["problems"][0] == {
        "file": "etl.toml",
        "line": 2,
        "col": 1,
        "width": 3,
        "key": "jobs.a",
        "message": "unknown key 'cmd'",
        "suggestion": "did you mean 'run'?",
        "text": 'cmd = "x"',
    }


def test_check_warns_of_programs_that_are_not_there(project: Path) -> None:
    (project / "tool").write_text("#!/bin/sh\n", encoding="utf-8")
    (project / "tool").chmod(0o755)
    (project / "etl.toml").write_text(
        "[jobs.a]\nrun = 'no-such-program x'\n[jobs.b]\nrun = './tool'\n[jobs.c]\nrun = './gone'\n", encoding="utf-8"
    )

    done = etl_run(project, "check")

    assert (done.returncode, done.stdout) == (0, "ok: 3 jobs, 0 phases\n")
    assert done.stderr.splitlines() == [
        "warning: etl.toml: jobs.a.run: no program 'no-such-program' found",
        "warning: etl.toml: jobs.c.run: no program './gone' found",
    ]


def test_check_warns_of_folders_that_are_not_there(project: Path) -> None:
    (project / "in").mkdir()
    (project / "etl.toml").write_text(
        "[jobs.a]\nrun = 'true'\ncwd = 'in'\n[jobs.b]\nrun = 'true'\ncwd = 'in/{day}'\nmatrix = { day = ['x', 'y'] }\n"
        "[jobs.c]\nrun = 'true'\ncwd = 'in/x'\n",
        encoding="utf-8",
    )

    done = etl_run(project, "check")

    assert (done.returncode, done.stdout) == (0, "ok: 4 jobs, 0 phases\n")
    assert done.stderr.splitlines() == [
        "warning: etl.toml: jobs.b.cwd: no folder 'in/x', 'in/y'",
        "warning: etl.toml: jobs.c.cwd: no folder 'in/x'",
    ]


def test_check_runs_matrix_commands_and_reads_env_files_in_the_project(project: Path) -> None:
    (project / "in").mkdir()
    for name in ("a.csv", "b.csv"):
        (project / "in" / name).touch()
    (project / ".env").write_text("GREETING=hello\n", encoding="utf-8")
    (project / "etl.toml").write_text(
        "[jobs.a]\nrun = 'echo ${GREETING} {f}'\nenv_file = '.env'\nmatrix = { f = { command = 'ls in' } }\n",
        encoding="utf-8",
    )

    plan = json.loads(etl_run(project, "plan", "-o", "json").stdout)

    assert [job["argv"] for job in plan["jobs"]] == [["echo", "hello", "a.csv"], ["echo", "hello", "b.csv"]]


@pytest.mark.parametrize(
    ("form", "begin"), [("tree", "warehouse   5 jobs"), ("mermaid", "flowchart LR"), ("dot", "digraph")]
)
def test_plan_draws_in_every_form(project: Path, form: str, begin: str) -> None:
    done = etl_run(project, "plan", "--format", form)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(begin)


def test_plan_takes_the_options_of_a_run(project: Path) -> None:
    done = etl_run(
        project, "plan", "--only", "t", "--skip", "table-1", "-w", "3", "--param", "day=friday", "--timeout", "1m",
        "--profile", "prod", "-o", "json",
    )  # fmt: skip

    plan = json.loads(done.stdout)
    assert [job["argv"] for job in plan["jobs"]] == [["echo", i, "friday"] for i in "023"]
    assert (plan["workers"], plan["profile"], plan["jobs"][0]["timeout"], plan["forecast"]) == (3, "prod", 60.0, None)


def test_plan_without_history_has_no_forecast_and_leaves_no_trace(project: Path) -> None:
    done = etl_run(project, "plan")

    assert "Expected" not in done.stdout
    assert [path.name for path in project.iterdir()] == ["etl.toml"]


def test_plan_forecasts_from_the_last_runs(project: Path) -> None:
    plan = read_pipeline(GOOD, path="etl.toml", root=str(project), env={}).plan()
    _remember(Home(project / ".etl"), plan, seconds=10.0)

    done = etl_run(project, "plan")

    assert "~10s each" in done.stdout
    assert done.stdout.endswith(
        "\n\nExpected ~30s with 2 workers, never below 20s\n(table-0 → final). From the last runs.\n"
    )
    assert json.loads(etl_run(project, "plan", "-o", "json").stdout)["forecast"]["path"] == ["table-0", "final"]


def test_plan_is_ascii_where_the_terminal_knows_no_more(project: Path) -> None:
    done = etl_run(project, "plan", PYTHONUTF8="0", PYTHONIOENCODING="latin-1")

    assert done.returncode == 0
    assert done.stdout.isascii()


def test_plan_of_a_schedule_says_when_it_starts_next(project: Path) -> None:
    (project / "etl.toml").write_text(
        "[pipeline]\nschedule = '0 3 * * *'\ntimezone = 'UTC'\n[jobs.a]\nrun = 'true'\n", encoding="utf-8"
    )

    assert "03:00 UTC (At 03:00 every day)" in etl_run(project, "plan").stdout


def test_plan_refuses_what_does_not_exist(project: Path) -> None:
    done = etl_run(project, "plan", "--only", "tabel")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "etl-run: no job, phase or tag called 'tabel'\n  did you mean 'table'?\n"


@pytest.mark.parametrize("command", ["plan", "check", "schema"])
def test_nothing_heavy_is_imported(project: Path, command: str) -> None:
    code = (
        "import sys\nfrom etl_runner.cli.main import cli\n"
        f"cli.main([{command!r}], standalone_mode=False)\n"
        "print([m for m in ('rich', 'psycopg', 'asyncio', 'difflib', 'cronsim', 'zoneinfo') if m in sys.modules],"
        " file=sys.stderr)"
    )

    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True)

    assert done.stderr.strip().splitlines()[-1] == "[]"


def test_schema_prints_json_schema(tmp_path: Path) -> None:
    done = etl_run(tmp_path, "schema")

    assert done.returncode == 0
    assert json.loads(done.stdout)["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def _remember(home: Home, plan: Plan, *, seconds: float) -> None:
    """One good run in the ledger, every job having taken these seconds."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    with Ledger.open(home.ledger) as ledger:
        run = ledger.begin(plan, at)
        started = RunStarted(
            pipeline=plan.pipeline, profile="", workers=2, jobs=len(plan.jobs), by="me", command=(), config="", pid=1
        )
        ended = RunFinished(status=RunStatus.SUCCEEDED, exit=0, seconds=1.0, counts={"succeeded": len(plan.jobs)})
        events = [started]
        for job in plan.jobs:
            events += [
                AttemptStarted(job=job.name, attempt=1, pid=2),
                AttemptExited(job=job.name, attempt=1, seconds=seconds, exit=0),
                JobFinished(
                    job=job.name, phase=job.phase, attempt=1, outcome=Outcome.SUCCEEDED, seconds=seconds, exit=0
                ),
            ]
        records = [Record(run=run, seq=seq, at=at, event=event) for seq, event in enumerate([*events, ended], start=1)]
        ledger.append(records, durable=True)
