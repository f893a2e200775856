"""How long a plan will take: the real scheduler in virtual time, with what its jobs usually take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from etl_runner.model import Plan
from etl_runner.pipeline.tree import short_seconds

_MOST_NAMES = 6


class Forecast(Struct, frozen=True, kw_only=True):
    """Seconds by number of workers (the plan's first), the least possible, and the jobs that decide it.

    `unknown` is how many jobs have no past: they are counted as taking no time.
    """

    seconds: dict[int, float]
    floor: float
    path: tuple[str, ...]
    unknown: int

    def text(self, *, width: int = 80, unicode: bool = True) -> str:
        """One to three lines for people."""
        times = [
            f"~{short_seconds(s)} with {n} worker{'' if n == 1 else 's'}" if not at else f"~{short_seconds(s)} with {n}"
            for at, (n, s) in enumerate(self.seconds.items())
        ]
        lines = [f"Expected {', '.join(times)}, never below {short_seconds(self.floor)}"]
        names = list(self.path)
        if len(names) > _MOST_NAMES:
            names[2:-2] = ["…" if unicode else ".."]
        way = f"({(' → ' if unicode else ' -> ').join(names)})."
        source = "From the last runs."
        if self.unknown:
            source += f" {self.unknown:,} job{'' if self.unknown == 1 else 's'} never ran: counted as 0s."
        together = f"{way} {source}"
        return "\n".join([*lines, together] if len(together) <= width else [*lines, way, source])

    def document(self) -> dict[str, Any]:
        """The forecast for programs."""
        return {
            "seconds_by_workers": {str(workers): round(seconds, 3) for workers, seconds in self.seconds.items()},
            "floor_seconds": round(self.floor, 3),
            "path": list(self.path),
            "unknown_jobs": self.unknown,
        }


def forecast(plan: Plan, estimates: Mapping[str, float]) -> Forecast | None:
    """The forecast of a plan; None if nothing is known about any of its jobs."""
    if not any(job.name in estimates for job in plan.jobs):
        return None
    from etl_runner.simulate import simulate

    first = simulate(plan, estimates)
    seconds = {plan.workers: first.makespan}
    more = round(plan.workers * 1.6)
    if more > plan.workers and first.makespan > first.floor * 1.05:
        faster = simulate(plan, estimates, workers=more).makespan
        if faster < first.makespan * 0.97:
            seconds[more] = faster
    return Forecast(
        seconds=seconds,
        floor=first.floor,
        path=first.path,
        unknown=sum(job.name not in estimates for job in plan.jobs),
    )
