"""A plan drawn as a tree, in plain text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from etl_runner.model import Plan, When
from etl_runner.pipeline.durations import format_duration
from etl_runner.pipeline.groups import Group, groups
from etl_runner.pipeline.nesting import Nesting

_ASCII = str.maketrans("├└│─…·×", "|`|-~-x")
_NAME = 25
_HEAD = 8


def draw_tree(
    plan: Plan, *, width: int = 80, unicode: bool = True, estimates: Mapping[str, float] = {}, source: str = ""
) -> str:
    """The plan by phases; a job stands under the one it waits for. `estimates` are seconds by job.

    No line is wider than `width`; `unicode=False` draws with ASCII alone.
    """
    drawn = groups(plan)
    usual = _usual(drawn)
    lines = [_ends(_title(plan), source, width)]
    if usual:
        lines.append(_cropped(f"each job: {' · '.join(usual)}", width))
    lines.append("")
    names = [phase.name for phase in plan.phases]
    for phase in (*names, ""):
        members = [group for group in drawn if group.phase == phase or (not phase and group.phase not in names)]
        if not members:
            continue
        if names:
            lines.append(_phase_line(plan, phase, members, width))
        lines.extend(_Branches(plan, members, width=width, estimates=estimates, usual=usual).lines())
    text = "\n".join(line.rstrip() for line in lines)
    return text if unicode else text.translate(_ASCII)


def _title(plan: Plan) -> str:
    facts = [_count(len(plan.jobs), "job")]
    if plan.phases:
        facts.append(_count(len(plan.phases), "phase"))
    facts.append(_count(plan.workers, "worker"))
    if plan.profile:
        facts.append(f"profile {plan.profile}")
    return f"{plan.pipeline}   {' · '.join(facts)}"


def _phase_line(plan: Plan, name: str, members: Sequence[Group], width: int) -> str:
    needs = next((phase.needs for phase in plan.phases if phase.name == name), ())
    if name:
        starts = f"after {', '.join(needs)}" if needs else "starts at once"
    else:
        starts = "in no phase"
    return _ends(f"{name or '-':<{_HEAD - 1}} {starts}", _count(sum(len(g.jobs) for g in members), "job"), width)


def _usual(drawn: Sequence[Group]) -> list[str]:
    """The limits of most templates, told once; empty if most have none."""
    told = [_limits(group) for group in drawn]
    usual = max(told, key=told.count, default=[])
    return usual if told.count(usual) > 1 else []


def _limits(group: Group) -> list[str]:
    job = group.jobs[0]
    limits = [] if job.timeout is None else [f"{format_duration(job.timeout)} limit"]
    if job.retry.count:
        limits.append("1 retry" if job.retry.count == 1 else f"{job.retry.count} retries")
    return limits


class _Line(Struct, frozen=True, kw_only=True):
    """A group in its place: `lead` is drawn before its name, `under` before what stands below it."""

    lead: str
    under: str
    group: Group


class _Branches:
    """The groups of one phase, each under the one it waits for."""

    def __init__(
        self,
        plan: Plan,
        members: Sequence[Group],
        *,
        width: int,
        estimates: Mapping[str, float],
        usual: Sequence[str],
    ) -> None:
        self.plan = plan
        self.width = width
        self.estimates = estimates
        self.usual = usual
        self.tree = Nesting(members)
        self.children: dict[str, list[Group]] = {}
        for group in members:
            self.children.setdefault(self.tree.parent[group.name], []).append(group)

    def lines(self) -> Iterator[str]:
        pending = self._placed("", "")
        while pending:
            line = pending.pop()
            children = self._placed(line.group.name, line.under)
            yield from self._drawn(line, has_children=bool(children))
            pending.extend(children)

    def _placed(self, parent: str, lead: str) -> list[_Line]:
        """The children of a group, the last first."""
        groups = self.children.get(parent, [])
        placed = [_Line(lead=f"{lead}├─ ", under=f"{lead}│  ", group=group) for group in groups[:-1]]
        placed += [_Line(lead=f"{lead}└─ ", under=f"{lead}   ", group=group) for group in groups[-1:]]
        return placed[::-1]

    def _drawn(self, line: _Line, *, has_children: bool) -> Iterator[str]:
        group = line.group
        left = f"{line.lead}{group.label}"
        right = self._estimate(group)
        room = self.width - max(_NAME, len(left) + 2) - len(right) - 2
        yield _ends(f"{left:<{_NAME - 2}}  {_cropped(group.command, room)}", right, self.width)
        facts = " · ".join(self._facts(group))
        if facts:
            lead = line.under + ("│" if has_children else "")
            yield _cropped(f"{lead:<{_NAME}}{facts}", self.width)

    def _estimate(self, group: Group) -> str:
        known = [self.estimates[job.name] for job in group.jobs if job.name in self.estimates]
        if not known:
            return ""
        each = " each" if len(group.jobs) > 1 else ""
        return f"~{short_seconds(sum(known) / len(known))}{each}"

    def _facts(self, group: Group) -> Iterator[str]:
        job = group.jobs[0]
        if job.expand:
            yield f"one for each value from {', '.join(job.expand.sources)}"
        if needs := self.tree.told(group):
            yield f"after {', '.join(needs)}"
        for pool, places in job.pools.items():
            yield (
                f"pool {pool} ({places} of {self.plan.pools[pool]})"
                if places > 1
                else (f"pool {pool} ({self.plan.pools[pool]} at once)")
            )
        limits = _limits(group)
        if limits != list(self.usual):
            yield from limits or ["no limit, no retries"]
        if job.when is not When.SUCCESS:
            yield "runs always" if job.when is When.ALWAYS else "runs after a failure"
        if job.optional:
            yield "optional"


def short_seconds(seconds: float) -> str:
    """Seconds for people: 4.9s, 35s, 1m 10s."""
    return f"{seconds:.1f}s" if seconds < 9.95 else format_duration(float(round(seconds)))


def _count(number: int, noun: str) -> str:
    return f"1 {noun}" if number == 1 else f"{number:,} {noun}s"


def _cropped(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: max(0, room - 1)]}…"


def _ends(left: str, right: str, width: int) -> str:
    """One text at each end of the line."""
    left = _cropped(left, width - (len(right) + 2 if right else 0))
    return f"{left}{right:>{width - len(left)}}"
