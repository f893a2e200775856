"""Jobs whose copies become known during a run: what the plan is once they are."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from etl_runner.events import JobExpanded
from etl_runner.model import Copy, Job, Plan

_HOLE = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_]*)\}")


def text_with_holes(text: str, holes: Mapping[str, str]) -> str:
    """The text of a job that has an expansion: `holes` gives, for each parameter, what stands for it in `text`."""
    escaped = text.replace("{", "{{").replace("}", "}}")
    for name, mark in holes.items():
        escaped = escaped.replace(mark, f"{{{name}}}")
    return escaped


def as_meant(text: str) -> str:
    """The text of a job that has an expansion with its braces as they are meant; a hole stays `{parameter}`."""
    return _HOLE.sub(lambda found: found[0] if found[1] else found[0][0], text)


def copy_of(job: Job, copy: Copy) -> Job:
    """One of the jobs that `job` stands for."""
    assert job.expand
    quoted = {name: shlex.quote(value) for name, value in copy.params.items()} if job.expand.shell else copy.params
    return replace(
        job,
        name=copy.name,
        argv=tuple(_filled(word, quoted) for word in job.argv),
        cwd=_filled(job.cwd, copy.params),
        env={name: _filled(value, copy.params) for name, value in job.env.items()},
        params=copy.params,
        needs=(*job.needs, *copy.needs),
        expand=None,
    )


def extended(plan: Plan, events: Iterable[JobExpanded]) -> Plan:
    """The plan with copies in the place of the jobs they come from. Events of jobs it does not have change nothing."""
    for event in events:
        if event.copies and any(job.name == event.job and job.expand for job in plan.jobs):
            plan = replace(plan, jobs=tuple(_in_place(plan.jobs, event)))
    return plan


def _in_place(jobs: Iterable[Job], event: JobExpanded) -> Iterable[Job]:
    names = tuple(copy.name for copy in event.copies)
    for job in jobs:
        if job.name == event.job:
            yield from (copy_of(job, copy) for copy in event.copies)
        elif event.job in job.needs:
            at = job.needs.index(event.job)
            yield replace(job, needs=(*job.needs[:at], *names, *job.needs[at + 1 :]))
        else:
            yield job


def _filled(text: str, values: Mapping[str, str]) -> str:
    return _HOLE.sub(lambda found: values[found[1]] if found[1] else found[0][0], text)
