"""Those who look after the jobs are killed, cannot be made, or are not heard: what is remembered stays true."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from etl_runner.control import Control
from etl_runner.events import AttemptExited
from etl_runner.executors import keeper
from etl_runner.model import Order
from tests.faults.namespace import play, write_pipeline

WAIT = "touch up; until [ -e go ]; do sleep 0.02; done"


def test_when_the_keeper_is_killed_jobs_go_on_and_the_next_ones_get_another(tmp_path: Path) -> None:
    after = {name: {"run": "true", "needs": ["first"]} for name in ("second", "third", "fourth")}
    write_pipeline(tmp_path, {"first": WAIT, **after})

    seen = play(tmp_path, "keeper replaced")

    assert (seen["status"], seen["survivors"]) == (0, [])
    assert set(seen["jobs"].values()) == {"succeeded"}


def test_a_job_that_kills_its_supervisor_is_lost_and_its_retry_meets_nobody_of_it(tmp_path: Path) -> None:
    (tmp_path / "job.sh").write_text(
        "if [ $ETL_ATTEMPT = 1 ]; then setsid sleep 1000.5 & kill -9 $PPID; sleep 1000.5; fi\n"
        "! grep -aq '1000[.]5' /proc/[0-9]*/cmdline\n"
    )
    write_pipeline(tmp_path, {"rude": {"run": "sh job.sh", "retries": 1}})

    seen = play(tmp_path, "to its end")

    assert (seen["status"], seen["survivors"]) == (0, [])
    assert seen["jobs"] == {"rude": "succeeded"}


def test_a_job_that_kills_its_supervisor_fails_the_run(tmp_path: Path) -> None:
    write_pipeline(tmp_path, {"rude": "kill -9 $PPID; sleep 1000", "other": "true"})

    seen = play(tmp_path, "to its end")

    assert (seen["status"], seen["survivors"]) == (1, [])
    assert seen["jobs"] == {"rude": "lost", "other": "succeeded"}


def test_a_job_that_kills_the_keeper_harms_nobody(tmp_path: Path) -> None:
    kill = "kill -9 $(cut -d' ' -f4 /proc/$PPID/stat)"
    write_pipeline(tmp_path, {"rude": kill, "next": {"run": "true", "needs": ["rude"]}})

    seen = play(tmp_path, "to its end")

    assert (seen["status"], seen["survivors"]) == (0, [])
    assert set(seen["jobs"].values()) == {"succeeded"}


@pytest.mark.parametrize("broken", ["fork", "posix_spawn"])
async def test_where_there_can_be_no_further_process_the_attempt_fails_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    program = tmp_path / "program.py"  # the keeper's, on a machine without a free process number
    program.write_text(
        "import errno, os, runpy, sys\n"
        f"def {broken}(*_, **__): raise BlockingIOError(errno.EAGAIN, 'no process')\n"
        f"os.{broken} = {broken}\n"
        f"runpy.run_path({keeper.PROGRAM!r}, run_name='__main__')\n"
    )
    monkeypatch.setattr(keeper, "PROGRAM", str(program))
    executor = keeper.KeeperExecutor(trouble=tmp_path / "trouble")

    exits = [await attempt(executor, tmp_path) for _ in range(2)]
    executor.close()

    assert [exited.error for exited in exits] == ["cannot start 'true': Resource temporarily unavailable"] * 2
    assert (tmp_path / "trouble").read_text() == ""


async def attempt(executor: keeper.KeeperExecutor, folder: Path) -> AttemptExited:
    control = Control(started=lambda pid: None, reported=lambda metrics: None, output=lambda chunk: None)
    order = Order(
        run=1,
        job="j",
        attempt=1,
        argv=("true",),
        cwd="/",
        env=dict(os.environ),
        log=str(folder / "log"),
        output=str(folder / "output"),
        result=str(folder / "result"),
        grace=1.0,
    )
    return await executor.run(order, control)


@pytest.mark.parametrize(
    ("scene", "script", "result"),
    [
        ("frozen", WAIT, {"exit": 0, "signal": None, "stopped": False}),
        ("frozen", f"{WAIT}; exit 3", {"exit": 3, "signal": None, "stopped": False}),
        ("killed", "touch up; exec sleep 1000", {"exit": None, "signal": 15, "stopped": True}),
        ("killed", "trap 'exit 0' TERM; touch up; sleep 1000 & wait", {"exit": 0, "signal": None, "stopped": True}),
        ("killed", "trap '' TERM; touch up; sleep 1000; sleep 1000", {"exit": None, "signal": 9, "stopped": True}),
    ],
)
def test_what_the_runner_did_not_live_to_hear_is_written_down(
    tmp_path: Path, scene: str, script: str, result: dict[str, object]
) -> None:
    write_pipeline(tmp_path, {"job": script})

    seen = play(tmp_path, scene, **({"killed": True} if scene == "frozen" else {}))

    assert seen["survivors"] == []
    assert (seen["status"], seen["run"], seen["jobs"]) == (-9, "lost", {"job": "lost"})
    (ended,) = seen["results"].values()
    assert {key: ended[key] for key in result} == result


def test_what_the_runner_heard_is_not_written_down(tmp_path: Path) -> None:
    write_pipeline(tmp_path, {"job": WAIT, "beside": "true", "wrong": "no-such-program"})

    seen = play(tmp_path, "frozen", killed=False)

    assert (seen["run"], seen["results"]) == ("failed", {})
