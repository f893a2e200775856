"""What is left of a run: the jobs that a retry runs again, and what the pipeline file says of them by now."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from etl_runner.errors import UsageError
from etl_runner.events import JobExpanded, JobFinished
from etl_runner.expanding import extended
from etl_runner.model import Copy, Job, Outcome, Plan
from etl_runner.pipeline.select import keep

_ASPECTS = (
    ("command", ("argv",)),
    ("folder", ("cwd",)),
    ("environment", ("env",)),
    ("needs", ("needs", "when", "optional")),
    ("matrix", ("expand",)),
    ("limits", ("timeout", "grace", "retry", "pools", "memory", "pids", "log_limit")),
)


def left_over(plan: Plan, ends: Mapping[str, JobFinished], *, good: Collection[str] = ()) -> set[str]:
    """The jobs that failed, timed out, were blocked, cancelled or lost.

    Not those that were good, nor those that were not wanted. `good` are those of which one knows from elsewhere.
    """
    return {job.name for job in plan.jobs if job.name not in good and _is_left(ends.get(job.name))}


class Again(NamedTuple):
    """What is to run again: the recorded plan with the copies that stay, and the jobs of it.

    `asked` are jobs that were good and run again all the same, because their values were never made use of.
    """

    plan: Plan
    names: set[str]
    asked: set[str]


def again(start: Plan, events: Sequence[JobExpanded], names: Collection[str]) -> Again:
    """These jobs of a run that began with the plan `start`; a job that runs again says anew what copies there are.

    `names` are of the plan with all copies that became known.
    """
    sources = {job.name: set(job.expand.sources) for job in start.jobs if job.expand}
    known = [event for event in events if not sources[event.job] & set(names)]
    plan = extended(start, known)
    here = {job.name for job in plan.jobs}
    wanted = {name for name in names if name in here} | {event.job for event in events if event not in known}
    asked = set[str]().union(*(sources.get(name, ()) for name in wanted)) - wanted
    return Again(plan, wanted | asked, asked)


def copies_in(plan: Plan) -> list[JobExpanded]:
    """The copies a plan has, those included that it began with: of a job run by its value, of a retry's retry."""
    copies: dict[str, list[Copy]] = {}
    for job in plan.jobs:
        if job.params and not job.expand:
            copies.setdefault(job.template, []).append(Copy(name=job.name, params=job.params))
    return [JobExpanded(job=template, copies=tuple(found)) for template, found in copies.items()]


def as_known(now: Plan, events: Iterable[JobExpanded]) -> Plan:
    """The pipeline file's plan with the copies that are known, where it still has what they are made of.

    A copy whose name is another job's by now is left out.
    """
    matrix = {job.name: set(job.expand.matrix) for job in now.jobs if job.expand}
    for event in events:
        taken = {job.name for job in now.jobs}
        fitting = (c for c in event.copies if matrix.get(event.job) == c.params.keys() and c.name not in taken)
        now = extended(now, [replace(event, copies=tuple(fitting))])
    return now


def rerun(plan: Plan, names: Collection[str], *, now: Plan) -> Plan:
    """The recorded plan of these jobs alone: what they need besides counts as done.

    The ledger has no values of environments, so they are those of `now`, the pipeline file's plan, whose secrets are
    hidden beside those of then. Raises UsageError for a job that had some and is not there any more.
    """
    current = {job.name: job for job in now.jobs}
    kept = keep(plan, names)
    if gone := [job.name for job in kept.jobs if job.env and job.name not in current]:
        raise UsageError(
            f"the pipeline file has no job {gone[0]!r} any more, and the values of its environment are only there",
            hint=f"put it back, or run what there is now: etl-run all{_others(gone[1:])}",
        )
    jobs = tuple(replace(job, env=current[job.name].env) if job.name in current else job for job in kept.jobs)
    return replace(kept, jobs=jobs, secrets=tuple(dict.fromkeys((*kept.secrets, *now.secrets))))


def differences(plan: Plan, names: Collection[str], *, now: Plan) -> dict[str, list[str]]:
    """What the pipeline file says otherwise now, job by job.

    Such as `command`, `folder`, `environment`, `needs`, `matrix`, `limits`.

    A job it does not have any more is `gone`. `plan` is what was recorded: environments have names only.
    """
    there = {job.name for job in now.jobs}
    current = {job.name: job for job in keep(now, there & {job.name for job in plan.jobs}).jobs}
    found = {job.name: _aspects(job, current.get(job.name)) for job in plan.jobs if job.name in names}
    return {name: aspects for name, aspects in found.items() if aspects}


def _is_left(end: JobFinished | None) -> bool:
    if end is None:
        return True
    if end.outcome is Outcome.SKIPPED:
        return bool(end.because)
    return not end.outcome.is_good


def _aspects(then: Job, now: Job | None) -> list[str]:
    if now is None:
        return ["gone"]
    return [name for name, fields in _ASPECTS if any(_said(then, f) != _said(now, f) for f in fields)]


def _said(job: Job, field: str) -> object:
    value = getattr(job, field)
    if field == "when" and not job.needs:
        return None  # means nothing: `etl-run job` runs a job whatever its `when` is
    return sorted(value) if field in ("env", "needs") else value


def _others(names: list[str]) -> str:
    return f" (gone, too: {', '.join(names[:5])})" if names else ""
