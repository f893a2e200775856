"""Ledgers with a past, for tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from time import monotonic, sleep

from etl_runner.events import (
    AttemptExited,
    AttemptStarted,
    Event,
    JobFinished,
    JobRetrying,
    Record,
    RunFinished,
    RunStarted,
    counts,
)
from etl_runner.ledger import Ledger
from etl_runner.ledger.database import migrations
from etl_runner.model import Job, Outcome, Phase, Plan, RunStatus
from etl_runner.paths import Home

ROOT = Path(__file__).parents[2]
MONDAY = datetime(2026, 11, 16, 3, tzinfo=UTC)


def job(name: str, **fields: object) -> Job:
    """A job; `table-3` is of the template `table`."""
    template, _, number = name.rpartition("-")
    values: dict[str, object] = {
        "template": template if number.isdigit() else name,
        "argv": ("true", name),
        "cwd": "/",
        "phase": "sub",
    }
    return Job(name=name, **{**values, **fields})  # type: ignore[arg-type]


def plan(*jobs: str | Job, pipeline: str = "warehouse", profile: str = "dev") -> Plan:
    made = tuple(job(item) if isinstance(item, str) else item for item in jobs)
    return Plan(pipeline=pipeline, profile=profile, jobs=made, phases=(Phase(name="sub"),))


def started(of: Plan, **fields: object) -> RunStarted:
    values: dict[str, object] = {
        "pipeline": of.pipeline,
        "profile": of.profile,
        "workers": of.workers,
        "jobs": len(of.jobs),
        "by": "cron",
        "command": ("etl-run", "all"),
        "config": "/srv/etl.toml",
        "pid": 4242,
    }
    return RunStarted(**{**values, **fields})  # type: ignore[arg-type]


class Pen:
    """Writes one run into a ledger, with a clock of its own."""

    def __init__(self, ledger: Ledger, of: Plan, *, at: datetime = MONDAY) -> None:
        self.ledger = ledger
        self.plan = of
        self.now = at
        self.run = ledger.begin(of, at)
        self.seq = 0
        self.ends: dict[str, Outcome] = {}
        self.began = at

    def write(self, *events: Event, after: float = 0.0, durable: bool = False) -> list[Record]:
        self.now += timedelta(seconds=after)
        records = []
        for event in events:
            self.seq += 1
            records.append(Record(run=self.run, seq=self.seq, at=self.now, event=event))
        self.ledger.append(records, durable=durable)
        return records

    def job(self, name: str, outcome: Outcome = Outcome.SUCCEEDED, *, seconds: float = 1.0, attempts: int = 1) -> None:
        """A job from its first attempt to its outcome; all attempts but the last fail."""
        for attempt in range(1, attempts + 1):
            last = attempt == attempts
            good = last and outcome.is_good
            self.write(AttemptStarted(job=name, attempt=attempt, pid=100 + attempt))
            exited = AttemptExited(job=name, attempt=attempt, seconds=seconds, exit=0 if good else 1)
            self.write(exited, after=seconds)
            if not last:
                retrying = JobRetrying(
                    job=name, attempt=attempt, attempts=attempts, outcome=Outcome.FAILED, delay=0.0, exit=1
                )
                self.write(retrying)
        self.end(name, outcome, seconds=seconds, attempt=attempts, exit=0 if outcome.is_good else 1)

    def end(self, name: str, outcome: Outcome, **fields: object) -> None:
        phase = next(job.phase for job in self.plan.jobs if job.name == name)
        values: dict[str, object] = {"attempt": 0, **fields}
        self.write(JobFinished(job=name, phase=phase, outcome=outcome, **values))  # type: ignore[arg-type]
        self.ends[name] = outcome

    def finish(self, status: RunStatus | None = None) -> None:
        failed = any(outcome.is_failure for outcome in self.ends.values())
        status = status or (RunStatus.FAILED if failed else RunStatus.SUCCEEDED)
        seconds = (self.now - self.began).total_seconds()
        exits = {RunStatus.SUCCEEDED: 0, RunStatus.FAILED: 1, RunStatus.CANCELLED: 130}
        self.write(
            RunFinished(status=status, exit=exits[status], seconds=seconds, counts=counts(self.ends.values())),
            durable=True,
        )


def past_run(
    home: Home,
    of: Plan,
    *,
    at: datetime = MONDAY,
    seconds: Mapping[str, float] = {},
    outcomes: Mapping[str, Outcome] = {},
    attempts: Mapping[str, int] = {},
    **about: object,
) -> int:
    """A run that is over; its jobs ran one after the other, 1 second each, and were good where nothing else is said."""
    with Ledger.open(home.ledger) as ledger:
        pen = Pen(ledger, of, at=at)
        pen.write(started(of, **about))
        for name in (job.name for job in of.jobs):
            outcome = outcomes.get(name, Outcome.SUCCEEDED)
            if outcome is Outcome.SKIPPED:
                pen.end(name, outcome)
            else:
                pen.job(name, outcome, seconds=seconds.get(name, 1.0), attempts=attempts.get(name, 1))
        pen.finish()
        return pen.run


def write_log(home: Home, run: int, job: str, attempt: int, content: bytes) -> None:
    path = home.log(run, job, attempt)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def python(code: str, *args: object, wrap: Sequence[str] = ()) -> subprocess.Popen[str]:
    """A process that runs `code`, with everything it prints as text."""
    return subprocess.Popen(
        [*wrap, sys.executable, "-c", code, *map(str, args)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def drop_root() -> None:
    """From now on this process may write only where everybody may. To be called after the imports."""
    migrations()  # nobody else may be allowed to read our own files
    Path("/").as_uri()  # nor Python's own, which it imports late
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, unlike pytest's own."""
    folder = Path(mkdtemp(prefix="etl-run-test-"))
    folder.chmod(0o777)
    try:
        yield folder
    finally:
        for path in [folder, *folder.rglob("*")]:
            if path.is_dir():
                path.chmod(0o777)
        rmtree(folder)


def output_of(process: subprocess.Popen[str]) -> str:
    """What the process printed until its end, which must be a good one."""
    out, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    return out


def line_of(process: subprocess.Popen[str]) -> str:
    """The next line the process prints."""
    assert process.stdout
    return process.stdout.readline().strip()


def until(fact: Callable[[], bool], *, seconds: float = 20.0) -> None:
    """Wait for a fact, or fail."""
    limit = monotonic() + seconds
    while not fact():
        assert monotonic() < limit, "it never became true"
        sleep(0.01)


def attempts_of(run: int, numbers: Iterable[int]) -> list[Record]:
    """Records that say little, with these numbers."""
    now = datetime.now(UTC)
    return [Record(run=run, seq=n, at=now, event=AttemptStarted(job="a", attempt=1, pid=n)) for n in numbers]
