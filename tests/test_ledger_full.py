"""The disk of the ledger becomes full in the middle of a run: real runs on a small disk of their own."""

from __future__ import annotations

import json
import shlex
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.support.cli import ETL_RUN, clean_env

PIPELINE = """
[pipeline]
name = "demo"
[defaults]
shell = true
grace = "20s"
[jobs.first]
run = "true"
[jobs.fill]
needs = ["first"]
run = "until test -e up; do sleep 0.02; done; test -e cured || dd if=/dev/zero of=$ETL_HOME/filler bs=1024; exit 0"
[jobs.beside]
run = "trap 'WHEN_STOPPED; exit 1' TERM; touch up; test -e cured || {{ sleep 60 & wait; }}"
[jobs.after]
needs = ["fill"]
run = "touch ran-after"
[jobs.independent]
needs = ["beside"]
run = "touch ran-independent"
"""


def on_a_small_disk(folder: Path, *commands: str, when_stopped: str = "true") -> list[subprocess.CompletedProcess[str]]:
    """Run shell commands one after the other, with 2 MB for ETL_HOME; the ledger is copied to `copy` afterwards."""
    (folder / "etl.toml").write_text(PIPELINE.replace("WHEN_STOPPED", when_stopped))
    (folder / "disk").mkdir()
    lines = [f"mount -t tmpfs -o size=2m none {folder}/disk || exit 9"]
    for number, command in enumerate(commands):
        lines.append(f"{command} > out{number} 2> err{number}; echo $? > status{number}")
    lines.append("mkdir copy; cp disk/home/ledger.db* copy/")
    env = clean_env(ETL_HOME=str(folder / "disk/home"), E=shlex.join(ETL_RUN))
    subprocess.run(
        ["unshare", "-rm", "sh", "-c", "\n".join(lines)],
        cwd=folder, env=env, timeout=60, check=True, capture_output=True,
    )  # fmt: skip
    return [
        subprocess.CompletedProcess(
            command,
            int((folder / f"status{number}").read_text()),
            (folder / f"out{number}").read_text(),
            (folder / f"err{number}").read_text(),
        )
        for number, command in enumerate(commands)
    ]


def events(folder: Path, run: int) -> list[dict[str, Any]]:
    """The run's records in the copy, which must be whole and without holes."""
    with closing(sqlite3.connect(folder / "copy/ledger.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = connection.execute("SELECT seq, body FROM event WHERE run = ? ORDER BY seq", (run,)).fetchall()
    assert [seq for seq, _ in rows] == list(range(1, len(rows) + 1))
    return [json.loads(body) for _, body in rows]


def test_a_run_whose_ledger_is_full_starts_nothing_more_says_so_and_ends_with_1(tmp_path: Path) -> None:
    run, look = on_a_small_disk(tmp_path, "$E all", "$E history -o json")

    assert run.returncode == 1
    assert "the disk is full" in run.stderr
    assert "free some space" in run.stderr
    assert "nothing more can be remembered: stopping 1 job" in run.stderr
    assert "Traceback" not in run.stderr
    assert not list(tmp_path.glob("ran-*"))
    assert (look.returncode, json.loads(look.stdout)["runs"][0]["state"]) == (0, "lost")
    assert "job_finished" in {event["event"] for event in events(tmp_path, 1)}


def test_the_next_commands_work_as_soon_as_there_is_space(tmp_path: Path) -> None:
    free = "touch cured; rm disk/home/filler"

    _, _, again, look = on_a_small_disk(tmp_path, "$E all", free, "$E retry -q", "$E history -o json")

    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    runs = json.loads(look.stdout)["runs"]
    assert [(run["state"], run["retry_of"], run["jobs"]) for run in runs] == [("succeeded", 1, 4), ("lost", None, 5)]
    assert [events(tmp_path, run)[-1]["event"] == "run_finished" for run in (1, 2)] == [False, True]


def test_if_there_is_space_again_before_its_end_all_of_it_is_remembered(tmp_path: Path) -> None:
    run, look = on_a_small_disk(tmp_path, "$E all", "$E history -o json", when_stopped="rm $ETL_HOME/filler")

    assert (run.returncode, "the disk is full" in run.stderr) == (1, True)
    (seen,) = json.loads(look.stdout)["runs"]
    assert (seen["state"], seen["exit"]) == ("failed", 1)
    outcomes = {event["job"]: event["outcome"] for event in events(tmp_path, 1) if event["event"] == "job_finished"}
    assert outcomes == {
        "first": "succeeded", "fill": "succeeded", "beside": "cancelled", "after": "cancelled",
        "independent": "cancelled",
    }  # fmt: skip
