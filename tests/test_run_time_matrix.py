"""A matrix from what another job reports: real runs, their retries, what is shown of them, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import Project, clean_env
from tests.support.files import problems_of
from tests.support.ledgers import until

# The tables are the lines of the file `tables`; a table is bad while there is a file bad-TABLE.
PIPELINE = """
[pipeline]
name = "demo"
workers = 3
[phases]
pre   = {}
sub   = { needs = ["pre"] }
final = { needs = ["sub"] }
[jobs.find]
phase = "pre"
run = ["python3", "find.py"]
[jobs.load]
phase = "sub"
matrix = { table = { job = "find", output = "tables" } }
shell = true
env = { TABLE = "{table}" }
run = 'echo {table} >> "ran-$ETL_JOB"; test {table} = "$TABLE"; test ! -e bad-{table}'
[jobs.cleanup]
phase = "sub"
needs = ["load"]
when = "always"
run = "true"
[jobs.final]
phase = "final"
run = "true"
"""
FIND = """
from etl_runner.job import report
report(tables=open("tables").read().splitlines(), rows=3)
"""


def outcomes(events: list[dict[str, Any]]) -> dict[str, str]:
    return {event["job"]: event["outcome"] for event in events if event["event"] == "job_finished"}


def good(*jobs: str) -> dict[str, str]:
    return dict.fromkeys(jobs, "succeeded")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "find.py").write_text(FIND)
    (tmp_path / "tables").write_text("a\nit's b\n7\n")
    return Project(tmp_path, PIPELINE)


def test_every_reported_value_is_a_job_with_its_value_in_command_and_environment(project: Project) -> None:
    events = project.events("all")

    assert outcomes(events) == good("find", "load-a", "load-it_s_b", "load-7", "cleanup", "final")
    assert (project.folder / "ran-load-it_s_b").read_text() == "it's b\n"
    (known,) = [event for event in events if event["event"] == "job_expanded"]
    assert [copy["params"] for copy in known["copies"]] == [{"table": "a"}, {"table": "it's b"}, {"table": "7"}]
    order = [event.get("job") for event in events if event["event"] in ("job_finished", "job_expanded")]
    assert order.index("find") < order.index("load") < order.index("load-a") < order.index("cleanup")


def test_secrets_with_braces_are_hidden_in_what_the_copies_print(project: Project) -> None:
    text = PIPELINE.replace("shell = true", 'shell = true\nenv_file = "secrets"').replace(
        "run = 'echo", "run = 'echo $PASSWORD; echo"
    )
    (project.folder / "etl.toml").write_text(text)
    (project.folder / "secrets").write_text("PASSWORD='se{cr}et99'\n")
    project.events("all")

    assert project.run("logs", "load-a").stdout == "***\n"


def test_other_values_of_a_matrix_are_combined_with_them(tmp_path: Path) -> None:
    (tmp_path / "find.py").write_text(FIND)
    (tmp_path / "tables").write_text("a\nb\n")
    matrix = '{ mode = "0..1", table = { job = "find", output = "tables" } }'
    text = PIPELINE.replace('{ table = { job = "find", output = "tables" } }', matrix)

    events = Project(tmp_path, text).events("all")

    assert {"load-0-a", "load-0-b", "load-1-a", "load-1-b"} < outcomes(events).keys()


def test_show_logs_and_history_know_the_copies(project: Project) -> None:
    project.events("all")

    shown = json.loads(project.run("show", "-o", "json").stdout)
    assert [job["job"] for job in shown["jobs"]] == ["find", "load-a", "load-it_s_b", "load-7", "cleanup", "final"]
    assert shown["run"]["jobs"] == 6
    assert {job["template"] for job in shown["jobs"]} == {"find", "load", "cleanup", "final"}
    assert project.run("logs", "load-a").returncode == 0
    past = json.loads(project.run("history", "load", "-o", "json").stdout)
    assert {job["job"] for job in past["jobs"]} == {"load-a", "load-it_s_b", "load-7"}
    assert "3 jobs" in project.run("all").stderr


@pytest.mark.parametrize("name", ["load", "lo*d"])
def test_logs_are_followed_from_before_the_copies_are_known(project: Project, name: str) -> None:
    wait = "import os, time\nopen('looking', 'w')\nwhile not os.path.exists('go'): time.sleep(0.01)\n"
    (project.folder / "find.py").write_text(wait + FIND)
    text = PIPELINE.replace("run = 'echo", "run = 'echo hello from {table}; echo")
    (project.folder / "etl.toml").write_text(text)
    run = project.start("all")
    until((project.folder / "looking").exists)
    follower = project.start("logs", name, "-f")
    assert follower.stderr is not None
    assert follower.stderr.readline() == "waiting for load to start\n"

    (project.folder / "go").touch()

    said, _ = follower.communicate(timeout=30)
    run.communicate(timeout=30)
    assert sorted(line.split(" ", 1)[1].split(maxsplit=1)[1] for line in said.splitlines()) == [
        "hello from 7", "hello from a", "hello from it's b",
    ]  # fmt: skip


def test_only_the_copy_that_failed_is_run_again(project: Project) -> None:
    (project.folder / "bad-7").touch()
    assert outcomes(project.events("all")) == {
        **good("find", "load-a", "load-it_s_b", "cleanup"), "load-7": "failed", "final": "skipped",
    }  # fmt: skip
    (project.folder / "bad-7").unlink()

    assert outcomes(project.events("retry")) == good("load-7", "final")
    assert (project.folder / "ran-load-a").read_text() == "a\n"


def test_a_job_whose_values_could_not_be_used_asks_for_them_again(project: Project) -> None:
    (project.folder / "tables").write_text("a\na\n")
    events = project.events("all")
    assert outcomes(events) == {**good("find", "cleanup"), "load": "failed", "final": "skipped"}
    reasons = [event["reason"] for event in events if event.get("job") == "load" and "reason" in event]
    assert reasons == ["table from find: 'a' stands there twice"]
    (project.folder / "tables").write_text("a\nb\n")

    again = project.run("retry", "-o", "json")

    assert outcomes([json.loads(line) for line in again.stdout.splitlines()]) == good(
        "find", "load-a", "load-b", "final"
    )
    assert "find: runs again to say what there is to do" in again.stderr


def test_a_retry_from_the_source_takes_what_it_says_now(project: Project) -> None:
    project.events("all")
    (project.folder / "tables").write_text("a\nnew\n")

    assert outcomes(project.events("retry", "--from", "find")) == good("find", "load-a", "load-new", "cleanup", "final")


def test_a_retry_finds_the_environment_of_copies_in_the_file(project: Project) -> None:
    (project.folder / "bad-a").touch()
    project.events("all")
    (project.folder / "bad-a").unlink()

    assert outcomes(project.events("retry"))["load-a"] == "succeeded"  # it tests $TABLE


def test_a_retry_of_a_retry_still_knows_what_the_copies_are(project: Project) -> None:
    (project.folder / "bad-7").touch()
    project.events("all")
    assert outcomes(project.events("retry")) == {"load-7": "failed", "final": "skipped"}
    (project.folder / "bad-7").unlink()

    again = project.run("retry", "-o", "json")

    assert outcomes([json.loads(line) for line in again.stdout.splitlines()]) == good("load-7", "final")
    assert again.stderr == ""  # nothing is said to be otherwise in the file


def test_a_job_run_by_its_value_can_be_retried(project: Project) -> None:
    (project.folder / "bad-7").touch()
    project.events("job", "load", "--table", "7")
    (project.folder / "bad-7").unlink()

    assert outcomes(project.events("retry")) == good("load-7")


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("", "table from find: it wrote no 'tables' to its ETL_OUTPUT"),
        ('{"tables": [1.5]}', "table from find: 1.5 is no text or whole number"),
        ('{"tables": [true]}', "table from find: true is no text or whole number"),
        ('{"tables": {"a": 1}}', 'table from find: {"a": 1} is no text or whole number'),
        ('{"tables": ["a", ""]}', "table from find: a value is empty"),
        (
            '{"tables": ["a/b", "a?b", "a_b-c14cddc0"]}',
            "a/b and a_b-c14cddc0 give the same name 'load-a_b-c14cddc0'",
        ),
        ('{"tables": ["\\\\u0000"]}', "table from find: no text can hold a NUL character"),
        ('{"tables": ["\\\\udcff"]}', "table from find: '\\udcff' cannot be written as UTF-8"),
    ],
)
def test_values_that_make_no_jobs_fail_the_job_that_wants_them(tmp_path: Path, written: str, reason: str) -> None:
    (tmp_path / "find.py").write_text(f"import os\nopen(os.environ['ETL_OUTPUT'], 'a').write('{written}\\n')\n")

    events = Project(tmp_path, PIPELINE).events("all")

    (end,) = [event for event in events if event["event"] == "job_finished" and event["job"] == "load"]
    assert (end["outcome"], end["reason"]) == ("failed", reason)
    assert events[-1]["exit"] == 1


@pytest.mark.parametrize(
    ("find", "reason"),
    [
        ("os.mkdir(os.environ['ETL_OUTPUT'])", "its ETL_OUTPUT cannot be read: Is a directory"),
        (
            "open(os.environ['ETL_OUTPUT'], 'wb').write(b'{\"tables\": [\"\\xff\"]}')",
            "'\\udcff' cannot be written as UTF-8",
        ),
    ],
)
def test_values_that_cannot_be_read_fail_the_job_that_wants_them(project: Project, find: str, reason: str) -> None:
    (project.folder / "find.py").write_text(f"import os\n{find}\n")

    events = project.events("all")

    assert outcomes(events) == {**good("find", "cleanup"), "load": "failed", "final": "skipped"}
    reasons = [event["reason"] for event in events if event.get("job") == "load" and "reason" in event]
    assert reasons == [f"table from find: {reason}"]


def test_a_value_that_makes_no_job_is_seen_on_80_columns(tmp_path: Path) -> None:
    (tmp_path / "find.py").write_text(
        FIND.replace('open("tables").read().splitlines()', "[{'schema': 'sales', 'name': 'o'}]")
    )

    ended = Project(tmp_path, PIPELINE).run("all", env=clean_env(COLUMNS="80"))

    assert 'table from find: {"schema": "s… is no text or whole number' in ended.stdout
    assert '{"schema": "s…' in ended.stderr


def test_what_stands_between_two_values_may_be_called_as_one(tmp_path: Path) -> None:
    (tmp_path / "find.py").write_text(FIND)
    (tmp_path / "tables").write_text("a\n")
    matrix = '{ table = { job = "find", output = "tables" }, schema = ["s"] }'
    text = PIPELINE.replace('{ table = { job = "find", output = "tables" } }', matrix)
    text = text.replace("run = 'echo", "run = 'echo {schema}table{table} > said; echo")

    Project(tmp_path, text).events("all")

    assert (tmp_path / "said").read_text() == "stablea\n"


def test_no_values_are_nothing_to_do_and_one_value_needs_no_list(project: Project) -> None:
    (project.folder / "tables").write_text("")
    assert outcomes(project.events("all")) == {**good("find", "cleanup", "final"), "load": "skipped"}

    (project.folder / "find.py").write_text("from etl_runner.job import report\nreport(tables='a')\n")
    assert outcomes(project.events("all")) == good("find", "load-a", "cleanup", "final")


def test_what_depends_on_a_source_that_failed_is_blocked(project: Project) -> None:
    (project.folder / "tables").unlink()

    assert outcomes(project.events("all")) == {
        "find": "failed", "load": "skipped", "cleanup": "succeeded", "final": "skipped",
    }  # fmt: skip


def test_copies_of_a_killed_run_are_lost_and_run_again(project: Project) -> None:
    (project.folder / "etl.toml").write_text(
        PIPELINE.replace("run = 'echo", "run = 'touch started-{table}; test -e go || sleep 60; echo")
    )
    killed = project.start("all")
    until(lambda: len(list(project.folder.glob("started-*"))) == 3)
    killed.kill()
    killed.communicate(timeout=30)
    (project.folder / "go").touch()

    shown = json.loads(project.run("show", "1", "-o", "json").stdout)
    assert {job["job"] for job in shown["jobs"]} >= {"load-a", "load-it_s_b", "load-7"}
    assert shown["run"]["counts"] == {"succeeded": 1, "lost": 5}
    again = project.events("retry", "1", "--if-running", "wait")
    assert outcomes(again) == good("load-a", "load-it_s_b", "load-7", "cleanup", "final")


def test_a_single_copy_is_run_by_its_value(project: Project) -> None:
    events = project.events("job", "load", "--table", "a")
    assert outcomes(events) == good("load-a")

    refused = project.run("job", "load")
    assert refused.returncode == 2
    assert refused.stderr == (
        "etl-run: 'load' gets its values from find during a run\n"
        "  say which: --table …; or run both: etl-run all --only +load\n"
    )


@pytest.mark.parametrize(
    ("values", "reason"),
    [(["a", "a"], "'a' stands there twice"), ([""], "a value is empty"), (["x" * 200], "is longer than 200 bytes")],
)
def test_values_on_the_command_line_are_looked_at_like_reported_ones(
    project: Project, values: list[str], reason: str
) -> None:
    refused = project.run("job", "load", *(word for value in values for word in ("--table", value)))

    assert refused.returncode == 2
    assert reason in refused.stderr


def test_a_value_that_gives_the_name_of_another_job_is_refused(project: Project) -> None:
    (project.folder / "etl.toml").write_text(PIPELINE + '[jobs.load-a]\nrun = "true"\n')

    refused = project.run("job", "load", "--table", "a")

    assert (refused.returncode, refused.stderr) == (2, "etl-run: there is already a job 'load-a'\n")


def test_a_selection_without_the_source_is_refused(project: Project) -> None:
    refused = project.run("all", "--only", "load")

    assert refused.returncode == 2
    assert "'find' is left out, which says what 'load' stands for" in refused.stderr
    assert outcomes(project.events("all", "--only", "+load")) == good("find", "load-a", "load-it_s_b", "load-7")
    assert project.run("backfill", "load", "--from", "2026-01-01", "--to", "2026-01-02").returncode == 2


def test_the_plan_says_where_the_values_come_from(project: Project) -> None:
    drawn = project.run("plan").stdout

    assert "load-{table}" in drawn
    assert "one for each value from find" in drawn


def test_the_forecast_counts_on_the_copies_of_last_time(project: Project) -> None:
    (project.folder / "etl.toml").write_text(PIPELINE.replace("run = 'echo", "run = 'sleep 0.2; echo"))
    project.events("all")

    document = json.loads(project.run("plan", "-w", "1", "-o", "json").stdout)

    assert document["forecast"]["seconds_by_workers"]["1"] > 0.6
    assert document["forecast"]["unknown_jobs"] == 0


def test_the_forecast_leaves_out_a_copy_whose_name_another_job_has_by_now(project: Project) -> None:
    project.events("all")
    (project.folder / "etl.toml").write_text(PIPELINE + '[jobs.load-a]\nrun = "true"\n')

    planned = project.run("plan", "-o", "json")

    assert planned.stderr == ""
    assert json.loads(planned.stdout)["forecast"]["unknown_jobs"] == 0


SOURCE = """
[jobs.find]
run = "true"
[jobs.more]
matrix = {{ id = "0..1" }}
run = "true"
[jobs.one]
matrix = {{ id = "7..7" }}
run = "true"
[jobs.load]
matrix = {matrix}
run = "echo {{table}}"
needs = [{needs}]
"""


@pytest.mark.parametrize(
    ("matrix", "needs", "said"),
    [
        ('{ table = { job = "fnd", output = "x" } }', "", "no phase or job called 'fnd'|did you mean 'find'?"),
        ('{ table = { job = "more", output = "x" } }', "", "'more' stands for more than one job|name one job"),
        ('{ table = { job = "one", output = "x" } }', "", "'one' is not the job's own name|write 'one-7'"),
        ('{ table = { job = "load", output = "x" } }', "", "'load' stands for more than one job|name one job"),
        ('{ table = { job = "find" } }', "", 'expected { command = "…" } or { job = "…", output = "…" }|'),
        ('{ table = { job = "find", output = "x", command = "ls" } }', "", 'expected { command = "…" } or {|'),
        (
            '{ table = { job = "find", output = "x" } }',
            '"more-{table}"',
            "'table' is known only during|need the",
        ),
        ('{ table = { job = "find", output = "x" } }', '"load-a"', "no phase or job called 'load-a'|known only"),
    ],
)
def test_a_source_that_cannot_be_one_is_a_problem_of_the_file(matrix: str, needs: str, said: str) -> None:
    message, cure = said.split("|")

    (problem,) = problems_of(SOURCE.format(matrix=matrix, needs=needs))

    assert message in problem
    assert cure in problem


def test_a_job_that_fail_fast_cancels_before_its_copies_are_heard_of_has_none(project: Project) -> None:
    lost = '[jobs.lost]\nphase = "sub"\nmatrix = { n = { job = "find", output = "nothing" } }\nrun = "true"\n'
    text = PIPELINE.replace("workers = 3", "workers = 3\nfail_fast = true").replace("[jobs.load]", f"{lost}[jobs.load]")
    (project.folder / "etl.toml").write_text(text)

    events = project.events("all")

    ends = outcomes(events)
    assert (ends["lost"], ends["load"]) == ("failed", "cancelled")
    assert [event["job"] for event in events if event["event"] == "job_expanded"] == ["lost"]
    shown = json.loads(project.run("show", "-o", "json").stdout)
    assert {job["job"]: job["state"] for job in shown["jobs"]} == ends
