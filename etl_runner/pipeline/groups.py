"""A plan as people see it: jobs of one template drawn as one, with the needs that say something."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from etl_runner.expanding import as_meant
from etl_runner.model import Job, Plan


class Group(Struct, frozen=True, kw_only=True):
    """The jobs of one template. `needs` are the templates they wait for; `told` those the phase's needs do not tell."""

    name: str
    phase: str
    jobs: tuple[Job, ...]
    needs: tuple[str, ...]
    told: tuple[str, ...]

    @property
    def label(self) -> str:
        """`table-0 … table-19`, the one job's name, or `table-{id}` where the copies are not known yet."""
        first, last = self.jobs[0].name, self.jobs[-1].name
        if expand := self.jobs[0].expand:
            return "-".join([first, *(f"{{{key}}}" for key in expand.matrix)])
        match len(self.jobs):
            case 1:
                return first
            case 2:
                return f"{first}, {last}"
            case _:
                return f"{first} … {last}"

    @property
    def short(self) -> str:
        """`table ×20`, or the one job's name."""
        return self.jobs[0].name if len(self.jobs) == 1 else f"{self.name} ×{len(self.jobs)}"

    @property
    def command(self) -> str:
        """What its jobs run; what differs between them is shown as `{id}`."""
        argv = list(self.jobs[0].argv)
        if len(self.jobs) > 1:
            argv = [_common(word, self.jobs[0], self.jobs[-1], at) for at, word in enumerate(argv)]
        if self.jobs[0].expand:
            argv = [as_meant(word) for word in argv]
        words = argv[2:] if argv[:2] == ["/bin/sh", "-c"] and len(argv) == 3 else [_quoted(w) for w in argv]
        return " ".join(" ".join(words).split())


def groups(plan: Plan) -> tuple[Group, ...]:
    """The plan's jobs by template, in plan order."""
    by_name: dict[str, list[Job]] = {}
    template_of: dict[str, str] = {}
    for job in plan.jobs:
        by_name.setdefault(job.template, []).append(job)
        template_of[job.name] = job.template
    phase_needs = {phase.name: set(_phase_jobs(plan, phase.needs)) for phase in plan.phases}
    return tuple(_group(name, jobs, template_of, phase_needs) for name, jobs in by_name.items())


def _group(
    name: str, jobs: Sequence[Job], template_of: Mapping[str, str], phase_needs: Mapping[str, set[str]]
) -> Group:
    told: dict[str, None] = {}
    needs: dict[str, None] = {}
    by_phase = phase_needs.get(jobs[0].phase, set())
    for wanted in {job.needs: None for job in jobs}:
        for need in wanted:
            needs[template_of[need]] = None
            if need not in by_phase:
                told[template_of[need]] = None
    return Group(name=name, phase=jobs[0].phase, jobs=tuple(jobs), needs=tuple(needs), told=tuple(told))


def _phase_jobs(plan: Plan, names: Iterable[str]) -> list[str]:
    wanted = set(names)
    return [job.name for job in plan.jobs if wanted & {job.phase, job.template, job.name}]


def _common(word: str, first: Job, last: Job, at: int) -> str:
    """The word with the parameters that make it differ between two jobs of a template put back."""
    other = last.argv[at] if at < len(last.argv) else ""
    if word == other:
        return word
    for name in sorted(first.params, key=lambda name: -len(first.params[name])):
        mine, theirs = first.params[name], last.params[name]
        if mine != theirs:
            word, other = _put_back(word, mine, name), _put_back(other, theirs, name)
    return word if word == other else "…"


def _put_back(word: str, value: str, name: str) -> str:
    return re.sub(rf"(?<![A-Za-z0-9]){re.escape(value)}(?![A-Za-z0-9])", f"{{{name}}}", word)


def _quoted(word: str) -> str:
    return word if re.fullmatch(r"[^\s'\"\\]+", word) else shlex.quote(word)
