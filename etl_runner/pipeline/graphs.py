"""A plan as a graph for other programs: Mermaid, Graphviz, JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from etl_runner.model import Job, Plan
from etl_runner.pipeline.groups import Group, groups


def draw_mermaid(plan: Plan) -> str:
    """A Mermaid flow chart: a subgraph for each phase, a node for each template."""
    drawn = groups(plan)
    nodes = {group.name: f"j{number}" for number, group in enumerate(drawn)}
    phases = {phase.name: f"p{number}" for number, phase in enumerate(plan.phases)}
    lines = ["flowchart LR"]
    for phase, members in _by_phase(plan, drawn):
        inner = [f'{nodes[group.name]}["{group.short}"]' for group in members]
        if phase:
            lines += [f'  subgraph {phases[phase]}["{phase}"]', *(f"    {node}" for node in inner), "  end"]
        else:
            lines += [f"  {node}" for node in inner]
    for before, after in _edges(plan, drawn):
        ends = [phases[end.name] if end.is_phase else nodes[end.name] for end in (before, after)]
        lines.append(f"  {ends[0]} --> {ends[1]}")
    return "\n".join(lines)


def draw_dot(plan: Plan) -> str:
    """A Graphviz graph: a cluster for each phase, a node for each template."""
    drawn = groups(plan)
    members = dict(_by_phase(plan, drawn))
    lines = [f'digraph "{plan.pipeline}" {{', "  rankdir=LR;", "  compound=true;", "  node [shape=box];"]
    for number, (phase, inside) in enumerate(members.items()):
        inner = [f'"{group.name}" [label="{group.short}"];' for group in inside]
        if phase:
            head = [f"  subgraph cluster_{number} {{", f'    label="{phase}";']
            lines += [*head, *(f"    {node}" for node in inner), "  }"]
        else:
            lines += [f"  {node}" for node in inner]
    clusters = {phase: f"cluster_{number}" for number, phase in enumerate(members)}
    for before, after in _edges(plan, drawn):
        at = [members[end.name][0].name if end.is_phase else end.name for end in (before, after)]
        cut = [f"{word}={clusters[end.name]}" for word, end in (("ltail", before), ("lhead", after)) if end.is_phase]
        attributes = f" [{', '.join(cut)}]" if cut else ""
        lines.append(f'  "{at[0]}" -> "{at[1]}"{attributes};')
    return "\n".join([*lines, "}"])


def plan_document(plan: Plan, *, estimates: Mapping[str, float] = {}) -> dict[str, Any]:
    """The plan as a JSON-ready document. Of each job's environment only the names are shown: values may be secret."""
    jobs = [_job_document(job, estimates.get(job.name)) for job in plan.jobs]
    return {"version": 1, **_fields(plan), "jobs": jobs}


def _job_document(job: Job, expected: float | None) -> dict[str, Any]:
    seconds = None if expected is None else round(expected, 3)
    return {**_fields(job), "env": sorted(job.env), "retry": _fields(job.retry), "expected_seconds": seconds}


def _fields(of: Struct) -> dict[str, Any]:
    """All of its fields, also where they have their usual values."""
    return {name: msgspec.to_builtins(getattr(of, name)) for name in of.__struct_fields__}


def _by_phase(plan: Plan, drawn: tuple[Group, ...]) -> Iterator[tuple[str, list[Group]]]:
    for name in (*(phase.name for phase in plan.phases), ""):
        members = [group for group in drawn if group.phase == name]
        if members:
            yield name, members


class _End(Struct, frozen=True):
    """One end of an arrow: a phase or a template."""

    name: str
    is_phase: bool


def _edges(plan: Plan, drawn: tuple[Group, ...]) -> Iterator[tuple[_End, _End]]:
    """The needs of phases, then those of templates that no phase tells."""
    template_of = {job.name: group.name for group in drawn for job in group.jobs}
    used = {group.phase for group in drawn}
    for phase in plan.phases:
        for need in phase.needs if phase.name in used else ():
            if need in used:
                yield _End(need, True), _End(phase.name, True)
            elif need in template_of or need in template_of.values():
                yield _End(template_of.get(need, need), False), _End(phase.name, True)
    for group in drawn:
        for need in group.told:
            yield _End(need, False), _End(group.name, False)
