"""The scheduler played by hand: happenings in, short lines of what it said out."""

from __future__ import annotations

from typing import assert_never

from etl_runner.events import (
    AttemptExited,
    AttemptStarted,
    DeadlinePassed,
    JobExpanded,
    JobFinished,
    JobRetrying,
    Stimulus,
    StopReason,
    StopRequested,
)
from etl_runner.model import Copy, Metric, Plan
from etl_runner.scheduler import Announce, Command, Expand, Launch, Scheduler, Stop


class Hand:
    """Begins at second 0. `first` is what was said then; the attempt of a job is always the last launched."""

    def __init__(self, plan: Plan, *, estimates: dict[str, float] | None = None, chance: float = 0.0) -> None:
        self.scheduler = Scheduler(plan, estimates=estimates or {}, chance=lambda: chance)
        self.now = 0.0
        self.attempts: dict[str, int] = {}
        self.first = self._told(self.scheduler.start(0.0))

    def at(self, now: float) -> Hand:
        self.now = now
        return self

    def start(self, *jobs: str) -> list[str]:
        return [
            line for job in jobs for line in self._handle(AttemptStarted(job=job, attempt=self.attempts[job], pid=7))
        ]

    def exit(
        self,
        job: str,
        code: int | None = 0,
        *,
        signal: int | None = None,
        error: str = "",
        lost: bool = False,
        seconds: float = 1.0,
        metrics: dict[str, Metric] | None = None,
    ) -> list[str]:
        return self._handle(
            AttemptExited(
                job=job,
                attempt=self.attempts[job],
                seconds=seconds,
                exit=None if signal or error else code,
                signal=signal,
                error=error,
                lost=lost,
                metrics=metrics or {},
            )
        )

    def expand(self, job: str, *copies: str, error: str = "") -> list[str]:
        """Copies by their names; the one value of each is its name, too."""
        known = tuple(Copy(name=name, params={"x": name}) for name in copies)
        return self._handle(JobExpanded(job=job, copies=known, error=error))

    def tick(self) -> list[str]:
        return self._handle(DeadlinePassed())

    def signal(self, *, force: bool = False) -> list[str]:
        return self._handle(StopRequested(reason=StopReason.SIGNAL, signal=2, force=force))

    def end(self, job: str) -> JobFinished:
        return self.scheduler.outcomes[job]

    def _handle(self, stimulus: Stimulus) -> list[str]:
        return self._told(self.scheduler.handle(stimulus, self.now))

    def _told(self, commands: list[Command]) -> list[str]:
        for command in commands:
            if isinstance(command, Launch):
                self.attempts[command.job] = command.attempt
        return [_line(command) for command in commands]


def _line(command: Command) -> str:
    match command:
        case Launch(job=job, attempt=attempt):
            return f"launch {job}" if attempt == 1 else f"launch {job} again ({attempt})"
        case Stop(job=job, force=force):
            return f"kill {job}" if force else f"stop {job}"
        case Expand(job=job):
            return f"expand {job}"
        case Announce(event=event):
            return _told_of(event)
        case _:
            assert_never(command)


def _told_of(event: JobRetrying | JobFinished) -> str:
    if isinstance(event, JobRetrying):
        return f"{event.job} {event.outcome}, again in {event.delay:g}"
    because = f" because of {', '.join(event.because)}" if event.because else ""
    return f"{event.job} {event.outcome}{because}"
