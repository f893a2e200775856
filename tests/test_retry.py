"""etl-run retry, as real processes: what is left of a run, and nothing else."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import Project, clean_env
from tests.support.ledgers import until

# Every job leaves a mark when it starts; the bad ones are good as soon as the file `cured` is there.
PIPELINE = """
[pipeline]
name = "demo"
[defaults]
shell = true
[phases]
load  = {}
final = { needs = ["load"] }
[jobs.table]
phase = "load"
matrix = { id = "0..3" }
run = "echo {id} >> ran-table-{id}; case {id} in 1) test -e cured;; 2) test -e cured || exec sleep 60;; esac"
timeout = "1s"
grace = "0.1s"
[jobs.cleanup]
phase = "load"
needs = ["table"]
when = "always"
run = "echo >> ran-cleanup"
[jobs.alarm]
phase = "load"
needs = ["table-0"]
when = "failure"
run = "echo >> ran-alarm"
[jobs.marts]
phase = "final"
run = "echo >> ran-marts; ls ran-table-1"
[jobs.report]
needs = ["marts"]
run = "echo >> ran-report"
"""


def ran(folder: Path) -> dict[str, int]:
    """How often each job was started."""
    return {path.name.removeprefix("ran-"): len(path.read_text().splitlines()) for path in folder.glob("ran-*")}


def outcomes(events: list[dict[str, Any]]) -> dict[str, str]:
    return {event["job"]: event["outcome"] for event in events if event["event"] == "job_finished"}


@pytest.fixture
def failed(tmp_path: Path) -> Project:
    """Run 1: a table failed, one timed out, what needs them was blocked."""
    project = Project(tmp_path, PIPELINE)
    assert outcomes(project.events("all")) == {
        "table-0": "succeeded", "table-1": "failed", "table-2": "timed-out", "table-3": "succeeded",
        "cleanup": "succeeded", "alarm": "skipped", "marts": "skipped", "report": "skipped",
    }  # fmt: skip
    for mark in tmp_path.glob("ran-*"):
        mark.unlink()
    (tmp_path / "cured").touch()
    return project


def test_what_failed_timed_out_or_was_blocked_is_run_again_and_nothing_else(failed: Project) -> None:
    events = failed.events("retry")

    assert outcomes(events) == dict.fromkeys(["table-1", "table-2", "marts", "report"], "succeeded")
    assert ran(failed.folder) == {"table-1": 1, "table-2": 1, "marts": 1, "report": 1}
    assert (events[0]["retry_of"], events[-1]["exit"]) == (1, 0)


def test_a_retry_may_have_other_workers_than_its_run(failed: Project) -> None:
    events = failed.events("retry", "--workers", "1")

    assert events[0]["workers"] == 1
    assert outcomes(events) == dict.fromkeys(["table-1", "table-2", "marts", "report"], "succeeded")


def test_needs_hold_also_over_jobs_that_are_done(tmp_path: Path) -> None:
    text = '[defaults]\nshell = true\n[jobs.load]\nrun = "test -e cured && sleep 0.3 && touch loaded"\n'
    text += '[jobs.cleanup]\nneeds = ["load"]\nwhen = "always"\nrun = "true"\n'
    project = Project(tmp_path, text + '[jobs.marts]\nneeds = ["cleanup"]\nrun = "test -e loaded"\n')
    assert outcomes(project.events("all")) == {"load": "failed", "cleanup": "succeeded", "marts": "failed"}
    (tmp_path / "cured").touch()

    events = project.events("retry")

    assert outcomes(events) == {"load": "succeeded", "marts": "succeeded"}


def test_after_a_good_run_nothing_is_left(failed: Project) -> None:
    failed.run("retry")

    again = failed.run("retry")

    assert (again.returncode, again.stdout) == (0, "")
    assert "nothing is left of run 2" in again.stderr
    assert len(json.loads(failed.run("history", "-o", "json").stdout)["runs"]) == 2


def test_a_retry_can_be_retried_and_the_chain_is_seen(failed: Project) -> None:
    (failed.folder / "cured").unlink()

    assert failed.run("retry").returncode == 1
    (failed.folder / "cured").touch()
    last = failed.events("retry")

    assert sorted(outcomes(last)) == ["marts", "report", "table-1", "table-2"]
    runs = json.loads(failed.run("history", "-o", "json").stdout)["runs"]
    assert [(run["run"], run["retry_of"], run["state"]) for run in runs] == [
        (3, 2, "succeeded"), (2, 1, "failed"), (1, None, "failed"),
    ]  # fmt: skip
    assert "retry of 2" in failed.run("history").stdout
    assert "retry of 2" in failed.run("show", "3").stdout


def test_an_earlier_run_can_be_named(failed: Project) -> None:
    failed.run("all", "--only", "alarm")

    events = failed.events("retry", "1")

    assert (events[0]["retry_of"], len(outcomes(events))) == (1, 4)


def test_from_also_runs_a_good_job_and_all_that_needs_it(failed: Project) -> None:
    failed.run("retry")

    events = failed.events("retry", "1", "--from", "table-0")

    assert sorted(outcomes(events)) == [
        "alarm", "cleanup", "marts", "report", "table-0", "table-1", "table-2",
    ]  # fmt: skip
    assert outcomes(events)["alarm"] == "skipped"  # it is for failures, and there was none


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--from", "marst"], "did you mean 'marts'?"),
        (["7"], "there is no run 7"),
        (["--profile", "dev"], "run 1 had no profile, not 'dev'"),
        (["x"], "'x'"),
    ],
)
def test_wrong_use_is_answered_with_2(failed: Project, words: list[str], message: str) -> None:
    with (failed.folder / "etl.toml").open("a") as file:
        file.write("[profiles.dev]\npipeline.workers = 2\n")

    ended = failed.run("retry", *(words if "--profile" not in words else ["1", *words]))

    assert (ended.returncode, message in ended.stderr) == (2, True)
    assert ran(failed.folder) == {}


def test_before_the_first_run_there_is_nothing_to_retry(tmp_path: Path) -> None:
    ended = Project(tmp_path, PIPELINE).run("retry")

    assert (ended.returncode, "there are no runs yet" in ended.stderr) == (2, True)


def test_a_dry_run_shows_what_would_be_run(failed: Project) -> None:
    plan = json.loads(failed.run("retry", "--dry-run", "-o", "json").stdout)

    assert [job["name"] for job in plan["jobs"]] == ["table-1", "table-2", "marts", "report"]
    assert ran(failed.folder) == {}


def test_the_recorded_plan_is_used_and_what_the_file_says_otherwise_is_told(failed: Project) -> None:
    text = PIPELINE.replace("ls ran-table-1", "touch new").replace('timeout = "1s"', 'timeout = "2s"')
    text = text.replace('[jobs.report]\nneeds = ["marts"]', "[jobs.report]\nneeds = []")
    (failed.folder / "etl.toml").write_text(text)

    ended = failed.run("retry")

    assert ended.returncode == 0
    assert "etl.toml now says otherwise than the plan of run 1, which is used: " in ended.stderr
    assert "table-1 (limits), table-2 (limits), marts (command), report (needs)\n" in ended.stderr
    assert not (failed.folder / "new").exists()


def test_what_the_command_line_said_is_no_change_of_the_file(tmp_path: Path) -> None:
    text = '[params]\nday = "1"\n[jobs.a]\nshell = true\nrun = "echo {day} $DAY; exit 1"\nenv = { DAY = "d{day}" }\n'
    project = Project(tmp_path, text)
    project.run("all", "--param", "day=7")

    ended = project.run("retry")

    assert (ended.returncode, "otherwise" in ended.stderr) == (1, False)
    assert (tmp_path / ".etl/runs/2/logs/a.1.log").read_text() == "7 d7\n"


def test_a_jobs_environment_is_that_of_the_file_and_of_its_profile(tmp_path: Path) -> None:
    text = '[jobs.a]\nshell = true\nrun = "echo $KEY; exit 1"\nenv = { KEY = "${SECRET}" }\n'
    project = Project(tmp_path, text + '[profiles.prod]\njobs.a.env = { KEY = "p-${SECRET}" }\n')
    project.run("all", "--profile", "prod", env=clean_env(SECRET="old"))

    ended = project.run("retry", env=clean_env(SECRET="new"))

    assert ended.returncode == 1
    assert (tmp_path / ".etl/runs/2/logs/a.1.log").read_text() == "p-new\n"
    assert json.loads(project.run("history", "-o", "json").stdout)["runs"][0]["profile"] == "prod"


def test_what_the_file_calls_secret_by_now_is_hidden(tmp_path: Path) -> None:
    text = '[pipeline]\nname = "p"\nenv = { PIN = "4711x" }\n[jobs.a]\nshell = true\nrun = "echo pin $PIN; exit 1"\n'
    project = Project(tmp_path, text)
    project.run("all")
    (tmp_path / "etl.toml").write_text(text.replace("env =", 'secrets = "PIN"\nenv ='))

    project.run("retry")

    logs = [(tmp_path / f".etl/runs/{run}/logs/a.1.log").read_text() for run in (1, 2)]
    assert logs == ["pin 4711x\n", "pin ***\n"]


def test_a_job_that_is_gone_is_run_as_recorded_unless_it_had_an_environment(tmp_path: Path) -> None:
    text = '[jobs.a]\nrun = "false"\n[jobs.b]\nrun = "false"\n'
    project = Project(tmp_path, text + 'env = { KEY = "1" }\n[jobs.c]\nrun = "true"\n')
    project.run("all")
    project.run("all", "--only", "a")
    (tmp_path / "etl.toml").write_text('[jobs.c]\nrun = "true"\n')

    with_environment, without = project.run("retry", "1"), project.run("retry", "2")

    assert with_environment.returncode == 2
    assert "no job 'b' any more" in with_environment.stderr
    assert "put it back" in with_environment.stderr
    assert (without.returncode, "a (gone)" in without.stderr) == (1, True)


def test_a_run_of_another_pipeline_is_not_run_with_this_file(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "y").mkdir()
    env = clean_env(ETL_HOME=str(tmp_path / "home"))
    other = Project(tmp_path / "x", '[pipeline]\nname = "other"\n[jobs.a]\nrun = "false"\n')
    ours = Project(tmp_path / "y", '[pipeline]\nname = "ours"\n[jobs.a]\nrun = "false"\n')
    ours.run("all", env=env)
    other.run("all", env=env)

    named, last = ours.run("retry", "2", env=env), ours.run("retry", "-o", "json", env=env)

    assert (named.returncode, "run 2 is of the pipeline 'other'" in named.stderr) == (2, True)
    assert json.loads(last.stdout.splitlines()[0])["retry_of"] == 1


def test_an_interrupted_run_is_gone_on_with(tmp_path: Path) -> None:
    text = '[jobs.first]\nrun = "true"\n[jobs.long]\nneeds = ["first"]\nshell = true\n'
    text += 'run = "touch up; test -e cured || exec sleep 60"\n'
    project = Project(tmp_path, text + '[jobs.after]\nneeds = ["long"]\nrun = "true"\n')
    running = project.start("all")
    until((tmp_path / "up").exists)
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=30)
    (tmp_path / "cured").touch()

    events = project.events("retry")

    assert outcomes(events) == {"long": "succeeded", "after": "succeeded"}


# Nobody reads what these print once the runner is dead, and a shell that says "Terminated" would be killed by that.
LOST = """
[defaults]
shell = true
grace = "20s"
[jobs.done]
run = "true"
[jobs.early]
run = "exec 2>&-; trap 'touch asked' TERM; touch up-early; until test -e go; do sleep 0.05; done"
[jobs.stopped]
run = "trap 'exit 0' TERM; touch up-stopped; until test -e cured; do sleep 0.05; done"
[jobs.quick]
run = "exit 0"
needs = ["early", "stopped"]
"""


def test_while_the_jobs_of_a_killed_run_are_being_stopped_a_retry_ends_with_75(tmp_path: Path) -> None:
    project = killed(tmp_path)

    refused, shown = project.run("retry"), project.run("show").stdout
    (tmp_path / "cured").touch()
    (tmp_path / "go").touch()
    until(lambda: project.run("retry").returncode != 75)

    assert refused.returncode == 75
    assert "run 1 of " in refused.stderr
    assert "was killed, and its jobs are still being stopped" in refused.stderr
    assert "its runner is dead: what it started is being stopped" in shown


def test_of_a_killed_run_what_was_asked_to_stop_is_run_again(tmp_path: Path) -> None:
    project = killed(tmp_path)
    (tmp_path / "go").touch()
    (tmp_path / "cured").touch()

    events = project.events("retry", "--if-running", "wait")

    # Both exited with 0, but not by themselves: nobody knows what they left out.
    assert outcomes(events) == dict.fromkeys(["early", "stopped", "quick"], "succeeded")
    assert events[0]["retry_of"] == 1


def test_a_job_that_ended_well_after_its_runner_was_killed_is_not_run_again(tmp_path: Path) -> None:
    """The shim is held still until the runner is dead and the job is over, so it sees the end before the break."""
    text = '[jobs.a]\nshell = true\nrun = "echo >> ran-a; echo $PPID > shim; until test -e go; do sleep 0.02; done"\n'
    text += '[jobs.b]\nneeds = ["a"]\nrun = "touch ran-b"\n'
    project = Project(tmp_path, text)
    running = project.start("all")
    until(lambda: (tmp_path / "shim").exists() and (tmp_path / "shim").read_text() != "")
    shim = int((tmp_path / "shim").read_text())
    (job,) = Path(f"/proc/{shim}/task/{shim}/children").read_text().split()
    os.kill(shim, signal.SIGSTOP)
    (tmp_path / "go").touch()
    until(lambda: Path(f"/proc/{job}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z")
    running.kill()
    running.communicate(timeout=30)
    os.kill(shim, signal.SIGCONT)

    ended = project.run("retry", "--if-running", "wait")

    assert ended.returncode == 0
    assert "a ended well after the run was lost: not run again" in ended.stderr
    assert ran(tmp_path) == {"a": 1, "b": 0}
    lost = json.loads(project.run("show", "1", "-o", "json").stdout)
    assert (lost["run"]["counts"], [job["state"] for job in lost["jobs"]]) == (
        {"succeeded": 1, "lost": 1},
        ["succeeded", "lost"],
    )


def killed(folder: Path) -> Project:
    """A run whose runner was killed; its jobs are being stopped, and one of them takes its time."""
    project = Project(folder, LOST)
    running = project.start("all")
    until(lambda: (folder / "up-early").exists() and (folder / "up-stopped").exists())
    until(lambda: "done" in project.run("show", "-o", "json").stdout)
    running.kill()
    running.communicate(timeout=30)
    until((folder / "asked").exists)
    return project


def test_a_run_that_is_going_on_is_not_retried(tmp_path: Path) -> None:
    project = Project(tmp_path, '[jobs.a]\nshell = true\nrun = "touch up; exec sleep 60"\n')
    running = project.start("all")
    until((tmp_path / "up").exists)

    ended = project.run("retry", "1")
    running.terminate()
    running.communicate(timeout=30)

    assert (ended.returncode, "run 1 of " in ended.stderr) == (75, True)
    assert "is going on" in ended.stderr
