"""Which job stands under which in the drawn tree of a phase."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from etl_runner.pipeline.groups import Group

DEEPEST = 6


class Nesting:
    """A group stands under the one it waits for last, if there is just one, and not deeper than DEEPEST.

    `parent` is that one's name, empty for a group that stands at the top.
    """

    def __init__(self, members: Sequence[Group]) -> None:
        names = {group.name for group in members}
        self.needs = {group.name: [need for need in group.needs if need in names] for group in members}
        self.level = _levels(self.needs)
        self.last = {group.name: self._last(group.name) for group in members}
        self.parent: dict[str, str] = {}
        depth: dict[str, int] = {"": -1}
        for name in sorted(self.needs, key=lambda name: self.level[name]):
            above = self.last[name]
            self.parent[name] = above if depth[above] < DEEPEST else ""
            depth[name] = depth[self.parent[name]] + 1

    def told(self, group: Group) -> tuple[str, ...]:
        """The needs that the tree does not show."""
        if self.parent[group.name]:
            return tuple(need for need in group.told if need not in self.needs)
        near = self.last[group.name]
        return tuple(need for need in group.told if need not in self.needs or not near or need == near)

    def _last(self, name: str) -> str:
        """The one need that comes after all the others, empty if there is none."""
        needs = self.needs[name]
        if not needs:
            return ""
        last = max(needs, key=lambda need: self.level[need])
        others = {need for need in needs if need != last}
        return last if others <= self._before(last, down_to=min(self.level[need] for need in needs)) else ""

    def _before(self, name: str, *, down_to: int) -> set[str]:
        """What a group waits for, directly or not, as far down as a level."""
        found: set[str] = set()
        pending = [name]
        while pending:
            for need in self.needs[pending.pop()]:
                if need not in found and self.level[need] >= down_to:
                    found.add(need)
                    pending.append(need)
        return found


def _levels(needs: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """The length of the longest way down from each group."""
    levels: dict[str, int] = {}
    for start in needs:
        pending = [start]
        while pending:
            name = pending[-1]
            missing = [need for need in needs[name] if need not in levels]
            if missing:
                pending.extend(missing)
            else:
                levels[pending.pop()] = 1 + max((levels[need] for need in needs[name]), default=-1)
    return levels
