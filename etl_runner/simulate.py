"""A run in virtual time: the real scheduler, jobs that only take time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from heapq import heappop, heappush

from msgspec import Struct
from msgspec.structs import replace

from etl_runner.events import AttemptExited
from etl_runner.model import Plan
from etl_runner.scheduler import Command, Launch, Scheduler
from etl_runner.scheduler.graph import graph_of, longest_path


class Simulated(Struct, frozen=True, kw_only=True):
    """How a run would go. Seconds count from its begin; jobs that would not run are in neither mapping.

    `floor` is what no number of workers gets below, `path` the chain of jobs that makes it so.
    """

    workers: int
    makespan: float
    start: dict[str, float]
    finish: dict[str, float]
    floor: float
    path: tuple[str, ...]

    @property
    def work(self) -> float:
        """The seconds of all jobs together: what one worker would need."""
        return sum(self.finish[job] - start for job, start in self.start.items())


def simulate(
    plan: Plan,
    durations: Mapping[str, float],
    *,
    workers: int | None = None,
    estimates: Mapping[str, float] | None = None,
) -> Simulated:
    """Run `plan` in virtual time: every job takes its seconds of `durations` (0 if unknown) and succeeds.

    `workers` replaces the plan's. `estimates` decide the order as in a real run and are the durations unless
    given. Timeouts play no part, and a job whose copies are not known yet is one job. Raises ValueError if a job
    wants more places than its pool has.
    """
    workers = plan.workers if workers is None else workers
    plan = replace(plan, jobs=tuple(replace(job, expand=None) if job.expand else job for job in plan.jobs))
    scheduler = Scheduler(
        replace(plan, workers=workers, timeout=None), estimates=durations if estimates is None else estimates
    )
    start, finish = _play(scheduler, durations)
    if not scheduler.done:
        stuck = next(job.name for job in plan.jobs if job.name not in scheduler.outcomes)
        raise ValueError(f"{stuck!r} can never start: it or what it needs wants more places than there are")
    seconds = [durations.get(job.name, 0.0) if job.name in start else 0.0 for job in plan.jobs]
    path = [index for index in longest_path(graph_of(plan.jobs), seconds) if seconds[index]]
    return Simulated(
        workers=workers,
        makespan=max(finish.values(), default=0.0),
        start=start,
        finish=finish,
        floor=sum(seconds[index] for index in path),
        path=tuple(plan.jobs[index].name for index in path),
    )


def _play(scheduler: Scheduler, durations: Mapping[str, float]) -> tuple[dict[str, float], dict[str, float]]:
    start: dict[str, float] = {}
    finish: dict[str, float] = {}
    running: list[tuple[float, int, Launch]] = []

    def launch(commands: Iterable[Command], now: float) -> None:
        for command in commands:
            if isinstance(command, Launch):
                start[command.job] = now
                heappush(running, (now + durations.get(command.job, 0.0), len(start), command))

    launch(scheduler.start(0.0), 0.0)
    while running:
        now, _, ended = heappop(running)
        finish[ended.job] = now
        exited = AttemptExited(job=ended.job, attempt=ended.attempt, seconds=now - start[ended.job], exit=0)
        launch(scheduler.handle(exited, now), now)
    return start, finish
