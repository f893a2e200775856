"""The rules of a run, told a second time without any cleverness: everything is found anew from the facts."""

from __future__ import annotations

import math
from functools import cache

from msgspec import Struct

from etl_runner.events import AttemptExited, AttemptStarted, Stimulus, StopReason, StopRequested
from etl_runner.model import Job, Outcome, RunStatus, When
from tests.support.plans import Scenario

FAILURES = (Outcome.FAILED, Outcome.TIMED_OUT)


class Attempt(Struct):
    number: int
    started: float | None = None
    stop: StopReason | None = None
    forced: bool = False


class Answer(Struct):
    """What is to be said in one step. Only the order of launches matters."""

    ends: dict[str, tuple[Outcome, tuple[str, ...], int]] = {}
    retries: dict[str, tuple[Outcome, float]] = {}
    stops: set[tuple[str, int, bool]] = set()
    launches: list[tuple[str, int]] = []


class Reference:
    """Answers each stimulus like the scheduler must. Slow on purpose."""

    def __init__(self, scenario: Scenario) -> None:
        self.plan, self.estimates = scenario.plan, scenario.estimates
        self.jobs = {job.name: job for job in scenario.plan.jobs}
        self.ended: dict[str, tuple[Outcome, tuple[str, ...], int]] = {}
        self.live: dict[str, Attempt] = {}
        self.tries = dict.fromkeys(self.jobs, 0)
        self.delayed: dict[str, float] = {}
        self.stopped: StopReason | None = None
        self.run_timed_out = False
        self.run_due = scenario.plan.timeout

    def step(self, stimulus: Stimulus | None, now: float) -> Answer:
        self.answer = Answer()
        match stimulus:
            case AttemptStarted(job=name, attempt=number) if self.is_live(name, number):
                if self.live[name].started is None:
                    self.live[name].started = now
            case AttemptExited(job=name, attempt=number) if self.is_live(name, number):
                self.exit(self.jobs[name], stimulus, now)
            case StopRequested(reason=reason, force=force):
                self.stop(reason, force)
        self.settle()
        if stimulus is not None:
            self.pass_time(now)
        self.settle()
        self.launch()
        return self.answer

    def is_live(self, name: str, number: int) -> bool:
        return name in self.live and self.live[name].number == number

    # Facts

    @property
    def done(self) -> bool:
        return len(self.ended) == len(self.jobs)

    @property
    def status(self) -> RunStatus:
        outcomes = {name: end[0] for name, end in self.ended.items()}
        if self.stopped is StopReason.SIGNAL and Outcome.CANCELLED in outcomes.values():
            return RunStatus.CANCELLED
        failed = any(o in FAILURES and not self.jobs[name].optional for name, o in outcomes.items())
        return RunStatus.FAILED if failed or self.run_timed_out else RunStatus.SUCCEEDED

    def deadline(self) -> float | None:
        if self.done:
            return None
        dues = list(self.delayed.values())
        for name, attempt in self.live.items():
            timeout = self.jobs[name].timeout
            if attempt.stop is None and attempt.started is not None and timeout is not None:
                dues.append(attempt.started + timeout)
        if self.run_due is not None:
            dues.append(self.run_due)
        return min(dues, default=None)

    def upstream(self, name: str) -> set[str]:
        found: set[str] = set()
        for need in self.jobs[name].needs:
            found |= {need} | self.upstream(need)
        return found

    def remaining(self, name: str) -> float:
        @cache
        def path(name: str) -> float:
            after = [path(other.name) for other in self.plan.jobs if name in other.needs]
            return self.estimates.get(name, 0.0) + max(after, default=0.0)

        return path(name)

    def is_quiet(self, name: str) -> bool:
        """Nothing of the job has happened, or it waits for room after a delay."""
        return name not in self.ended and name not in self.live and name not in self.delayed

    def roots(self, name: str) -> tuple[str, ...]:
        for need in self.jobs[name].needs:
            if need not in self.ended or self.jobs[need].optional:
                continue
            outcome, because, _ = self.ended[need]
            if outcome in FAILURES or because:
                return because or (need,)
        return ()

    def is_ready(self, name: str) -> bool:
        return self.is_quiet(name) and all(other in self.ended for other in self.upstream(name))

    # Rules

    def end(self, name: str, outcome: Outcome, because: tuple[str, ...] = ()) -> None:
        self.ended[name] = self.answer.ends[name] = (outcome, because, self.tries[name])

    def exit(self, job: Job, exited: AttemptExited, now: float) -> None:
        attempt = self.live.pop(job.name)
        outcome = {
            None: Outcome.SUCCEEDED if exited.exit == 0 else Outcome.FAILED,
            StopReason.TIMEOUT: Outcome.TIMED_OUT,
            StopReason.RUN_TIMEOUT: Outcome.TIMED_OUT,
        }.get(attempt.stop, Outcome.CANCELLED)
        kind = "signal" if exited.signal is not None else exited.exit
        kind = "timeout" if outcome is Outcome.TIMED_OUT else kind
        worth = kind not in (65, 78) if job.retry.on is None else kind in job.retry.on
        left = attempt.number < 1 + job.retry.count and not self.is_halted(job)
        if outcome not in FAILURES or not left or not worth or exited.error:
            self.end(job.name, outcome)
            return
        delay = job.retry.delay * job.retry.factor ** (attempt.number - 1)
        delay = delay if job.retry.cap is None else min(delay, job.retry.cap)
        self.delayed[job.name] = now + delay
        self.answer.retries[job.name] = (outcome, delay)

    def is_halted(self, job: Job) -> bool:
        if self.stopped is StopReason.FAIL_FAST:
            return job.when is When.SUCCESS
        return self.stopped is not None

    def stop(self, reason: StopReason, force: bool) -> None:
        if self.done:
            return
        if self.stopped is not StopReason.SIGNAL:
            self.stopped = reason
        if reason is not StopReason.FAIL_FAST:
            self.run_due = None
        for name, job in self.jobs.items():
            if name in self.ended or not self.is_halted(job):
                continue
            if name in self.live:
                self.stop_attempt(name, reason, force)
            else:
                self.delayed.pop(name, None)
                self.end(name, Outcome.CANCELLED)

    def stop_attempt(self, name: str, reason: StopReason, force: bool) -> None:
        attempt = self.live[name]
        if attempt.stop is None or (force and not attempt.forced):
            attempt.stop, attempt.forced = attempt.stop or reason, force
            self.answer.stops.add((name, attempt.number, force))

    def settle(self) -> None:
        before = -1
        while before != len(self.ended):
            before = len(self.ended)
            for name, job in self.jobs.items():
                if not self.is_quiet(name) or self.tries[name]:
                    continue
                if job.when is When.SUCCESS and self.roots(name):
                    self.end(name, Outcome.SKIPPED, self.roots(name))
                elif job.when is When.FAILURE and self.is_ready(name) and not self.went_wrong(name):
                    self.end(name, Outcome.SKIPPED)
        failed = any(o in FAILURES and not self.jobs[n].optional for n, (o, _, _) in self.ended.items())
        if self.plan.fail_fast and failed and self.stopped is None and not self.done:
            self.stop(StopReason.FAIL_FAST, False)
            self.settle()

    def went_wrong(self, name: str) -> bool:
        return any(self.ended[other][0] in FAILURES for other in self.upstream(name))

    def pass_time(self, now: float) -> None:
        for name, attempt in self.live.items():
            if attempt.stop is None and self.time_left(name, now) <= 0:
                self.stop_attempt(name, StopReason.TIMEOUT, False)
        self.delayed = {name: due for name, due in self.delayed.items() if due > now}
        if self.run_due is not None and self.run_due <= now and not self.done:
            self.run_timed_out = True
            self.stop(StopReason.RUN_TIMEOUT, False)

    def time_left(self, name: str, now: float) -> float:
        started, timeout = self.live[name].started, self.jobs[name].timeout
        return math.inf if started is None or timeout is None else started + timeout - now

    def launch(self) -> None:
        order = sorted(self.jobs, key=self.remaining, reverse=True)  # stable: plan order for equals
        for name in filter(self.is_ready, order):
            if len(self.live) < self.plan.workers and self.fits(self.jobs[name]):
                self.tries[name] += 1
                self.live[name] = Attempt(number=self.tries[name])
                self.answer.launches.append((name, self.tries[name]))

    def fits(self, job: Job) -> bool:
        taken = [self.jobs[name].pools for name in self.live]
        return all(
            sum(pools.get(pool, 0) for pools in taken) + places <= self.plan.pools[pool]
            for pool, places in job.pools.items()
        )
