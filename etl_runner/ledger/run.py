"""A run at a glance, as the ledger's view `runs` has it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec
from msgspec import Struct


class RunState(StrEnum):
    """Where a run stands, seen from outside."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"


class Run(Struct, frozen=True, kw_only=True):
    """A run at a glance.

    A *lost* one began, did not end, and nobody works on it any more: the jobs that are not over count as lost,
    and `ended_at` is its last sign of life. `seconds`, `exit` and `ended_at` are None while a run is going on.
    `counts` has every outcome so far, `retried` is how many jobs succeeded only after another attempt.
    """

    id: int
    pipeline: str
    profile: str
    by: str
    started_at: datetime
    state: RunState
    counts: dict[str, int]
    retried: int
    jobs: int
    workers: int
    command: tuple[str, ...]
    config: str
    pid: int | None
    exit: int | None
    seconds: float | None
    ended_at: datetime | None
    retry_of: int | None = None

    @property
    def is_over(self) -> bool:
        return self.state is not RunState.RUNNING


class RunRow(Struct, frozen=True, kw_only=True):
    """A row of the view `runs`: what is None has not been recorded (yet)."""

    id: int
    pipeline: str
    profile: str | None
    started_by: str | None
    command: str | None
    config: str | None
    pid: int | None
    workers: int | None
    jobs: int | None
    started_at: datetime
    finished_at: datetime | None
    status: RunState | None
    exit: int | None
    seconds: float | None
    counts: str | None
    retry_of: int | None

    def recorded_counts(self) -> dict[str, int]:
        return msgspec.json.decode(self.counts or "{}", type=dict[str, int])

    def as_run(self, state: RunState, *, counts: dict[str, int], retried: int, ended_at: datetime | None) -> Run:
        """The run, given what the row does not have; `ended_at` counts where no end was recorded."""
        end = self.finished_at or ended_at
        seconds = (end - self.started_at).total_seconds() if end else None
        return Run(
            id=self.id,
            pipeline=self.pipeline,
            profile=self.profile or "",
            by=self.started_by or "",
            started_at=self.started_at,
            state=state,
            counts=counts,
            retried=retried,
            jobs=self.jobs or 0,
            workers=self.workers or 0,
            command=msgspec.json.decode(self.command or "[]", type=tuple[str, ...]),
            config=self.config or "",
            pid=self.pid,
            exit=self.exit,
            seconds=seconds if self.seconds is None else self.seconds,
            ended_at=end,
            retry_of=self.retry_of,
        )
