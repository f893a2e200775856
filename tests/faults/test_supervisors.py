"""Those who look after the jobs are killed, cannot be made, or are not heard: what is remembered stays true."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from etl_runner.control import Control
from etl_runner.events import AttemptExited, RunStarted
from etl_runner.executors import keeper
from etl_runner.ledger import Ledger
from etl_runner.model import Order, Plan
from etl_runner.paths import Home
from etl_runner.runner import Runner
from etl_runner.scheduler import Scheduler
from tests.faults.namespace import play, write_pipeline
from tests.support.runs import shell

WAIT = "touch up; until [ -e go ]; do sleep 0.02; done"


def test_when_the_keeper_is_killed_jobs_go_on_and_the_next_ones_get_another(tmp_path: Path) -> None:
    after = {name: {"run": "true", "needs": ["first"]} for name in ("second", "third", "fourth")}
    write_pipeline(tmp_path, {"first": WAIT, **after})

    seen = play(tmp_path, "keeper replaced")

    assert (seen["status"], seen["survivors"]) == (0, [])
    assert set(seen["jobs"].values()) == {"succeeded"}


def test_a_lost_attempt_harms_no_other_though_the_keeper_is_gone(tmp_path: Path) -> None:
    doomed = "setsid sleep 1000 & echo $PPID > new; mv new up; sleep 1000"
    write_pipeline(tmp_path, {"doomed": doomed, "other": "touch beside; until [ -e go ]; do sleep 0.02; done"})

    seen = play(tmp_path, "shim killed without keeper")

    assert (seen["status"], seen["survivors"]) == (1, [])
    assert seen["jobs"] == {"doomed": "lost", "other": "succeeded"}


def test_supervisors_do_not_listen_to_signals(tmp_path: Path) -> None:
    write_pipeline(tmp_path, {"first": WAIT, "second": {"run": "true", "needs": ["first"]}})

    seen = play(tmp_path, "supervisors told", numbers=[signal.SIGTERM, signal.SIGINT, signal.SIGHUP])

    assert (seen["status"], seen["survivors"]) == (0, [])
    assert set(seen["jobs"].values()) == {"succeeded"}


def test_a_daemon_lives_as_long_as_its_job_and_the_next_job_meets_nobody_of_it(tmp_path: Path) -> None:
    (tmp_path / "job.sh").write_text(
        "(setsid sh -c 'sleep 0.3; touch alive; sleep 1000.5; true' &)\nuntil [ -e alive ]; do sleep 0.02; done\n"
    )
    (tmp_path / "next.sh").write_text("! grep -aq '1000[.]5' /proc/[0-9]*/cmdline\n")
    after = {"run": "sh next.sh", "needs": ["job"]}
    write_pipeline(tmp_path, {"job": {"run": "sh job.sh", "timeout": "5s"}, "next": after})

    seen = play(tmp_path, "to its end")

    assert (seen["status"], seen["survivors"]) == (0, [])
    assert seen["jobs"] == {"job": "succeeded", "next": "succeeded"}


def test_all_of_a_jobs_group_is_told_to_end(tmp_path: Path) -> None:
    child = "(trap 'touch told; exit' TERM; touch up; while :; do sleep 0.02; done)"
    write_pipeline(tmp_path, {"job": {"run": f"trap true TERM; {child} & wait; sleep 1; sleep 1", "grace": "1s"}})

    seen = play(tmp_path, "signalled", number=signal.SIGTERM, goes_on=False)

    assert (seen["status"], seen["survivors"]) == (-signal.SIGTERM, [])
    assert (tmp_path / "told").exists()


def test_jobs_have_no_file_of_their_supervisors_open_and_are_the_first_to_go_when_memory_runs_out(
    tmp_path: Path,
) -> None:
    files = "ls -l /proc/$$/fd | sed -n 's/.*-> //p' | sed 's/:.*//' > files"
    memory = "until [ $(cat /proc/self/oom_score_adj) -ge 300 ]; do sleep 0.01; done"  # set a moment after the start
    write_pipeline(tmp_path, {"job": {"run": f"{files}; {memory}", "timeout": "5s"}})

    seen = play(tmp_path, "to its end")

    assert (seen["status"], seen["survivors"]) == (0, [])
    assert (tmp_path / "files").read_text().split() == ["/dev/null", "pipe", "pipe"]


async def test_a_late_request_to_stop_an_attempt_does_not_stop_the_next_one(tmp_path: Path) -> None:
    executor = keeper.KeeperExecutor(trouble=tmp_path / "trouble")
    started = asyncio.Event()
    first, second = new_control(), new_control(lambda pid: started.set())
    await executor.run(new_order(tmp_path, "true"), first)
    running = asyncio.create_task(executor.run(new_order(tmp_path, "sleep 0.3"), second))
    await started.wait()

    first.stop(force=True)
    exited = await running

    executor.close()
    assert (exited.exit, exited.signal, exited.lost) == (0, None, False)


async def test_an_error_inside_an_attempt_ends_the_run_with_it(tmp_path: Path) -> None:
    class Broken:
        async def run(self, order: Order, control: Control) -> AttemptExited:
            raise RuntimeError("a bug")

    plan = Plan(pipeline="test", jobs=(shell("job", "true"),))
    about = RunStarted(pipeline="test", profile="", workers=4, jobs=1, by="test", command=(), config="", pid=1)
    home = Home(tmp_path / ".etl")
    with Ledger.open(home.ledger) as ledger:
        run = ledger.begin(plan, datetime.now(UTC))
        runner = Runner(
            plan,
            run=run,
            about=about,
            scheduler=Scheduler(plan),
            executor=Broken(),
            memory=ledger,
            sinks=[],
            home=home,
            env={},
        )

        with pytest.raises(RuntimeError, match="a bug"):
            await asyncio.wait_for(runner.run(), 10)


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

    exits = [await executor.run(new_order(tmp_path, "true"), new_control()) for _ in range(2)]
    executor.close()

    assert [exited.error for exited in exits] == ["cannot start 'true': Resource temporarily unavailable"] * 2
    assert (tmp_path / "trouble").read_text() == ""


def new_control(started: Callable[[int], None] = lambda pid: None) -> Control:
    return Control(started=started, reported=lambda metrics: None, output=lambda chunk: None)


def new_order(folder: Path, words: str) -> Order:
    return Order(
        run=1,
        job="j",
        attempt=1,
        argv=tuple(words.split()),
        cwd="/",
        env=dict(os.environ),
        log=str(folder / "log"),
        output=str(folder / "output"),
        result=str(folder / "result"),
        grace=1.0,
    )


@pytest.mark.parametrize(
    ("scene", "script", "result", "shown"),
    [
        ("frozen", WAIT, {"exit": 0, "signal": None, "stopped": False}, "succeeded"),
        ("frozen", f"{WAIT}; exit 3", {"exit": 3, "signal": None, "stopped": False}, "failed"),
        ("killed", "touch up; exec sleep 1000", {"exit": None, "signal": 15, "stopped": True}, "lost"),
        (
            "killed",
            "trap 'exit 0' TERM; touch up; sleep 1000 & wait",
            {"exit": 0, "signal": None, "stopped": True},
            "lost",
        ),
        (
            "killed",
            "trap '' TERM; touch up; sleep 1000; sleep 1000",
            {"exit": None, "signal": 9, "stopped": True},
            "lost",
        ),
    ],
)
def test_what_the_runner_did_not_live_to_hear_is_written_down(
    tmp_path: Path, scene: str, script: str, result: dict[str, object], shown: str
) -> None:
    write_pipeline(tmp_path, {"job": script})

    seen = play(tmp_path, scene, **({"killed": True} if scene == "frozen" else {}))

    assert seen["survivors"] == []
    assert (seen["status"], seen["run"], seen["jobs"]) == (-9, "lost", {"job": shown})
    (ended,) = seen["results"].values()
    assert {key: ended[key] for key in result} == result


def test_what_the_runner_did_not_live_to_read_is_in_the_log(tmp_path: Path) -> None:
    write_pipeline(tmp_path, {"job": f"{WAIT}; echo the end"})

    seen = play(tmp_path, "frozen", killed=True)

    assert (seen["jobs"], seen["survivors"]) == ({"job": "succeeded"}, [])
    assert (tmp_path / ".etl/runs/1/logs/job.1.log").read_text() == "the end\n"


ROLLING_BACK = "trap 'head -c 300000 /dev/zero; echo; echo rolling back; touch clean; exit 3' TERM"


@pytest.mark.parametrize(
    ("settings", "is_kept", "at_most"),
    [
        ({}, True, 300_100),
        ({"log_limit": "1KB"}, False, 1024),
        ({"env.THE_PASSWORD": "open sesame"}, False, 0),  # nobody is there to hide it
    ],
)
def test_a_job_may_say_something_while_it_is_stopped_after_its_runner(
    tmp_path: Path, settings: dict[str, Any], is_kept: bool, at_most: int
) -> None:
    job = {"run": f"{ROLLING_BACK}; touch up; sleep 1000 & wait", "grace": "10s", **settings}
    write_pipeline(tmp_path, {"job": job})

    seen = play(tmp_path, "killed")

    (ended,) = seen["results"].values()
    path = tmp_path / ".etl/runs/1/logs/job.1.log"
    log = path.read_bytes() if path.exists() else b""
    assert (ended["exit"], ended["stopped"], seen["survivors"]) == (3, True, [])
    assert (tmp_path / "clean").exists()
    assert (log.endswith(b"\nrolling back\n"), len(log) <= at_most) == (is_kept, True)


def test_what_the_runner_heard_is_not_written_down(tmp_path: Path) -> None:
    write_pipeline(tmp_path, {"job": WAIT, "beside": "true", "wrong": "no-such-program"})

    seen = play(tmp_path, "frozen", killed=False)

    assert (seen["run"], seen["results"]) == ("failed", {})
