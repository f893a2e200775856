"""The needs of a plan as a graph of numbers: who waits for whom, in which order, how long at least."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from etl_runner.model import Job


class Graph(Struct, frozen=True, kw_only=True):
    """Jobs by their number in the plan. `order` is topological: needs stand before what needs them."""

    needs: tuple[tuple[int, ...], ...]
    dependents: tuple[tuple[int, ...], ...]
    order: tuple[int, ...]


def graph_of(jobs: Sequence[Job]) -> Graph:
    """The graph of a plan's jobs. Raises KeyError for an unknown need, ValueError for a cycle."""
    number = {job.name: index for index, job in enumerate(jobs)}
    needs = tuple(tuple(dict.fromkeys(number[name] for name in job.needs)) for job in jobs)
    dependents: list[list[int]] = [[] for _ in jobs]
    for index, needed in enumerate(needs):
        for need in needed:
            dependents[need].append(index)
    return Graph(needs=needs, dependents=tuple(map(tuple, dependents)), order=_order(needs, dependents))


def remaining_paths(graph: Graph, seconds: Sequence[float]) -> list[float]:
    """For each job its seconds and those of the longest chain of jobs that wait for it."""
    remaining = list(seconds)
    for index in reversed(graph.order):
        remaining[index] += max((remaining[d] for d in graph.dependents[index]), default=0.0)
    return remaining


def longest_path(graph: Graph, seconds: Sequence[float]) -> list[int]:
    """The chain of needs that takes longest, first job first; ties go to the job earlier in the plan."""
    remaining = remaining_paths(graph, seconds)
    path: list[int] = []
    candidates: Sequence[int] = range(len(seconds))
    while candidates:
        path.append(max(candidates, key=remaining.__getitem__))
        candidates = graph.dependents[path[-1]]
    return path


def _order(needs: Sequence[Sequence[int]], dependents: Sequence[Sequence[int]]) -> tuple[int, ...]:
    missing = [len(needed) for needed in needs]
    order = [index for index, count in enumerate(missing) if not count]
    for index in order:  # grows while it is walked
        for dependent in dependents[index]:
            missing[dependent] -= 1
            if not missing[dependent]:
                order.append(dependent)
    if len(order) < len(needs):
        raise ValueError("the plan's needs form a cycle")
    return tuple(order)
