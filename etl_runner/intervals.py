"""Intervals of days to run a job over."""

from __future__ import annotations

from datetime import date, timedelta
from enum import StrEnum

import msgspec
from msgspec import Struct

from etl_runner.model import Job, Plan


class By(StrEnum):
    """How long an interval is. Weeks begin on Monday (ISO 8601), months on the first."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class Interval(Struct, frozen=True, kw_only=True):
    """From `start` to before `end`."""

    start: date
    end: date


def intervals(first: date, last: date, *, by: By) -> list[Interval]:
    """The intervals that cover `first` to `last`, both included, oldest first; the outer ones may be cut short."""
    found = []
    start, over = first, last + timedelta(days=1)
    while start < over:
        end = min(_next(start, by), over)
        found.append(Interval(start=start, end=end))
        start = end
    return found


def over_intervals(jobs: tuple[Job, ...], spans: list[Interval], *, one_at_a_time: bool) -> tuple[Job, ...]:
    """A copy of the jobs for each interval: `load` becomes `load@2025-01-01`, with ETL_INTERVAL_START and _END.

    Needs between the jobs hold within each interval. `one_at_a_time`: an interval also needs all of the one before.
    """
    names = {job.name for job in jobs}
    copies: list[Job] = []
    before: tuple[str, ...] = ()
    for span in spans:
        these = tuple(_copy(job, span, names, before) for job in jobs)
        copies += these
        before = tuple(job.name for job in these) if one_at_a_time else ()
    return tuple(copies)


def without(plan: Plan, done: set[str]) -> Plan:
    """The plan without these jobs, which count as done."""
    jobs = tuple(
        msgspec.structs.replace(job, needs=tuple(need for need in job.needs if need not in done))
        for job in plan.jobs
        if job.name not in done
    )
    return msgspec.structs.replace(plan, jobs=jobs)


def _copy(job: Job, span: Interval, names: set[str], before: tuple[str, ...]) -> Job:
    window = {"ETL_INTERVAL_START": span.start.isoformat(), "ETL_INTERVAL_END": span.end.isoformat()}
    return msgspec.structs.replace(
        job,
        name=_at(job.name, span),
        env={**job.env, **window},
        params={**job.params, "interval": span.start.isoformat()},
        needs=(*(_at(need, span) for need in job.needs if need in names), *before),
    )


def _at(name: str, span: Interval) -> str:
    return f"{name}@{span.start.isoformat()}"


def _next(start: date, by: By) -> date:
    match by:
        case By.DAY:
            return start + timedelta(days=1)
        case By.WEEK:
            return start + timedelta(days=7 - start.weekday())
        case By.MONTH:
            return (start.replace(day=1) + timedelta(days=32)).replace(day=1)
