"""Where each job of a run is, and what to tell about it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto

from msgspec import Struct

from etl_runner.events import AttemptExited, JobFinished, JobRetrying, StopReason
from etl_runner.expanding import copy_of
from etl_runner.model import Copy, Job, Outcome, Plan
from etl_runner.scheduler.admission import Demand, Rank
from etl_runner.scheduler.graph import graph_of, remaining_paths


class State(Enum):
    WAITING = auto()
    EXPANDING = auto()
    READY = auto()
    LIVE = auto()
    DELAYED = auto()
    OVER = auto()


class Task(Struct, kw_only=True):
    """Where a job is; the scheduler changes it.

    `pending` is explained there. `last` is the end of the last attempt, `stop` why the live one is being
    stopped, `due` the live one's timeout or the delay's end, `trouble` that this job or one upstream failed.
    """

    job: Job
    rank: Rank
    demand: Demand
    dependents: tuple[int, ...]
    pending: int
    state: State = State.WAITING
    attempt: int = 0
    last: AttemptExited | None = None
    due: float | None = None
    stop: StopReason | None = None
    forced: bool = False
    trouble: bool = False


def tasks_of(plan: Plan, estimates: Mapping[str, float]) -> list[Task]:
    """All jobs of a plan, waiting; what has the longest way to the end of the run ranks first."""
    graph = graph_of(plan.jobs)
    remaining = remaining_paths(graph, [estimate_of(job, estimates) for job in plan.jobs])
    return [
        Task(
            job=job,
            rank=(-remaining[index], index),
            demand=tuple(sorted(job.pools.items())),
            dependents=graph.dependents[index],
            pending=len(graph.needs[index]) + 1,
        )
        for index, job in enumerate(plan.jobs)
    ]


def estimate_of(job: Job, estimates: Mapping[str, float]) -> float:
    """What a job usually takes, else what the copies of its template do; nothing where that is unknown."""
    return estimates.get(job.name, estimates.get(job.template, 0.0))


def task_of_copy(task: Task, copy: Copy, *, number: int, estimates: Mapping[str, float]) -> Task:
    """One of the jobs that the task's job stands for, ready to be started: all it needs is settled."""
    job = copy_of(task.job, copy)
    remaining = -task.rank[0] - estimate_of(task.job, estimates) + estimate_of(job, estimates)
    return Task(
        job=job,
        rank=(-remaining, number),
        demand=task.demand,
        dependents=task.dependents,
        pending=1,
        trouble=task.trouble,
    )


def finished(task: Task, outcome: Outcome, *, because: tuple[str, ...], reason: str) -> JobFinished:
    """The one announcement of the job's outcome, with what its last attempt left."""
    last = task.last
    return JobFinished(
        job=task.job.name,
        phase=task.job.phase,
        attempt=task.attempt,
        outcome=outcome,
        seconds=last.seconds if last else 0.0,
        exit=last.exit if last else None,
        signal=last.signal if last else None,
        metrics=last.metrics if last else {},
        because=because,
        reason=reason,
        optional=task.job.optional,
    )


def retrying(task: Task, exited: AttemptExited, *, outcome: Outcome, delay: float) -> JobRetrying:
    """The announcement that a failed attempt is followed by another."""
    return JobRetrying(
        job=task.job.name,
        attempt=task.attempt,
        attempts=task.job.retry.count + 1,
        outcome=outcome,
        delay=delay,
        exit=exited.exit,
        signal=exited.signal,
    )
