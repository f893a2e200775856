"""What happens at a bad moment: a Ctrl+C while starting, a stopped runner, a second run, a first process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.namespace import NAMESPACE, ROOT, play, write_pipeline
from tests.support.cli import ETL_RUN, clean_env

WAIT = "touch up; until [ -e go ]; do sleep 0.02; done"
MILLISECONDS = range(0, 320, 10)


@pytest.mark.parametrize("part", range(4))
def test_an_early_ctrl_c_ends_by_its_signal_without_a_traceback(tmp_path: Path, part: int) -> None:
    write_pipeline(tmp_path, {"job": "exec sleep 1000"})

    seen = play(tmp_path, "interrupted early", after=[number / 1000 for number in MILLISECONDS[part::4]])

    ours = [(status, errors) for status, errors in seen["runs"] if not is_of_the_interpreter(errors)]
    assert seen["survivors"] == []
    assert len(ours) >= len(seen["runs"]) - 2
    assert {status for status, _ in ours} == {-signal.SIGINT}
    assert [errors for _, errors in ours if "Traceback" in errors] == []
    assert set(seen["remembered"]) <= {"cancelled"}  # who came too early to be remembered did nothing


def test_a_ctrl_c_while_a_run_begins_cancels_it(tmp_path: Path) -> None:
    write_pipeline(tmp_path, {"job": "exec sleep 1000"})

    seen = play(tmp_path, "interrupted at birth", rounds=5)

    assert seen == {"statuses": [-signal.SIGINT] * 5, "remembered": ["cancelled"] * 5, "survivors": []}


def is_of_the_interpreter(errors: str) -> bool:
    """Whether a Ctrl+C came so early that no line of ours was executed yet: what Python then prints is its own."""
    return "KeyboardInterrupt" in errors and "etl_runner/" not in errors


def test_a_runner_that_was_stopped_for_a_while_takes_up_what_ended_meanwhile(tmp_path: Path) -> None:
    write_pipeline(tmp_path, {"job": WAIT, "next": {"run": "true", "needs": ["job"]}})

    seen = play(tmp_path, "frozen", killed=False)

    assert (seen["status"], seen["survivors"]) == (0, [])
    assert set(seen["jobs"].values()) == {"succeeded"}


def test_no_run_begins_while_the_jobs_of_a_killed_one_are_still_being_stopped(tmp_path: Path) -> None:
    stubborn = "trap '' TERM; touch up; [ -e again ] && exit; touch again; sleep 1000; sleep 1000"
    write_pipeline(tmp_path, {"job": {"run": stubborn, "grace": "3s"}})

    seen = play(tmp_path, "started again")

    assert (seen["second"], seen["busy"]) == (75, True)
    assert "run 1 of 'faults' was killed, and its jobs are still being stopped" in seen["said"]
    assert (seen["status"], seen["run"], seen["survivors"]) == (0, "succeeded", [])
    assert seen["first"] == "lost"


def test_of_two_runs_at_once_one_runs_and_one_is_refused(tmp_path: Path) -> None:
    write_pipeline(tmp_path, {"job": "echo ran >> ran; sleep 1"})

    seen = play(tmp_path, "two at once", rounds=3)

    assert seen == {"pairs": [[0, 75]] * 3, "survivors": []}
    assert (tmp_path / "ran").read_text() == "ran\n" * 3


def test_when_a_run_is_over_nobody_of_it_is_there_any_more(tmp_path: Path) -> None:
    write_pipeline(tmp_path, {f"job{number}": "true" for number in range(8)})

    seen = play(tmp_path, "again and again", rounds=8)

    assert seen["rounds"] == [[[], 0]] * 8


def test_a_run_waits_for_its_keeper(tmp_path: Path) -> None:
    write_pipeline(tmp_path, {"job": WAIT})

    seen = play(tmp_path, "keeper late")

    assert (seen["status"], seen["too_early"], seen["survivors"]) == (0, False, [])


@contextmanager
def first_process(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """etl-run as PID 1 of a namespace, as in a container without an init: unshare(1), and the run's number out here."""
    with (
        (folder / "errors").open("wb") as errors,
        subprocess.Popen(
            [*NAMESPACE, *ETL_RUN, "all", "-o", "json"],
            cwd=folder,
            env=clean_env(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        ) as outer,
    ):
        try:
            wait_for(folder / "up")
            children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()
            yield outer, int(children[0])
        finally:
            outer.kill()


def wait_for(path: Path) -> None:
    limit = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < limit
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_as_the_first_process_it_ends_its_jobs_and_says_the_signal_in_its_status(tmp_path: Path, number: int) -> None:
    write_pipeline(tmp_path, {"job": "trap 'touch told; exit' TERM; touch up; sleep 1000 & wait"})

    with first_process(tmp_path) as (outer, run):
        os.kill(run, number)
        status = outer.wait(30)

    assert (status, (tmp_path / "errors").read_text()) == (128 + number, "")
    assert (tmp_path / "told").exists()


def test_as_the_first_process_it_hears_a_signal_before_anything_runs(tmp_path: Path) -> None:
    """While the file is read no handler is there; the kernel ends nobody by default who is the first process."""
    lines = ["[pipeline]", 'name = "p"', "[jobs.job]", 'run = "true"', 'matrix = { command = "touch up; sleep 2" }']
    (tmp_path / "etl.toml").write_text("\n".join(lines))

    with first_process(tmp_path) as (outer, run):
        os.kill(run, signal.SIGTERM)
        status = outer.wait(30)

    assert status == 128 + signal.SIGTERM


def test_as_the_first_process_it_buries_orphans() -> None:
    program = (
        "import os, time\n"
        "from etl_runner.first import go_on_as_second\n"
        "go_on_as_second()\n"
        "reader, writer = os.pipe()\n"
        "if os.fork() == 0:\n"
        "    if orphan := os.fork(): os.write(writer, str(orphan).encode())\n"
        "    os._exit(0)\n"
        "os.wait()\n"
        "orphan = os.read(reader, 9).decode()\n"
        "while os.path.exists('/proc/' + orphan): time.sleep(0.01)\n"
        "os._exit(7)"
    )

    ended = subprocess.run([*NAMESPACE, sys.executable, "-c", program], cwd=ROOT, timeout=30, check=False)

    assert ended.returncode == 7


def test_as_the_first_process_it_passes_the_status_on(tmp_path: Path) -> None:
    write_pipeline(tmp_path, {"job": "touch up; exit 3"})

    with first_process(tmp_path) as (outer, _):
        status = outer.wait(30)

    assert status == 1
