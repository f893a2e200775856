"""Decides what a run does next: stimuli in, commands out, no clock, no processes.

Theory of operation
-------------------
The runner calls `start(now)` once and then `handle(stimulus, now)` for everything that happens; both answer
with commands in the order in which they are to be carried out. Time comes in as `now`; what the scheduler
wants to be woken for is `deadline()`. No call leaves undone what is due: `deadline()` is None or after `now`.

    WAITING ──needs satisfied──▶ READY ──admitted──▶ LIVE ──exit──▶ OVER
                                   ▲                  │ failed, another try is left
                                   └──delay is over── DELAYED

Every job goes this way once and ends OVER, announced by exactly one JobFinished. A job with an expansion waits,
too, and then asks for its copies (EXPANDING); until they are known nothing starts. They take its place, ready to start,
behind all others in plan order, and what waits for it waits for each of them. It ends itself only if there are none.

*Over and settled.* A job is over when it has an outcome, and settled when it is over and all its needs are
settled. Bad news travels as soon as a job is over: what needs a failed job is skipped at once and names it
(`because`). Everything else waits for settled needs. So when a job starts, nothing upstream of it is still
running, not even behind a job that was skipped early: a cleanup never runs into the load it cleans up after.
`pending` counts the needs that are not settled, plus one for the job itself: at one the job can be decided,
at zero it is settled.

*A slot* (a worker and the pool places) is held from Launch to AttemptExited, stopping included; a delay holds
none. `Admission` hands slots out, and only after a stimulus is wholly digested: one point, over the whole
state. The longest remaining path goes first; an unknown estimate counts as nothing, equals go in plan order.

*Stopping.* An attempt is asked to stop once (and once more by force); the first reason decides the outcome,
whatever the exit status says. Timeouts run from AttemptStarted; an exit that is handed in first has made it.
A signal and the run's timeout end all that is not over; fail-fast spares jobs that run always or on failure.

*Lazy deadlines.* A task's `due` is the truth; the heap may hold stale entries, which match no `due`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from heapq import heappop, heappush
from typing import assert_never

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
from etl_runner.model import Copy, Outcome, Plan, RunStatus, When
from etl_runner.scheduler.admission import Admission
from etl_runner.scheduler.commands import Announce, Command, Expand, Launch, Stop
from etl_runner.scheduler.task import State, Task, finished, retrying, task_of_copy, tasks_of
from etl_runner.scheduler.verdict import is_worth_a_retry, outcome_of, reason_of, retry_delay


class Scheduler:
    """The brain of one run: `plan` is valid, `estimates` are seconds by job, `chance` throws in [0, 1).

    Stimuli about attempts that are not live (any more) change nothing.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        estimates: Mapping[str, float] = {},
        chance: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.stopped: StopRequested | None = None
        """The last stop, be it asked for or the scheduler's own (fail-fast, then the run's timeout)."""
        self._plan = plan
        self._chance = chance
        self._estimates = estimates
        self._tasks = tasks_of(plan, estimates)
        self._by_name = {task.job.name: task for task in self._tasks}
        self._admission = Admission(workers=plan.workers, pools=plan.pools)
        self._dues: list[tuple[float, int]] = []
        self._run_due: float | None = None
        self._over: deque[Task] = deque()
        self._settled: deque[Task] = deque()
        self._outcomes: dict[str, JobFinished] = {}
        self._replaced = 0  # jobs whose copies took their place
        self._expanding = 0
        self._failed = False
        self._culprit = ""  # the job whose failure made it so
        self._commands: list[Command] = []

    def start(self, now: float) -> list[Command]:
        """Begin the run: the first commands."""
        if self._plan.timeout is not None:
            self._run_due = now + self._plan.timeout
        for task in self._tasks:
            if not task.job.needs:
                self._decide(task)
        self._spread()
        return self._admit()

    def handle(self, stimulus: Stimulus, now: float) -> list[Command]:
        """Digest what happened; `now` never goes back."""
        match stimulus:
            case AttemptStarted():
                self._started(stimulus, now)
            case AttemptExited():
                self._exited(stimulus, now)
            case JobExpanded():
                self._expanded(stimulus)
            case StopRequested():
                self._stop_run(stimulus)
            case DeadlinePassed():
                pass  # what is due is done below, whatever woke us
            case _:
                assert_never(stimulus)
        self._expire(now)
        return self._admit()

    def deadline(self) -> float | None:
        """When DeadlinePassed is to be handed in; None if nothing waits for time."""
        while self._dues and self._tasks[self._dues[0][1]].due != self._dues[0][0]:
            heappop(self._dues)
        dues = [self._dues[0][0]] if self._dues else []
        if self._run_due is not None and not self.done:
            dues.append(self._run_due)
        return min(dues, default=None)

    @property
    def done(self) -> bool:
        return len(self._outcomes) == len(self._tasks) - self._replaced

    @property
    def outcomes(self) -> Mapping[str, JobFinished]:
        """The jobs that are over, in the order in which they ended."""
        return self._outcomes

    @property
    def status(self) -> RunStatus:
        """How the run ended; while it is not done, how it stands."""
        by_signal = self.stopped is not None and self.stopped.reason is StopReason.SIGNAL
        if by_signal and any(end.outcome is Outcome.CANCELLED for end in self._outcomes.values()):
            return RunStatus.CANCELLED
        return RunStatus.FAILED if self._failed else RunStatus.SUCCEEDED

    # What happened

    def _started(self, started: AttemptStarted, now: float) -> None:
        task = self._live(started)
        if task and not task.stop and task.due is None and task.job.timeout is not None:
            self._wake(task, now + task.job.timeout)

    def _exited(self, exited: AttemptExited, now: float) -> None:
        task = self._live(exited)
        if task is None:
            return
        task.last = exited
        self._admission.release(task.demand)
        outcome = outcome_of(exited, task.stop)
        if outcome.is_failure and self._may_retry(task, exited):
            self._delay(task, exited, outcome, now)
        else:
            self._finish(task, outcome)
            self._spread()

    def _expanded(self, expanded: JobExpanded) -> None:
        task = self._by_name.get(expanded.job)
        if task is None or task.state is not State.EXPANDING:
            return
        if expanded.copies:
            self._replace(task, expanded.copies)
        else:
            outcome = Outcome.FAILED if expanded.error else Outcome.SKIPPED
            self._finish(task, outcome, reason=expanded.error or "there are no values for it")
            self._spread()

    def _expire(self, now: float) -> None:
        """Do what is due: stop attempts at their timeout, end delays, end the run at its timeout."""
        while self._dues and self._dues[0][0] <= now:
            due, index = heappop(self._dues)
            task = self._tasks[index]
            if task.due != due:
                continue
            task.due = None
            if task.state is State.LIVE:
                self._stop_attempt(task, StopReason.TIMEOUT, force=False)
            else:
                self._queue(task)
        if self._run_due is not None and self._run_due <= now:
            self._stop_run(StopRequested(reason=StopReason.RUN_TIMEOUT))

    def _stop_run(self, request: StopRequested) -> None:
        if self.done:
            return
        self.stopped = request
        if request.reason is StopReason.RUN_TIMEOUT:
            self._failed = True
        if request.reason is not StopReason.FAIL_FAST:
            self._run_due = None
        self._admission.clear()
        for task in self._tasks:
            if self._is_halted(task):
                self._halt(task, request)
            elif task.state is State.READY:
                self._queue(task)
        self._spread()

    def _halt(self, task: Task, request: StopRequested) -> None:
        if task.state is State.LIVE:
            self._stop_attempt(task, request.reason, force=request.force)
        elif task.state is not State.OVER:
            self._finish(task, Outcome.CANCELLED)

    # What follows from it

    def _spread(self) -> None:
        """Carry news of jobs that are over or settled to what needs them, until there is no more."""
        while self._over or self._settled:
            if self._over:
                self._block(self._over.popleft())
            else:
                self._settle(self._settled.popleft())
        if self._plan.fail_fast and self._failed and self.stopped is None:
            self._stop_run(StopRequested(reason=StopReason.FAIL_FAST))

    def _block(self, task: Task) -> None:
        end = self._outcomes[task.job.name]
        if task.job.optional or not (end.outcome.is_failure or end.because):
            return
        roots = end.because or (task.job.name,)
        for index in task.dependents:
            dependent = self._tasks[index]
            if dependent.state is State.WAITING and dependent.job.when is When.SUCCESS:
                self._finish(dependent, Outcome.SKIPPED, because=roots)

    def _settle(self, task: Task) -> None:
        for index in task.dependents:
            dependent = self._tasks[index]
            dependent.trouble = dependent.trouble or task.trouble
            dependent.pending -= 1
            if not dependent.pending:
                self._settled.append(dependent)
            elif dependent.pending == 1 and dependent.state is State.WAITING:
                self._decide(dependent)

    def _decide(self, task: Task) -> None:
        if task.job.when is When.FAILURE and not task.trouble:
            self._finish(task, Outcome.SKIPPED, reason="nothing failed")
        elif task.job.expand:
            task.state = State.EXPANDING
            self._expanding += 1
            self._commands.append(Expand(job=task.job.name))
        else:
            self._queue(task)

    def _replace(self, task: Task, copies: Sequence[Copy]) -> None:
        """Put tasks of the copies in the task's place."""
        task.state = State.OVER
        self._expanding -= 1
        self._replaced += 1
        del self._by_name[task.job.name]
        for index in task.dependents:
            self._tasks[index].pending += len(copies) - 1
        for copy in copies:
            new = task_of_copy(task, copy, number=len(self._tasks), estimates=self._estimates)
            self._tasks.append(new)
            self._by_name[copy.name] = new
            self._queue(new)

    def _finish(self, task: Task, outcome: Outcome, *, because: tuple[str, ...] = (), reason: str = "") -> None:
        if task.state is State.EXPANDING:
            self._expanding -= 1
            self._commands = [c for c in self._commands if c != Expand(job=task.job.name)]  # nobody asks any more
        task.state, task.due = State.OVER, None
        task.trouble = task.trouble or outcome.is_failure
        if outcome.is_failure and not task.job.optional:
            self._failed, self._culprit = True, self._culprit or task.job.name
        cause = task.stop or (self.stopped.reason if self.stopped else None)
        reason = reason or reason_of(outcome, task.last, stop=cause, timeout=task.job.timeout, culprit=self._culprit)
        end = finished(task, outcome, because=because, reason=reason)
        self._outcomes[task.job.name] = end
        self._commands.append(Announce(event=end))
        self._over.append(task)
        task.pending -= 1
        if not task.pending:
            self._settled.append(task)

    # Attempts

    def _queue(self, task: Task) -> None:
        task.state = State.READY
        self._admission.add(task.rank, task.demand)

    def _admit(self) -> list[Command]:
        """Start what can start, and hand out all commands gathered since the last call."""
        while not self._expanding and (index := self._admission.take()) is not None:
            task = self._tasks[index]
            task.state = State.LIVE
            task.attempt += 1
            self._commands.append(Launch(job=task.job.name, attempt=task.attempt))
        commands, self._commands = self._commands, []
        return commands

    def _live(self, stimulus: AttemptStarted | AttemptExited) -> Task | None:
        task = self._by_name[stimulus.job]
        return task if task.state is State.LIVE and task.attempt == stimulus.attempt else None

    def _wake(self, task: Task, due: float) -> None:
        task.due = due
        heappush(self._dues, (due, task.rank[1]))

    def _delay(self, task: Task, exited: AttemptExited, outcome: Outcome, now: float) -> None:
        delay = retry_delay(task.job.retry, task.attempt, self._chance())
        task.state, task.stop = State.DELAYED, None
        self._wake(task, now + delay)
        self._commands.append(Announce(event=retrying(task, exited, outcome=outcome, delay=delay)))

    def _stop_attempt(self, task: Task, reason: StopReason, *, force: bool) -> None:
        if task.stop is not None and (task.forced or not force):
            return
        task.stop, task.forced, task.due = task.stop or reason, force, None
        self._commands.append(Stop(job=task.job.name, attempt=task.attempt, force=force))

    def _is_halted(self, task: Task) -> bool:
        """Whether nothing of this job may start any more."""
        if self.stopped is None:
            return False
        return self.stopped.reason is not StopReason.FAIL_FAST or task.job.when is When.SUCCESS

    def _may_retry(self, task: Task, exited: AttemptExited) -> bool:
        left = task.attempt <= task.job.retry.count and not self._is_halted(task)
        return left and is_worth_a_retry(task.job.retry, exited, stop=task.stop)
