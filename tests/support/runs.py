"""Real runs of small plans, without the command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from etl_runner.events import Event, JobFinished, Record, RunFinished, RunStarted
from etl_runner.executors.local import LocalExecutor
from etl_runner.ledger import Ledger, LedgerReader
from etl_runner.model import Job, Plan
from etl_runner.paths import Home
from etl_runner.runner import Runner
from etl_runner.scheduler import Scheduler

PYTHON = sys.executable


def job(name: str, argv: Sequence[str], **settings: object) -> Job:
    """A job that runs `argv` in the current folder."""
    return Job(name=name, template=name, argv=tuple(argv), cwd=str(settings.pop("cwd", Path.cwd())), **settings)  # type: ignore[arg-type]


def shell(name: str, script: str, **settings: object) -> Job:
    return job(name, ["/bin/sh", "-c", script], **settings)


def python(name: str, code: str, **settings: object) -> Job:
    return job(name, [PYTHON, "-c", code], **settings)


class Ran:
    """A finished run: its end, and what the ledger remembers of it."""

    def __init__(self, home: Home, run: int, ended: RunFinished) -> None:
        self.home = home
        self.run = run
        self.ended = ended
        with LedgerReader.open(home.ledger) as reader:
            self.records: tuple[Record, ...] = reader.records(run)

    @property
    def events(self) -> list[Event]:
        return [record.event for record in self.records]

    @property
    def jobs(self) -> dict[str, JobFinished]:
        return {event.job: event for event in self.events if isinstance(event, JobFinished)}

    def log(self, name: str, attempt: int = 1) -> bytes:
        return self.home.log(self.run, name, attempt).read_bytes()


async def run_plan(
    folder: Path,
    *jobs: Job,
    workers: int = 4,
    env: Mapping[str, str] | None = None,
    sinks: Sequence[object] = (),
    **settings: object,
) -> Ran:
    """Run these jobs for real, with the ledger in `folder`."""
    plan = Plan(pipeline="test", jobs=tuple(jobs), workers=workers, **settings)  # type: ignore[arg-type]
    home = Home(folder)
    about = RunStarted(
        pipeline="test", profile="", workers=workers, jobs=len(jobs), by="test", command=(), config="", pid=os.getpid()
    )
    with Ledger.open(home.ledger) as ledger:
        run = ledger.begin(plan, datetime.now(UTC))
        runner = Runner(
            plan,
            run=run,
            about=about,
            scheduler=Scheduler(plan),
            executor=LocalExecutor(),
            memory=ledger,
            sinks=sinks,  # type: ignore[arg-type]
            home=home,
            env=dict(os.environ) if env is None else env,
        )
        ended = await runner.run()
    return Ran(home, run, ended)
