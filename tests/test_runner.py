"""The runner: real processes, a real ledger."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from etl_runner.errors import LedgerError
from etl_runner.events import AttemptReported, AttemptStarted, Event, JobFinished, Record, RunFinished, RunStarted
from etl_runner.executors.local import LocalExecutor
from etl_runner.model import Expansion, Outcome, Output, Plan, Retry, RunStatus, When
from etl_runner.paths import Home
from etl_runner.runner import Runner
from etl_runner.scheduler import Scheduler
from tests.support.runs import Ran, job, python, run_plan, shell


class Listener:
    """A sink that keeps what it hears."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.chunks: list[tuple[str, bytes]] = []

    def tell(self, record: Record) -> None:
        self.records.append(record)

    def output(self, job: str, chunk: bytes) -> None:
        self.chunks.append((job, chunk))

    def refresh(self) -> None: ...

    def close(self) -> None: ...


class Broken(Listener):
    def tell(self, record: Record) -> None:
        raise RuntimeError("no")


class OnStart(Listener):
    """Does something when a job's process has said something."""

    def __init__(self, act: object) -> None:
        super().__init__()
        self._act = act

    def output(self, job: str, chunk: bytes) -> None:
        act, self._act = self._act, lambda: None
        act()  # type: ignore[operator]


def outcomes(ran: Ran) -> dict[str, str]:
    return {name: finished.outcome.value for name, finished in ran.jobs.items()}


async def test_a_failure_leaves_the_others_running_and_blocks_what_needs_it(tmp_path: Path) -> None:
    ran = await run_plan(
        tmp_path,
        shell("bad", "exit 3"),
        shell("good", "sleep 0.1"),
        shell("after", "true", needs=("good",)),
        shell("blocked", "true", needs=("bad", "good")),
        shell("cleanup", "true", needs=("bad",), when=When.ALWAYS),
    )

    assert outcomes(ran) == {
        "bad": "failed", "good": "succeeded", "after": "succeeded", "blocked": "skipped", "cleanup": "succeeded",
    }  # fmt: skip
    assert ran.jobs["blocked"].because == ("bad",)
    assert (ran.ended.status, ran.ended.exit) == (RunStatus.FAILED, 1)


async def test_no_more_jobs_than_workers_run_at_once(tmp_path: Path) -> None:
    script = 'mkdir "$PWD/in-$ETL_JOB"; ls -d in-* 2>/dev/null | wc -l; sleep 0.05; rmdir "in-$ETL_JOB"'
    jobs = [shell(f"j{n}", script, cwd=str(tmp_path)) for n in range(9)]

    ran = await run_plan(tmp_path / "home", *jobs, workers=3)

    assert max(int(ran.log(f"j{n}")) for n in range(9)) == 3


async def test_a_timeout_ends_the_whole_group_and_wins_over_exit_0(tmp_path: Path) -> None:
    ran = await run_plan(tmp_path, shell("slow", "trap 'exit 0' TERM; sleep 60 & wait", timeout=0.2))

    assert outcomes(ran) == {"slow": "timed-out"}
    assert ran.jobs["slow"].exit == 0
    assert ran.ended.exit == 1


async def test_a_retry_runs_the_job_again_with_the_next_attempt_number(tmp_path: Path) -> None:
    ran = await run_plan(tmp_path, shell("flaky", "echo try $ETL_ATTEMPT; test $ETL_ATTEMPT = 3", retry=Retry(count=5)))

    assert (outcomes(ran), ran.jobs["flaky"].attempt) == ({"flaky": "succeeded"}, 3)
    assert [ran.log("flaky", n) for n in (1, 2, 3)] == [b"try 1\n", b"try 2\n", b"try 3\n"]


async def test_a_job_finds_its_contract_in_the_environment(tmp_path: Path) -> None:
    ran = await run_plan(
        tmp_path, shell("who", "env", phase="sub", timeout=60.0, env={"MINE": "x"}), profile="prod", env={"KEPT": "1"}
    )

    found = dict(line.split("=", 1) for line in ran.log("who").decode().splitlines())
    assert {key: found[key] for key in ("ETL_JOB", "ETL_PHASE", "ETL_ATTEMPT", "ETL_PROFILE", "MINE", "KEPT")} == {
        "ETL_JOB": "who", "ETL_PHASE": "sub", "ETL_ATTEMPT": "1", "ETL_PROFILE": "prod", "MINE": "x", "KEPT": "1",
    }  # fmt: skip
    assert found["ETL_RUN_ID"] == str(ran.run)
    assert found["PGAPPNAME"] == f"etl-run/{ran.run}/who/1"
    assert found["ETL_DEADLINE"].endswith("+00:00")
    assert found["ETL_OUTPUT"] == str(ran.home.output(ran.run, "who", 1))


