"""The one place where workers and pool places are handed out."""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heappop, heappush

from msgspec import Struct

Demand = tuple[tuple[str, int], ...]
"""The pool places a job takes, sorted by pool."""

Rank = tuple[float, int]
"""Smaller goes first. The second part is the job's number in the plan, so ranks are unique."""


class _Line(Struct):
    """Ready jobs with the same demand. A parked line waits for a place in one pool that was too full."""

    ready: list[Rank]
    parked: bool = False


class Admission:
    """Ready jobs in lines, one line per distinct demand; the best job of all open lines starts next.

    A line whose demand does not fit is parked at the first pool that lacks room and looked at again only
    when that pool has the room. So a job that waits for a pool is passed by others and costs nothing.
    """

    def __init__(self, *, workers: int, pools: Mapping[str, int]) -> None:
        self._free = workers
        self._room = dict(pools)
        self._lines: dict[Demand, _Line] = {}
        self._front: list[tuple[Rank, Demand]] = []  # the first of each open line, and stale entries
        self._parked: dict[str, list[tuple[int, Demand]]] = {pool: [] for pool in pools}  # heaps: fewest places first

    def add(self, rank: Rank, demand: Demand) -> None:
        """Queue a job that may start as soon as there is room."""
        line = self._lines.setdefault(demand, _Line(ready=[]))
        heappush(line.ready, rank)
        if not line.parked and line.ready[0] == rank:
            heappush(self._front, (rank, demand))

    def take(self) -> int | None:
        """Give the best ready job that fits its worker and places; None if there is none."""
        while self._free and self._front:
            rank, demand = heappop(self._front)
            line = self._lines[demand]
            if line.parked or not line.ready or line.ready[0] != rank:
                continue  # stale
            if lack := next(((pool, places) for pool, places in demand if self._room[pool] < places), None):
                pool, places = lack
                line.parked = True
                heappush(self._parked[pool], (places, demand))
                continue
            heappop(line.ready)
            self._occupy(demand)
            if line.ready:
                heappush(self._front, (line.ready[0], demand))
            return rank[1]
        return None

    def release(self, demand: Demand) -> None:
        """Take back the worker and the places of a job that was given them."""
        self._free += 1
        for pool, places in demand:
            self._room[pool] += places
            parked = self._parked[pool]
            while parked and parked[0][0] <= self._room[pool]:
                self._reopen(heappop(parked)[1])

    def clear(self) -> None:
        """Forget every queued job. What is taken stays taken."""
        self._lines.clear()
        self._front.clear()
        for parked in self._parked.values():
            parked.clear()

    def _reopen(self, demand: Demand) -> None:
        line = self._lines[demand]
        line.parked = False
        heappush(self._front, (line.ready[0], demand))

    def _occupy(self, demand: Demand) -> None:
        self._free -= 1
        for pool, places in demand:
            self._room[pool] -= places
