"""What supervisors wrote down when their runner was not there to hear it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from etl_runner.events import AttemptExited, Event, JobFinished, Record
from etl_runner.model import Job, Outcome
from etl_runner.paths import Home


class _End(Struct):
    exit: int | None = None
    signal: int | None = None
    seconds: float = 0.0
    cpu_seconds: float | None = None
    peak_memory: int | None = None
    stopped: bool = False
    left: int = 0
    unkillable: list[int] = []


class _Result(Struct):
    ended: _End | None = None


class Unheard(Struct, frozen=True, kw_only=True):
    """The end of a job's last attempt, which came when the runner of its run was gone.

    One that was stopped then is lost, whatever its exit status: nobody knows what it left out.
    """

    at: datetime
    exited: AttemptExited
    finished: JobFinished


def ended_well(home: Home, run: int, jobs: Iterable[Job]) -> set[str]:
    """Those of the jobs whose last attempt exited with 0 by itself after the runner of this run was gone."""
    ends = unheard(home, run, lambda: jobs)
    return {end.finished.job for end in ends if end.finished.outcome is Outcome.SUCCEEDED}


def unheard(home: Home, run: int, jobs: Callable[[], Iterable[Job]]) -> list[Unheard]:
    """What was written down of these jobs, oldest first. They are asked for only if there is anything."""
    if not home.result(run, "any", 1).parent.is_dir():
        return []
    found = (_last(home, run, job) for job in jobs())
    return sorted((end for end in found if end), key=lambda end: end.at)


def unheard_records(home: Home, run: int, jobs: Iterable[Job], seen: Sequence[Record]) -> list[Record]:
    """The records the runner would have made of those jobs of the run that it did not see the end of."""
    over = {record.event.job for record in seen if isinstance(record.event, JobFinished)}
    exits = {(record.event.job, record.event.attempt) for record in seen if isinstance(record.event, AttemptExited)}
    made: list[tuple[datetime, Event]] = []
    for end in unheard(home, run, lambda: [job for job in jobs if job.name not in over]):
        if (end.exited.job, end.exited.attempt) not in exits:
            made.append((end.at, end.exited))
        made.append((end.at, end.finished))
    last = seen[-1].seq if seen else 0
    return [Record(run=run, seq=seq, at=at, event=event) for seq, (at, event) in enumerate(made, start=last + 1)]


def _last(home: Home, run: int, job: Job) -> Unheard | None:
    # A supervisor writes one result at most: when the runner is gone there is no next attempt.
    for attempt in range(job.retry.count + 1, 0, -1):
        path = home.result(run, job.name, attempt)
        try:
            at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            ended = msgspec.json.decode(path.read_bytes(), type=_Result).ended
        except (OSError, msgspec.MsgspecError):
            continue
        return None if ended is None or ended.unkillable else _unheard(job, attempt, ended, at)
    return None


def _unheard(job: Job, attempt: int, ended: _End, at: datetime) -> Unheard:
    outcome = Outcome.LOST if ended.stopped else Outcome.SUCCEEDED if ended.exit == 0 else Outcome.FAILED
    return Unheard(
        at=at,
        exited=AttemptExited(
            job=job.name,
            attempt=attempt,
            seconds=ended.seconds,
            exit=ended.exit,
            signal=ended.signal,
            cpu_seconds=ended.cpu_seconds,
            peak_memory=ended.peak_memory,
            left_behind=ended.left,
        ),
        finished=JobFinished(
            job=job.name,
            phase=job.phase,
            attempt=attempt,
            outcome=outcome,
            seconds=ended.seconds,
            exit=ended.exit,
            signal=ended.signal,
            reason="stopped when its runner was gone" if ended.stopped else "",
            optional=job.optional,
        ),
    )