async def test_the_own_python_is_first_on_path_even_without_any(tmp_path: Path) -> None:
    ran = await run_plan(tmp_path, job("which", ["python", "-c", "import sys, msgspec; print(sys.prefix)"]), env={})

    assert outcomes(ran) == {"which": "succeeded"}


async def test_what_is_recorded_is_what_the_sinks_hear_in_one_order(tmp_path: Path) -> None:
    listener = Listener()

    ran = await run_plan(tmp_path, shell("a", "true"), shell("b", "true", needs=("a",)), sinks=[listener])

    assert listener.records == list(ran.records)
    assert [record.seq for record in ran.records] == list(range(1, len(ran.records) + 1))
    assert [type(event).__name__ for event in ran.events] == [
        "RunStarted", "AttemptStarted", "AttemptExited", "JobFinished",
        "AttemptStarted", "AttemptExited", "JobFinished", "RunFinished",
    ]  # fmt: skip


async def test_a_dependent_starts_only_after_the_ledger_has_what_released_it(tmp_path: Path) -> None:
    code = (
        "import sqlite3; db = sqlite3.connect({path!r}); "
        "print(db.execute(\"select count(*) from event where name = 'job_finished' and job = 'first'\").fetchone()[0])"
    ).format(path=str(tmp_path / "ledger.db"))

    ran = await run_plan(tmp_path, shell("first", "true"), python("second", code, needs=("first",)))

    assert ran.log("second") == b"1\n"


async def test_a_broken_sink_is_dropped_and_the_run_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listener = Listener()

    ran = await run_plan(tmp_path, shell("a", "echo x"), sinks=[Broken(), listener])

    assert outcomes(ran) == {"a": "succeeded"}
    assert listener.records == list(ran.records)
    assert "Broken broke and is off" in capsys.readouterr().err


