"""etl-run job NAME --explain: what the job says is on the screen, and nothing has happened."""

# ruff: noqa: F401, F811
from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.cli import ETL_RUN, Project, clean_env
from tests.support.jobs import query, wait_for
from tests.support.servers import database, warehouse
from tests.support.terminals import Terminal

ROOT = Path(__file__).parents[1]
FILE = """
[pipeline]
name = "p"
secrets = ["PIN"]
[jobs.say]
run = "sh {tool} {{n}}"
explain = "--plan 'in short'"
matrix = {{ n = [1, 2] }}
env = {{ PIN = "hunter22" }}
[jobs.listed]
run = ["sh", "{tool}"]
explain = ["--plan", "all of it"]
[jobs.mute]
run = "true"
"""
TOOL = """
[ "$1" = --plan ] || [ "$2" = --plan ] || { touch done; exit 0; }
printf 'would %s;' "$@"; echo
echo "as $ETL_JOB${ETL_RUN_ID}${ETL_OUTPUT} with $PIN"
printf 'a\\033[31mb\\n'
echo "careful, $PIN" >&2
[ -e wait ] && { touch waiting; exec sleep 987; }
[ -e fail ] && exit 65
exit 0
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "tool").write_text(TOOL)
    return Project(tmp_path, FILE.format(tool=tmp_path / "tool"))


def test_what_the_job_says_is_on_stdout_and_it_is_no_run(project: Project) -> None:
    told = project.run("job", "say", "--n", "2", "--explain", env=clean_env(ETL_RUN_ID="7", ETL_OUTPUT="/nowhere"))

    assert told.returncode == 0
    assert told.stdout == "would 2;would --plan;would in short;\nas say-2 with ***\nab\n"
    assert told.stderr == "careful, ***\n"
    assert not (project.folder / "done").exists()
    assert json.loads(project.run("history", "-o", "json").stdout)["runs"] == []


def test_what_stands_behind_the_dashes_is_said_to_the_job_too(project: Project) -> None:
    told = project.run("job", "listed", "--explain", "-q", "--", "--fast")

    assert told.stdout.splitlines()[0] == "would --fast;would --plan;would all of it;"


def test_several_jobs_say_it_one_after_the_other(project: Project) -> None:
    told = project.run("job", "say", "--explain")

    assert [line for line in told.stdout.splitlines() if line.startswith("as ")] == [
        "as say-1 with ***",
        "as say-2 with ***",
    ]
    assert told.stderr.splitlines() == ["etl-run: say-1", "careful, ***", "etl-run: say-2", "careful, ***"]


def test_json_is_one_document(project: Project) -> None:
    (project.folder / "fail").touch()
    told = project.run("job", "say-1", "--explain", "-o", "json")

    document = json.loads(told.stdout)
    assert (told.returncode, told.stderr, document["version"]) == (65, "", 1)
    assert [(job["job"], job["exit"], job["errors"]) for job in document["jobs"]] == [("say-1", 65, "careful, ***\n")]
    assert document["jobs"][0]["output"].startswith("would 1;would --plan;")


def test_a_terminal_gets_no_control_characters(project: Project) -> None:
    command = [*ETL_RUN, "job", "say", "--n", "1", "--explain"]
    with Terminal(command, cwd=project.folder, env=clean_env()) as terminal:
        status = terminal.wait()

    assert (status, b"\nab\r\n" in terminal.screen) == (0, True), terminal.screen
    assert b"\033" not in terminal.screen


def test_it_can_be_asked_while_a_run_goes_on(project: Project) -> None:
    text = (project.folder / "etl.toml").read_text()
    (project.folder / "etl.toml").write_text(text + "[jobs.long]\nrun = \"sh -c 'touch began; sleep 987'\"\n")
    run = project.start("job", "long")
    try:
        wait_for((project.folder / "began").exists)
        assert project.run("job", "say", "--n", "1", "--explain").returncode == 0
    finally:
        run.terminate()
        run.communicate(timeout=30)


def test_a_job_that_cannot_say_is_not_run(project: Project) -> None:
    told = project.run("job", "mute", "--explain")

    assert (told.returncode, told.stdout) == (2, "")
    assert "'mute' cannot say what it would do" in told.stderr
    assert json.loads(project.run("history", "-o", "json").stdout)["runs"] == []


def test_a_signal_ends_the_job_that_was_asked(project: Project) -> None:
    (project.folder / "wait").touch()
    asking = project.start("job", "say", "--n", "1", "--explain")
    wait_for((project.folder / "waiting").exists)
    asking.terminate()
    asking.communicate(timeout=30)  # returns when nobody holds the pipes

    assert asking.returncode == -15
    sleeping = subprocess.run(["pgrep", "-g", str(asking.pid), "sleep"], capture_output=True, check=False)
    assert sleeping.stdout == b""


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("shell = true\nexplain = '-n'", "words behind a shell's text have no place in it"),
        ('explain = "\'-n"', "no closing quotation"),
        ("explain = true", "expected text or a list of texts"),
    ],
)
def test_words_that_cannot_be_said_are_a_problem_of_the_file(tmp_path: Path, line: str, said: str) -> None:
    told = Project(tmp_path, f'[jobs.a]\nrun = "true"\n{line}\n').run("check")

    assert (told.returncode, said in told.stdout + told.stderr) == (2, True), told.stdout + told.stderr


def test_the_sample_load_explains_a_table(database: str, tmp_path: Path) -> None:
    told = subprocess.run(
        [*ETL_RUN, "job", "table", "--id", "3", "--explain"],
        cwd=ROOT, env=clean_env(DATABASE_URL=database, ETL_HOME=str(tmp_path)), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert told.stdout.startswith('-- snapshot of sample users into "erp"."users", which does not exist\n')
    assert told.stdout.endswith("COMMIT;\n")
    assert told.stderr == ""
    assert query(database, "SELECT to_regnamespace('erp'), to_regnamespace('etl')") == [(None, None)]
