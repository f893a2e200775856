"""What is to be done, as frozen values: the scheduler's side of the talk with the runner."""

from __future__ import annotations

from msgspec import Struct

from etl_runner.events import JobFinished, JobRetrying


class Launch(Struct, frozen=True, kw_only=True):
    """Start this attempt. Answered by AttemptStarted (unless it cannot start) and, always, AttemptExited."""

    job: str
    attempt: int


class Stop(Struct, frozen=True, kw_only=True):
    """End this attempt, within its grace or (`force`) now. Answered by its AttemptExited."""

    job: str
    attempt: int
    force: bool


class Expand(Struct, frozen=True, kw_only=True):
    """What this job's copies are is known by now: say it. Answered by JobExpanded."""

    job: str


class Announce(Struct, frozen=True, kw_only=True):
    """Record this and tell it, before the commands behind it are carried out."""

    event: JobRetrying | JobFinished


Command = Launch | Stop | Expand | Announce
