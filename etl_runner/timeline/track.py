"""One job on the clock of its run, and what its times say."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from etl_runner.events import AttemptExited, JobFinished, JobRetrying
from etl_runner.model import Job, Metric, Outcome


class Stage(StrEnum):
    """Where a job is."""

    WAITING = "waiting"
    RUNNING = "running"
    RETRYING = "retrying"
    OVER = "over"


class Try(Struct, kw_only=True):
    """One attempt on the run's clock: seconds since the run began. `exited` is None while it runs."""

    number: int
    start: float
    end: float | None = None
    exited: AttemptExited | None = None


class Track(Struct, kw_only=True):
    """One job on the run's clock.

    `ready` is when the last of its needs was over, `due` when its next attempt may start, `end` when it was over.
    """

    job: Job
    stage: Stage = Stage.WAITING
    tries: list[Try] = []
    metrics: dict[str, Metric] = {}
    ready: float | None = None
    due: float | None = None
    end: float | None = None
    retrying: JobRetrying | None = None
    finished: JobFinished | None = None

    @property
    def outcome(self) -> Outcome | None:
        return self.finished.outcome if self.finished else None

    @property
    def start(self) -> float | None:
        """When its first attempt started."""
        return self.tries[0].start if self.tries else None

    @property
    def seconds(self) -> float:
        """From the start of its first attempt to its end, waits between attempts included."""
        if self.start is None or self.end is None:
            return self.finished.seconds if self.finished else 0.0
        if len(self.tries) == 1 and self.tries[0].exited:
            return self.tries[0].exited.seconds
        return self.end - self.start

    @property
    def waited(self) -> float:
        """How long it stood ready before its first attempt: for a worker, or for places in a pool."""
        if self.start is None or self.ready is None:
            return 0.0
        return max(self.start - self.ready, 0.0)

    @property
    def exited(self) -> AttemptExited | None:
        """How its last attempt ended."""
        return self.tries[-1].exited if self.tries else None

    @property
    def is_flaky(self) -> bool:
        """Whether it was good, but not at its first attempt."""
        return self.outcome is Outcome.SUCCEEDED and len(self.tries) > 1

    @property
    def is_slow(self) -> bool:
        """Whether it took longer than its pipeline says it should."""
        return self.job.expect is not None and self.end is not None and self.seconds > self.job.expect


class Group(Struct, kw_only=True):
    """How many jobs of a phase are where."""

    name: str
    total: int = 0
    over: int = 0
    running: int = 0
    retrying: int = 0
    outcomes: dict[Outcome, int] = {}
