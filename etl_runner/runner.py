"""The asyncio loop of a run: the scheduler's commands go out, events come in.

Order of things: what happened is handed to the scheduler and to the ledger; jobs that depend on it start, and the end
of the run is told, only after the ledger has it on disk. Sinks hear of an event after it was written.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial

from etl_runner.attempts import Attempts, Executor
from etl_runner.control import STOPPED_BEFORE
from etl_runner.environment import Orders, base_environment
from etl_runner.errors import EtlError
from etl_runner.events import (
    AttemptExited,
    AttemptReported,
    DeadlinePassed,
    Event,
    JobExpanded,
    Record,
    RunFinished,
    RunStarted,
    Stimulus,
    StopReason,
    StopRequested,
    counts,
)
from etl_runner.expanding import copy_of
from etl_runner.inbox import Inbox
from etl_runner.journal import Journal, Memory, Sink, Sinks
from etl_runner.masking import Masker
from etl_runner.model import Order, Plan, RunStatus
from etl_runner.paths import Home
from etl_runner.reported import expansion_of
from etl_runner.scheduler import Announce, Command, Expand, Launch, Scheduler, Stop
from etl_runner.signals import die_of, handled_signals
from etl_runner.ticks import every

REFRESH_SECONDS = 0.25


class Runner:
    """Executes one plan once.

    `env` is what jobs inherit, `about` opens the run's records, `passes_on` names the job whose own exit status the
    run ends with if it failed. `before_retry` clears up what earlier attempts of an order may have left elsewhere.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        run: int,
        about: RunStarted,
        scheduler: Scheduler,
        executor: Executor,
        memory: Memory,
        sinks: Iterable[Sink],
        home: Home,
        env: Mapping[str, str],
        passes_on: str | None = None,
        masker: Masker | None = None,
        before_retry: Callable[[Order], Awaitable[None]] | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._run = run
        self._about = about
        self._scheduler = scheduler
        self._home = home
        self._passes_on = passes_on
        self._masker = masker or Masker()
        self._clock = clock
        self._orders = Orders(run=run, profile=plan.profile, home=home, base=base_environment(env), started=clock())
        self._sinks = Sinks(sinks)
        self._journal = Journal(memory, self._sinks, run=run, clock=clock, masker=masker)
        self._jobs = {job.name: job for job in plan.jobs}
        self._copies: dict[str, tuple[str, ...]] = {}  # of jobs that were replaced by them
        self._inbox = Inbox()
        self._attempts = Attempts(
            executor,
            inbox=self._inbox,
            order=self._order,
            before_retry=before_retry,
            reported=self._report,
            output=self._sinks.output,
        )
        self._signals = 0
        self.failure: EtlError | None = None

    async def run(self) -> RunFinished:
        """Run to the end and return how it ended; `failure` is set if the ledger failed on the way.

        Handles INT, TERM and HUP: the first stops the jobs within their grace, the second at once, the third leaves.
        """
        self._loop = asyncio.get_running_loop()
        begun = self._loop.time()
        with ExitStack() as stack:
            stack.callback(self._journal.close)
            stack.enter_context(handled_signals(self._loop, self._on_signal))
            stack.enter_context(every(REFRESH_SECONDS, self._sinks.refresh))
            try:
                return await self._drive(begun)
            finally:
                await self._attempts.abandon()

    @property
    def ended_by(self) -> int | None:
        """The signal that ended the run, if one did."""
        stopped = self._scheduler.stopped
        return stopped.signal if stopped else None

    async def _drive(self, begun: float) -> RunFinished:
        told = self._scheduler.start(begun)
        await self._record([self._about], launches=self._collect(told))
        await self._step([self._expand(c.job) for c in told if isinstance(c, Expand)])
        while not self._scheduler.done:
            await self._step(await self._inbox.take(deadline=self._scheduler.deadline()))
        ended = self._finished(self._loop.time() - begun)
        await self._record([ended], last=True)
        return ended

    async def _step(self, arrived: Sequence[Stimulus]) -> None:
        events: list[Event] = []
        commands: list[Command] = []
        stimuli = deque(arrived)
        while stimuli:
            stimulus = stimuli.popleft()
            if isinstance(stimulus, JobExpanded) and stimulus.job in self._scheduler.outcomes:
                continue  # the run was stopped over another's copies: nobody asks for these any more
            if not isinstance(stimulus, DeadlinePassed):
                events.append(stimulus)
            told = self._scheduler.handle(stimulus, self._loop.time())
            events += [command.event for command in told if isinstance(command, Announce)]
            stimuli.extendleft(self._expand(c.job) for c in reversed(told) if isinstance(c, Expand))
            commands += told
        launches = self._collect(commands)
        await self._record(events, launches=launches)

    def _expand(self, name: str) -> JobExpanded:
        """Say what the copies of a job are, now that all it needs is over."""
        job = self._jobs[name]
        outputs = partial(self._home.output, self._run)
        event = expansion_of(job, ends=self._scheduler.outcomes, others=self._jobs, outputs=outputs)
        self._copies[name] = tuple(copy.name for copy in event.copies)
        self._jobs |= {copy.name: copy_of(job, copy) for copy in event.copies}
        return event

    def _collect(self, commands: Sequence[Command]) -> list[Launch]:
        """Carry out the stops, which must not wait; return the launches."""
        launches = {(c.job, c.attempt): c for c in commands if isinstance(c, Launch)}
        for command in commands:
            if isinstance(command, Stop):
                self._stop(command, launches)
        return list(launches.values())

    def _stop(self, stop: Stop, launches: dict[tuple[str, int], Launch]) -> None:
        if launches.pop((stop.job, stop.attempt), None):  # launched and stopped in one step: it never ran
            self._inbox.put(AttemptExited(job=stop.job, attempt=stop.attempt, seconds=0.0, error=STOPPED_BEFORE))
        else:
            self._attempts.stop(stop)

    async def _record(self, events: Sequence[Event], *, launches: Sequence[Launch] = (), last: bool = False) -> None:
        """Have the ledger take the events, then start what they released."""
        causes = self._causes(launches)
        durable = last or any(launch.attempt > 1 for launch in launches) or self._has_news_from_afar(causes)
        try:
            await self._journal.take(events, durable=durable, before=causes)
        except EtlError as error:
            self._lose_ledger(error)
        for launch in launches:
            self._attempts.launch(launch)

    def _causes(self, launches: Iterable[Launch]) -> set[str]:
        """The jobs whose ends these launches follow from."""
        needs = {need for launch in launches for need in self._jobs[launch.job].needs}
        return needs.union(*(self._copies.get(need, ()) for need in needs))

    def _has_news_from_afar(self, causes: Iterable[str]) -> bool:
        """Whether one of them was skipped before all it needs was over: what is followed is the end of that, then."""
        ends = self._scheduler.outcomes
        return any(ends[cause].because for cause in causes if cause in ends)

    def _lose_ledger(self, error: EtlError) -> None:
        """A run that cannot be remembered is stopped: what it did would be done again."""
        if self.failure is None:
            self.failure = error
            self._inbox.put(StopRequested(reason=StopReason.SIGNAL))

    def _order(self, launch: Launch) -> Order:
        return self._orders.order(self._jobs[launch.job], launch.attempt, now=self._clock())

    def _report(self, event: AttemptReported) -> None:
        self._sinks.tell([Record(run=self._run, seq=0, at=self._clock(), event=self._masker.struct(event))])

    def _on_signal(self, number: int) -> None:
        self._signals += 1
        if self._signals > 2:  # leave at once: the shims end what is left, and hold the locks until then
            die_of(number)
        self._inbox.put(StopRequested(reason=StopReason.SIGNAL, signal=number, force=self._signals > 1))

    def _finished(self, seconds: float) -> RunFinished:
        status = self._scheduler.status
        if self.failure:
            status = RunStatus.FAILED
        return RunFinished(
            status=status,
            exit=self._exit_status(status),
            seconds=round(seconds, 4),
            counts=counts(job.outcome for job in self._scheduler.outcomes.values()),
        )

    def _exit_status(self, status: RunStatus) -> int:
        if self.ended_by:
            return 128 + self.ended_by
        if status is RunStatus.SUCCEEDED:
            return 0
        job = self._scheduler.outcomes[self._passes_on] if self._passes_on else None
        return (job.exit if job else None) or 1
