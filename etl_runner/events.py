"""What happened, as frozen values; a run is the ordered list of its records."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Struct

from etl_runner.model import Copy, Metric, Outcome, RunStatus


class StopReason(StrEnum):
    """Why attempts are being stopped."""

    TIMEOUT = "timeout"
    FAIL_FAST = "fail-fast"
    RUN_TIMEOUT = "run timeout"
    SIGNAL = "signal"


def _tag(name: str) -> str:
    return "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_")


class _Event(Struct, frozen=True, kw_only=True, tag_field="event", tag=_tag):
    """Common settings of the events below: the JSON field `event` names the class in snake_case."""


class RunStarted(_Event, frozen=True):
    """A run began. `by` is who started it: a user's name, "cron", "systemd" or "ci".

    `retry_of` is the run whose rest it runs, if it is a retry.
    """

    pipeline: str
    profile: str
    workers: int
    jobs: int
    by: str
    command: tuple[str, ...]
    config: str
    pid: int
    retry_of: int | None = None


class AttemptStarted(_Event, frozen=True):
    """A process (tree) was started for a job. Timeouts run from here. `pid` is its leader's."""

    job: str
    attempt: int
    pid: int


class AttemptReported(_Event, frozen=True):
    """A running attempt told its metrics so far. Told to sinks, not recorded."""

    job: str
    attempt: int
    metrics: dict[str, Metric]


class AttemptExited(_Event, frozen=True):
    """An attempt's process tree is gone. Exactly one of `exit`, `signal`, `error` is set; `error` means it never ran.

    `seconds` is its wall-clock time, `cpu_seconds` that of its whole tree, `peak_memory` the bytes of its largest
    process; None where nobody measured. `left_behind` processes had to be killed after the leader's end. `lost` says
    that nobody saw the end. `log_truncated` says that output was lost, `warnings` are for people.
    """

    job: str
    attempt: int
    seconds: float
    exit: int | None = None
    signal: int | None = None
    error: str = ""
    metrics: dict[str, Metric] = {}
    cpu_seconds: float | None = None
    peak_memory: int | None = None
    left_behind: int = 0
    lost: bool = False
    log_truncated: bool = False
    warnings: tuple[str, ...] = ()


class JobRetrying(_Event, frozen=True):
    """Attempt `attempt` failed; the next starts no earlier than `delay` seconds from now. `attempts` is the limit."""

    job: str
    attempt: int
    attempts: int
    outcome: Outcome
    delay: float
    exit: int | None = None
    signal: int | None = None


class JobFinished(_Event, frozen=True):
    """A job has its outcome. `attempt` is its last one, 0 if none started; `seconds` is the last attempt's time.

    `because` names the failed jobs that blocked a skipped one: empty means that it was not wanted
    (`when = "failure"` and nothing failed). `reason` is a short sentence for people where the rest does not say it.
    """

    job: str
    phase: str
    attempt: int
    outcome: Outcome
    seconds: float = 0.0
    exit: int | None = None
    signal: int | None = None
    metrics: dict[str, Metric] = {}
    because: tuple[str, ...] = ()
    reason: str = ""
    optional: bool = False


class JobExpanded(_Event, frozen=True):
    """What another job reported is known: `copies` take the place of `job` in the plan, of its needs and dependents.

    Without copies the job itself ends: failed with `error`, or not wanted.
    """

    job: str
    copies: tuple[Copy, ...] = ()
    error: str = ""


class StopRequested(_Event, frozen=True):
    """Somebody wants the run to end: `force` means now, else within each job's grace. `signal` is set for signals."""

    reason: StopReason
    signal: int | None = None
    force: bool = False


class DeadlinePassed(_Event, frozen=True):
    """The scheduler's own deadline is over. A stimulus only, not recorded."""


class RunFinished(_Event, frozen=True):
    """A run ended. `exit` is the command's exit status; `counts` has every outcome that occurred."""

    status: RunStatus
    exit: int
    seconds: float
    counts: dict[str, int]


Event = (
    RunStarted
    | AttemptStarted
    | AttemptReported
    | AttemptExited
    | JobRetrying
    | JobFinished
    | JobExpanded
    | StopRequested
    | DeadlinePassed
    | RunFinished
)
Stimulus = AttemptStarted | AttemptExited | JobExpanded | StopRequested | DeadlinePassed


class Record(Struct, frozen=True, kw_only=True):
    """An event in its place: run id, number within the run (from 1), aware UTC instant."""

    run: int
    seq: int
    at: datetime
    event: Event


_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def decode_event(text: str | bytes) -> Event:
    """The event of a JSON text; raises msgspec.ValidationError if it is none."""
    return _decoder.decode(text)


def record_fields(record: Record) -> dict[str, Any]:
    """A record as one flat JSON-ready object: `event`, `run`, `at`, then the event's own fields."""
    body: dict[str, Any] = msgspec.to_builtins(record.event)
    return {"event": body.pop("event"), "run": record.run, "at": record.at.isoformat(timespec="milliseconds"), **body}


def counts(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """How often each outcome occurs, in the order of `Outcome`."""
    seen = list(outcomes)
    return {o.value: n for o in Outcome if (n := seen.count(o))}
