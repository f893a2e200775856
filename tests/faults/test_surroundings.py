"""Runs that begin in odd surroundings: signals ignored or blocked, few files, no environment, a clock that jumps."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path

import pytest

from etl_runner.events import JobFinished, RunStarted
from etl_runner.executors.keeper import KeeperExecutor
from etl_runner.ledger import Ledger, LedgerReader
from etl_runner.model import Outcome, Plan, Retry
from etl_runner.paths import Home
from etl_runner.runner import Runner
from etl_runner.scheduler import Scheduler
from tests.faults.namespace import play, write_pipeline
from tests.support.cli import ETL_RUN, Project, clean_env
from tests.support.runs import shell

TELL = "grep -E '^Sig(Blk|Ign)' /proc/self/status > signals; touch up; until [ -e go ]; do sleep 0.02; done"

OF_THE_C_LIBRARY = 0b11 << 31  # signals 32 and 33: posix_spawn(3) of glibc leaves them ignored


@pytest.mark.parametrize(
    ("surroundings", "number", "status"),
    [
        ({"ignored": [signal.SIGCHLD]}, 0, 0),
        ({"ignored": [signal.SIGCHLD]}, signal.SIGTERM, -signal.SIGTERM),
        ({"blocked": [signal.SIGCHLD]}, 0, 0),
        ({"blocked": [signal.SIGTERM]}, signal.SIGTERM, -signal.SIGTERM),
        ({"blocked": [signal.SIGTERM, signal.SIGINT, signal.SIGCHLD]}, signal.SIGINT, -signal.SIGINT),
        ({"ignored": [signal.SIGINT, signal.SIGQUIT]}, signal.SIGINT, 0),  # a shell's &
        ({"ignored": [signal.SIGINT, signal.SIGQUIT]}, signal.SIGTERM, -signal.SIGTERM),
        ({"ignored": [signal.SIGHUP]}, signal.SIGHUP, 0),  # nohup
        ({"ignored": [signal.SIGPIPE]}, 0, 0),
        ({"env": {}}, signal.SIGTERM, -signal.SIGTERM),
    ],
    ids=str,
)
def test_signals_work_as_the_parent_wished_and_jobs_begin_with_all_of_them(
    tmp_path: Path, surroundings: dict[str, object], number: int, status: int
) -> None:
    write_pipeline(tmp_path, {"job": TELL})

    seen = play(tmp_path, "signalled", number=number, goes_on=status == 0, **surroundings)

    assert (seen["status"], seen["errors"], seen["survivors"]) == (status, "", [])
    assert seen["jobs"] == {"job": "cancelled" if status else "succeeded"}
    masks = [int(line.split()[1], 16) for line in (tmp_path / "signals").read_text().splitlines()]
    assert [mask & ~OF_THE_C_LIBRARY for mask in masks] == [0, 0]


def test_where_children_s_ends_are_ignored_their_status_is_known_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "etl.toml").write_text(
        '[pipeline]\nname = "p"\n[jobs.j]\nrun = "true"\nmatrix = { command = "false" }\n'
    )
    ignoring = "import os, signal, sys; signal.signal(17, signal.SIG_IGN); os.execv(sys.executable, sys.argv[1:])"

    ended = subprocess.run(
        [sys.executable, "-c", ignoring, *ETL_RUN, "all"],
        cwd=tmp_path,
        env=clean_env(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ended.returncode, "exit" in ended.stderr) == (2, True), ended.stderr


def test_an_empty_environment_is_enough(tmp_path: Path) -> None:
    write_pipeline(tmp_path, {"job": "true"})

    seen = play(tmp_path, "to its end", env={})

    assert (seen["status"], seen["errors"], seen["survivors"]) == (0, "", [])


def test_of_few_open_files_more_are_taken_where_that_is_allowed_and_jobs_have_as_few(tmp_path: Path) -> None:
    jobs = {f"job{number}": "ulimit -n > limit; sleep 0.2" for number in range(24)}
    write_pipeline(tmp_path, jobs)

    seen = play(tmp_path, "to its end", files=24)

    assert (seen["status"], seen["errors"], seen["survivors"]) == (0, "", [])
    assert (tmp_path / "limit").read_text() == "24\n"


@pytest.mark.parametrize("files", [14, 16, 18, 20, 24, 28, 32])
def test_where_open_files_run_out_the_run_ends_and_says_so(tmp_path: Path, files: int) -> None:
    write_pipeline(tmp_path, {f"job{number}": "sleep 0.2" for number in range(24)})

    seen = play(tmp_path, "to its end", files=files, hard=True)

    assert seen["survivors"] == []
    assert "Traceback" not in seen["errors"]
    assert seen["status"] in (0, 1)


async def test_a_clock_that_jumps_changes_no_timeout_no_delay_and_no_outcome(tmp_path: Path) -> None:
    jumps = cycle([timedelta(0), timedelta(days=1), timedelta(days=-400)])
    jobs = (
        shell("good", "sleep 0.1"),
        shell("slow", "sleep 1000", timeout=0.3),
        shell("again", "[ $ETL_ATTEMPT = 2 ]", retry=Retry(count=1, delay=0.1)),
        shell("after", "true", needs=("again",)),
    )
    plan = Plan(pipeline="test", jobs=jobs, workers=4)
    home = Home(tmp_path / ".etl")
    about = RunStarted(
        pipeline="test", profile="", workers=4, jobs=4, by="test", command=(), config="", pid=os.getpid()
    )
    with Ledger.open(home.ledger) as ledger:
        runner = Runner(
            plan,
            run=ledger.begin(plan, datetime.now(UTC)),
            about=about,
            scheduler=Scheduler(plan),
            executor=(executor := KeeperExecutor(trouble=home.trouble)),
            memory=ledger,
            sinks=[],
            home=home,
            env=os.environ,
            clock=lambda: datetime.now(UTC) + next(jumps),
        )

        ended = await runner.run()

    executor.close()
    with LedgerReader.open(home.ledger) as reader:
        ends = {r.event.job: r.event for r in reader.records(1) if isinstance(r.event, JobFinished)}
    assert {name: end.outcome for name, end in ends.items()} == {
        "good": Outcome.SUCCEEDED,
        "slow": Outcome.TIMED_OUT,
        "again": Outcome.SUCCEEDED,
        "after": Outcome.SUCCEEDED,
    }
    assert ended.seconds < 60
    assert all(end.seconds < 60 for end in ends.values())
    for words in (["show", "1"], ["show", "1", "slow"], ["history"], ["history", "slow"]):
        asked = Project(tmp_path, "").run(*words, env=clean_env())
        assert (asked.returncode, asked.stderr) == (0, "")
