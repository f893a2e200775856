"""An outside world for the scheduler: plays a scenario in virtual time and writes down what was said."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush

from msgspec import Struct

from etl_runner.events import (
    AttemptExited,
    AttemptStarted,
    DeadlinePassed,
    JobExpanded,
    JobFinished,
    Stimulus,
    StopReason,
    StopRequested,
)
from etl_runner.scheduler import Announce, Command, Expand, Launch, Scheduler, Stop
from tests.support.plans import Scenario

MOST_STEPS = 5000
ECHO = 1.5  # seconds after which a late attempt is announced again, be it over or not


class Step(Struct, frozen=True, kw_only=True):
    """One call of the scheduler: when, with what (None for start), what it answered and its deadline then."""

    now: float
    stimulus: Stimulus | None
    commands: tuple[Command, ...]
    deadline: float | None


class World:
    """Carries out commands as the scenario says. Iterating plays the run step by step."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.scheduler = Scheduler(scenario.plan, estimates=scenario.estimates)
        self._coming: list[tuple[float, int, Stimulus]] = []
        self._exits: dict[tuple[str, int], float] = {}  # live attempts: when they will exit
        self._started: dict[tuple[str, int], float] = {}
        self._count = 0

    def __iter__(self) -> Iterator[Step]:
        for at, force in self.scenario.stops:
            self._expect(at, StopRequested(reason=StopReason.SIGNAL, signal=2, force=force))
        yield self._step(0.0, None)
        now = 0.0
        for _ in range(MOST_STEPS):
            found = self._next(now)
            if found is None:
                return
            now, stimulus = found
            yield self._step(now, stimulus)
        raise AssertionError("the run does not end")

    def _next(self, now: float) -> tuple[float, Stimulus] | None:
        while self._coming and self._is_stale(self._coming[0]):
            heappop(self._coming)
        deadline = self.scheduler.deadline()
        if deadline is not None and (not self._coming or deadline + self.scenario.lag < self._coming[0][0]):
            return max(now, deadline + self.scenario.lag), DeadlinePassed()
        if not self._coming:
            return None
        at, _, stimulus = heappop(self._coming)
        if isinstance(stimulus, AttemptExited):
            del self._exits[stimulus.job, stimulus.attempt]
        return at, stimulus

    def _is_stale(self, coming: tuple[float, int, Stimulus]) -> bool:
        """Whether this is the end that an attempt would have had, had it not been stopped earlier."""
        at, _, stimulus = coming
        return isinstance(stimulus, AttemptExited) and self._exits.get((stimulus.job, stimulus.attempt)) != at

    def _step(self, now: float, stimulus: Stimulus | None) -> Step:
        scheduler = self.scheduler
        commands = scheduler.start(now) if stimulus is None else scheduler.handle(stimulus, now)
        for command in commands:  # grows while it is walked
            match command:
                case Launch():
                    self._launch(command, now)
                case Stop():
                    self._stop(command, now)
                case Expand(job=name):
                    commands += scheduler.handle(JobExpanded(job=name, copies=self.scenario.copies[name]), now)
                case Announce():
                    pass
        return Step(now=now, stimulus=stimulus, commands=tuple(commands), deadline=scheduler.deadline())

    def _launch(self, launch: Launch, now: float) -> None:
        does = self.scenario.behaviour(launch.job, launch.attempt)
        begin = now + does.boot
        if not does.error:
            started = AttemptStarted(job=launch.job, attempt=launch.attempt, pid=1)
            self._expect(begin, started)
            if does.late:
                self._expect(begin + ECHO, started)
        self._started[launch.job, launch.attempt] = begin
        self._exit(launch, begin + (0 if does.error else does.seconds), does.exit, signal=does.signal, error=does.error)

    def _stop(self, stop: Stop, now: float) -> None:
        key = (stop.job, stop.attempt)
        does = self.scenario.behaviour(*key)
        end = now if stop.force else now + does.wind_down
        if key not in self._exits or end >= self._exits[key]:
            return
        if not does.late and self._started[key] > now:
            self._coming = sorted(c for c in self._coming if not _starts(c[2], key))
        code = does.exit_when_stopped
        self._exit(stop, end, code, signal=15 if code is None else None, error="")

    def _exit(self, of: Launch | Stop, at: float, code: int | None, *, signal: int | None, error: str) -> None:
        self._exits[of.job, of.attempt] = at
        seconds = max(0.0, at - self._started[of.job, of.attempt])
        self._expect(
            at,
            AttemptExited(job=of.job, attempt=of.attempt, seconds=seconds, exit=code, signal=signal, error=error),
        )

    def _expect(self, at: float, stimulus: Stimulus) -> None:
        self._count += 1
        heappush(self._coming, (at, self._count, stimulus))


def _starts(stimulus: Stimulus, key: tuple[str, int]) -> bool:
    return isinstance(stimulus, AttemptStarted) and (stimulus.job, stimulus.attempt) == key


def play(scenario: Scenario) -> list[Step]:
    return list(World(scenario))


def ends(steps: list[Step]) -> list[JobFinished]:
    """The announced outcomes in their order."""
    told = (command.event for step in steps for command in step.commands if isinstance(command, Announce))
    return [event for event in told if isinstance(event, JobFinished)]