async def test_output_reaches_the_sinks_as_it_comes(tmp_path: Path) -> None:
    listener = Listener()

    await run_plan(tmp_path, shell("a", "echo hello"), sinks=[listener])

    assert listener.chunks == [("a", b"hello\n")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_stops_the_run_gracefully(tmp_path: Path, number: int) -> None:
    sink = OnStart(lambda: os.kill(os.getpid(), number))

    ran = await run_plan(
        tmp_path,
        shell("long", "trap 'echo tidied; exit 0' TERM; echo up; sleep 60 & wait"),
        shell("waiting", "true", needs=("long",)),
        sinks=[sink],
    )

    assert outcomes(ran) == {"long": "cancelled", "waiting": "cancelled"}
    assert ran.log("long") == b"up\ntidied\n"
    assert (ran.ended.status, ran.ended.exit) == (RunStatus.CANCELLED, 128 + number)


async def test_a_second_signal_does_not_wait_for_the_grace(tmp_path: Path) -> None:
    class Twice(Listener):
        def output(self, job: str, chunk: bytes) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    script = "trap 'echo again' TERM; echo up; while :; do sleep 0.05; done"

    ran = await run_plan(tmp_path, shell("stubborn", script, grace=100.0), sinks=[Twice()])

    assert (outcomes(ran), ran.jobs["stubborn"].signal) == ({"stubborn": "cancelled"}, 9)
    assert ran.log("stubborn").startswith(b"up\n")


async def test_the_ledger_failing_stops_the_run_and_is_told(tmp_path: Path) -> None:
    class Full:
        """A memory whose disk is full from the third write on."""

        def __init__(self) -> None:
            self.writes = 0

        def append(self, records: Sequence[Record], *, durable: bool) -> None:
            self.writes += 1
            if self.writes > 2:
                raise LedgerError("disk full")

    jobs = (shell("a", "sleep 0.05"), shell("b", "touch ran", needs=("a",), cwd=str(tmp_path)))
    plan = Plan(pipeline="test", jobs=jobs)
    listener = Listener()
    runner = Runner(
        plan, run=1, about=about(), scheduler=Scheduler(plan), executor=LocalExecutor(), memory=Full(),
        sinks=[listener], home=Home(tmp_path), env=os.environ,
    )  # fmt: skip

    ended = await runner.run()

    assert (ended.status, ended.exit, str(runner.failure)) == (RunStatus.FAILED, 1, "disk full")
    assert not (tmp_path / "ran").exists()
    assert isinstance(listener.records[-1].event, RunFinished)


class Disk:
    """A memory that knows up to which record all is safe, and what had been written when it was."""

    def __init__(self) -> None:
        self.written: list[Event] = []
        self.safe: list[int] = []

    def append(self, records: Sequence[Record], *, durable: bool) -> None:
        self.written += [record.event for record in records]
        if durable:
            self.safe.append(len(self.written))

    def was_safe(self, end: str, *, before: str) -> bool:
        """Whether the end of a job was safe when another one started."""
        ended = next(n for n, e in enumerate(self.written) if isinstance(e, JobFinished) and e.job == end)
        started = next(n for n, e in enumerate(self.written) if isinstance(e, AttemptStarted) and e.job == before)
        return any(ended < safe <= started for safe in self.safe)


async def written(tmp_path: Path, plan: Plan) -> Disk:
    disk = Disk()
    await Runner(
        plan, run=1, about=about(), scheduler=Scheduler(plan), executor=LocalExecutor(), memory=disk,
        sinks=[], home=Home(tmp_path), env=os.environ,
    ).run()  # fmt: skip
    return disk


async def test_what_follows_from_an_end_waits_until_that_is_on_the_disk_and_only_once(tmp_path: Path) -> None:
    after = [shell(f"b{n}", "true", needs=("a",)) for n in range(8)]
    plan = Plan(pipeline="test", jobs=(shell("a", "true"), *after, shell("c", "true", needs=("b7",))), workers=1)

    disk = await written(tmp_path, plan)

    for name, need in [("c", "b7"), *((one.name, "a") for one in after)]:
        assert disk.was_safe(need, before=name), name
    assert len(set(disk.safe)) == 3  # the ends of a and b7, and the run's


async def test_what_follows_from_copies_waits_until_their_ends_are_on_the_disk(tmp_path: Path) -> None:
    expand = Expansion(matrix={"x": Output(job="find", output="xs")})
    jobs = (
        shell("find", """echo '{"xs": [1, 2]}' > "$ETL_OUTPUT\""""),
        shell("load", "true", needs=("find",), expand=expand),
        shell("after", "true", needs=("load",)),
    )

    disk = await written(tmp_path, Plan(pipeline="test", jobs=jobs))

    assert disk.was_safe("load-1", before="after")
    assert disk.was_safe("load-2", before="after")


async def test_what_waits_behind_a_skipped_job_waits_until_the_end_it_follows_is_on_the_disk(tmp_path: Path) -> None:
    jobs = (
        shell("fast", "exit 1"),
        shell("slow", "sleep 0.3"),
        shell("soon", "true", needs=("fast",), when=When.FAILURE),
        shell("both", "true", needs=("fast", "slow")),
        shell("cleanup", "true", needs=("both",), when=When.ALWAYS),
    )

    disk = await written(tmp_path, Plan(pipeline="test", jobs=jobs))

    assert disk.was_safe("slow", before="cleanup")


def about() -> RunStarted:
    return RunStarted(pipeline="test", profile="", workers=4, jobs=2, by="me", command=(), config="", pid=1)


async def test_progress_is_told_but_not_recorded(tmp_path: Path) -> None:
    listener = Listener()
    script = 'echo rows=1 > "$ETL_OUTPUT"; sleep 0.6; echo rows=2 >> "$ETL_OUTPUT"'

    ran = await run_plan(tmp_path, shell("a", script), sinks=[listener])

    told = [record.event for record in listener.records]
    assert AttemptReported(job="a", attempt=1, metrics={"rows": 1}) in told
    assert not any(isinstance(event, AttemptReported) for event in ran.events)
    assert ran.jobs["a"].metrics == {"rows": 2}


async def test_hundreds_of_jobs_end_once_each_and_leave_nothing_behind(tmp_path: Path) -> None:
    jobs = [shell(f"j{n}", f"exit {n % 3}") for n in range(300)]
    tasks = len(asyncio.all_tasks())

    ran = await run_plan(tmp_path, *jobs, workers=20)

    finished: list[Event] = [event for event in ran.events if isinstance(event, JobFinished)]
    started: list[Event] = [event for event in ran.events if isinstance(event, AttemptStarted)]
    assert (len(finished), len(started)) == (300, 300)
    assert ran.ended.counts == {Outcome.SUCCEEDED.value: 100, Outcome.FAILED.value: 200}
    assert len(asyncio.all_tasks()) == tasks
