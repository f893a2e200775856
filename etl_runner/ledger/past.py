"""What past runs say about jobs: usual times, failures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from msgspec import Struct

from etl_runner.model import Outcome


class JobEnd(Struct, frozen=True, kw_only=True):
    """How a job ended in one run. `attempts` is 0 if it never started, `seconds` the last attempt's time."""

    run: int
    job: str
    template: str
    outcome: Outcome
    seconds: float
    attempts: int


class JobPast(Struct, frozen=True, kw_only=True):
    """A job's past: how it ended, oldest first. `p50` and `p95` are the seconds of its successes, if any."""

    job: str
    template: str
    ends: tuple[JobEnd, ...]
    p50: float | None
    p95: float | None

    @property
    def ran(self) -> int:
        """In how many runs it was tried, or could not be."""
        return sum(end.attempts > 0 or end.outcome.is_failure for end in self.ends)

    @property
    def failed(self) -> int:
        return sum(end.outcome.is_failure for end in self.ends)


def usual_seconds(successes: Iterable[tuple[str, str, float]]) -> dict[str, float]:
    """The median seconds by job name, and by template for jobs without a past of their own.

    A success is the name of a job, that of its template, and seconds.
    """
    by_name: defaultdict[str, list[float]] = defaultdict(list)
    by_template: defaultdict[str, list[float]] = defaultdict(list)
    for job, template, seconds in successes:
        by_name[job].append(seconds)
        by_template[template].append(seconds)
    return {name: median(taken) for name, taken in {**by_template, **by_name}.items()}


def matches(job: str, template: str, pattern: str) -> bool:
    """Whether a job is meant by a name, a template's name, or a glob."""
    return pattern in (job, template) or fnmatchcase(job, pattern)


def pasts(ends: Iterable[JobEnd], pattern: str) -> list[JobPast]:
    """The past of every job whose name matches, or whose template is, `pattern`; in order of `ends`."""
    found: defaultdict[str, list[JobEnd]] = defaultdict(list)
    for end in ends:
        if matches(end.job, end.template, pattern):
            found[end.job].append(end)
    return [_past(job, tuple(seen)) for job, seen in found.items()]


def median(values: Iterable[float]) -> float:
    """The middle of at least one value. (The standard library's costs 10 ms to import.)"""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0 to 1) of the values do not exceed, interpolated between neighbours."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _past(job: str, ends: tuple[JobEnd, ...]) -> JobPast:
    good = [end.seconds for end in ends if end.outcome is Outcome.SUCCEEDED]
    return JobPast(
        job=job,
        template=ends[-1].template,
        ends=ends,
        p50=median(good) if good else None,
        p95=percentile(good, 0.95) if good else None,
    )
