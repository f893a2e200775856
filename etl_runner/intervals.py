"""Intervals of days to run a job over."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from etl_runner.model import INTERVAL, Job, Plan

if TYPE_CHECKING:  # the ledger asks for the interval of a job, and has no use for the pipeline's reader
    from etl_runner.pipeline import Pipeline

LAST_DAY = date(9998, 12, 31)
MOST = 1_000_000


class By(StrEnum):
    """How long an interval is. Weeks begin on Monday (ISO 8601), months on the first."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class Interval(Struct, frozen=True, kw_only=True):
    """From `start` to before `end`."""

    start: date
    end: date

    @property
    def params(self) -> dict[str, str]:
        return dict(zip(INTERVAL, (self.start.isoformat(), self.end.isoformat()), strict=True))

    @property
    def env(self) -> dict[str, str]:
        return {f"ETL_{name.upper()}": value for name, value in self.params.items()}


class Covered:
    """The days that some intervals cover, as intervals without overlap in order."""

    def __init__(self) -> None:
        self._starts: list[date] = []
        self._ends: list[date] = []

    def add(self, span: Interval) -> None:
        self.remove(span)
        at = bisect_left(self._starts, span.start)
        self._starts.insert(at, span.start)
        self._ends.insert(at, span.end)

    def remove(self, span: Interval) -> None:
        first, last = bisect_right(self._ends, span.start), bisect_left(self._starts, span.end)
        if first >= last:
            return
        edges = [(self._starts[first], span.start), (span.end, self._ends[last - 1])]
        left = [(start, end) for start, end in edges if start < end]
        self._starts[first:last] = [start for start, _ in left]
        self._ends[first:last] = [end for _, end in left]

    def __contains__(self, span: Interval) -> bool:
        """Whether every day of it is covered."""
        at = span.start
        for number in range(bisect_right(self._ends, at), len(self._starts)):
            if at >= span.end or self._starts[number] > at:
                break
            at = self._ends[number]
        return at >= span.end


def intervals(first: date, last: date, *, by: By) -> Iterator[Interval]:
    """The intervals that cover `first` to `last`, both included, oldest first; the outer ones may be cut short.

    `last` is at most LAST_DAY.
    """
    start, over = first, last + timedelta(days=1)
    while start < over:
        end = min(_next(start, by), over)
        yield Interval(start=start, end=end)
        start = end


def jobs_in(
    pipeline: Pipeline, spans: Iterable[Interval], *, params: Mapping[str, str] = {}
) -> Iterator[tuple[Interval, tuple[Job, ...]]]:
    """For each interval the jobs of the pipeline as its parameters make them, under their own names.

    [params] may have `interval_start` and `interval_end`: these take the interval's values.
    """
    usual = pipeline.plan(params=params).jobs
    for span in spans:
        own = {name: value for name, value in span.params.items() if name in pipeline.params}
        yield span, pipeline.plan(params={**params, **own}).jobs if own else usual


def over_intervals(
    rounds: Iterable[tuple[Interval, tuple[Job, ...]]], *, one_at_a_time: bool = False
) -> tuple[Job, ...]:
    """A copy of the jobs for each interval: `load` becomes `load@2025-01-01`, with ETL_INTERVAL_START and _END.

    Needs between the jobs hold within each interval. `one_at_a_time`: an interval also needs all of the one before.
    """
    copies: list[Job] = []
    before: tuple[str, ...] = ()
    for span, jobs in rounds:
        names = {job.name for job in jobs}
        these = tuple(_copy(job, span, names, before) for job in jobs)
        copies += these
        before = tuple(job.name for job in these) if one_at_a_time else ()
    return tuple(copies)


def interval_of(job: Job) -> Interval | None:
    """The interval a job is a copy for, None if it is not."""
    if not job.params.keys() >= set(INTERVAL):
        return None
    start, end = (date.fromisoformat(job.params[name]) for name in INTERVAL)
    return Interval(start=start, end=end)


def name_of(job: Job) -> str:
    """The job's name without its interval."""
    return job.name.rpartition("@")[0] or job.name


def anew(job: Job) -> str:
    """The command, behind `etl-run`, that runs a job of a plan once more from the pipeline file."""
    span = interval_of(job)
    if span is None:
        return f"job {job.name}"
    last = span.end - timedelta(days=1)
    by = next(by for by in By if by is By.MONTH or len(list(intervals(span.start, last, by=by))) == 1)
    return f"backfill {name_of(job)} --from {span.start} --to {last} --by {by} --again"


def made_again(plan: Plan, pipeline: Pipeline, *, params: Mapping[str, str]) -> tuple[Job, ...]:
    """The copies for intervals of a remembered plan, as the pipeline file makes them now; needs are those of then."""
    then = {job.name: job for job in plan.jobs}
    names = {name_of(job) for job in plan.jobs if interval_of(job)}
    spans = {span.start: span for job in plan.jobs if (span := interval_of(job))}.values()
    rounds = (
        (span, tuple(job for job in jobs if job.name in names))
        for span, jobs in jobs_in(pipeline, spans, params=params)
    )
    return tuple(replace(job, needs=then[job.name].needs) for job in over_intervals(rounds) if job.name in then)


def without(plan: Plan, done: set[str]) -> Plan:
    """The plan without these jobs, which count as done."""
    jobs = tuple(
        replace(job, needs=tuple(need for need in job.needs if need not in done))
        for job in plan.jobs
        if job.name not in done
    )
    return replace(plan, jobs=jobs)


def _copy(job: Job, span: Interval, names: set[str], before: tuple[str, ...]) -> Job:
    return replace(
        job,
        name=_at(job.name, span),
        env={**job.env, **span.env},
        params={**job.params, **span.params},
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
