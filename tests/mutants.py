"""Small mistakes in the scheduler that its tests must notice: `python -m tests.mutants [TEST FILE …]`.

All of them run against the scheduler's tests; the exit status is 0 if these pass untouched and fail for every mutant.
"""

from __future__ import annotations

import os
import sys

from tests.support.mutation import Mutant, check

TESTS = ("tests/test_scheduler.py", "tests/test_simulate.py", "tests/test_scheduler_properties.py")
OPTIONS = ("-n", "0", "--timeout", "30", "-k", "not hundred_thousand")  # a mutant may loop for ever

SCHEDULER = [
    (
        "a run has no timeout of its own",
        "self._run_due = now + self._plan.timeout",
        "self._run_due = None",
    ),
    ("nothing starts without needs", "if not task.job.needs:", "if task.job.needs:"),
    ("what is due waits for its own stimulus", "        self._expire(now)\n", ""),
    (
        "deadlines that are over are still told",
        "self._tasks[self._dues[0][1]].due != self._dues[0][0]:",
        "self._tasks[self._dues[0][1]].due is ...:",
    ),
    ("the run's timeout is no deadline", "dues.append(self._run_due)", "pass"),
    (
        "a finished run still has a deadline",
        "if self._run_due is not None and not self.done:",
        "if self._run_due is not None:",
    ),
    ("the latest deadline is told", "return min(dues, default=None)", "return max(dues, default=None)"),
    ("a signal always cancels the run", "if by_signal and any(", "if by_signal or any("),
    (
        "any stop cancels the run",
        "self.stopped is not None and self.stopped.reason is StopReason.SIGNAL",
        "self.stopped is not None",
    ),
    (
        "timeouts run while being stopped",
        "if task and not task.stop and task.due is None",
        "if task and task.due is None",
    ),
    ("a start told twice prolongs the timeout", "not task.stop and task.due is None and", "not task.stop and"),
    ("a slot is never given back", "        self._admission.release(task.demand)\n", ""),
    ("cancelled attempts are tried again", "if outcome.is_failure and self._may_retry", "if self._may_retry"),
    (
        "deadlines are exclusive",
        "while self._dues and self._dues[0][0] <= now:",
        "while self._dues and self._dues[0][0] < now:",
    ),
    ("stale deadlines count", "            if task.due != due:\n                continue\n", ""),
    ("a timeout kills at once", "StopReason.TIMEOUT, force=False", "StopReason.TIMEOUT, force=True"),
    ("a timeout is called a signal", "task, StopReason.TIMEOUT, force", "task, StopReason.SIGNAL, force"),
    ("the run's timeout is exclusive", "self._run_due <= now:", "self._run_due < now:"),
    ("a run that is done can be stopped", "        if self.done:\n            return\n", ""),
    (
        "the first stop hides all others",
        "        self.stopped = request\n",
        "        self.stopped = self.stopped or request\n",
    ),
    ("the run's timeout fails nobody", "            self._failed = True\n", "            pass\n"),
    ("the run's timeout comes again after a stop", "            self._run_due = None\n", "            pass\n"),
    ("fail-fast ends the run's timeout", "if request.reason is not StopReason.FAIL_FAST:", "if True:"),
    ("stopped jobs stay queued", "        self._admission.clear()\n", ""),
    (
        "ready cleanups are forgotten by fail-fast",
        "            elif task.state is State.READY:\n                self._queue(task)\n",
        "",
    ),
    ("force is not passed on", "request.reason, force=request.force", "request.reason, force=False"),
    ("waiting jobs are not cancelled", "elif task.state is not State.OVER:", "elif task.state is State.DELAYED:"),
    ("waiting jobs fail instead", "self._finish(task, Outcome.CANCELLED)", "self._finish(task, Outcome.FAILED)"),
    ("fail-fast is always on", "if self._plan.fail_fast and self._failed", "if self._failed"),
    ("fail-fast is always off", "if self._plan.fail_fast and", "if False and"),
    ("optional failures block", "if task.job.optional or not (", "if not ("),
    (
        "only failed jobs block, skipped ones do not",
        "(end.outcome.is_failure or end.because)",
        "end.outcome.is_failure",
    ),
    ("the nearest job is blamed", "roots = end.because or (task.job.name,)", "roots = (task.job.name,)"),
    ("cleanups are blocked", " and dependent.job.when is When.SUCCESS:", ":"),
    ("trouble stays where it is", "dependent.trouble or task.trouble", "dependent.trouble"),
    ("trouble is forgotten by the next good need", "dependent.trouble or task.trouble", "task.trouble"),
    ("one settled need is enough", "elif dependent.pending == 1 and", "elif dependent.pending >= 1 and"),
    ("skipped jobs settle nothing", "                self._settled.append(dependent)\n", "                pass\n"),
    (
        "jobs that are over are decided again",
        "dependent.pending == 1 and dependent.state is State.WAITING",
        "dependent.pending == 1",
    ),
    ("alarms always ring", "if task.job.when is When.FAILURE and not task.trouble:", "if False:"),
    ("everything is an alarm", "if task.job.when is When.FAILURE and not", "if not"),
    ("a deadline outlives its job", "task.state, task.due = State.OVER, None", "task.state = State.OVER"),
    ("failures make no trouble", "        task.trouble = task.trouble or outcome.is_failure\n", ""),
    ("optional failures fail the run", "if outcome.is_failure and not task.job.optional:", "if outcome.is_failure:"),
    ("the last failure is the culprit", "True, self._culprit or task.job.name", "True, task.job.name"),
    (
        "the run's stop is named before the attempt's",
        "cause = task.stop or (",
        "cause = self.stopped and self.stopped.reason or (",
    ),
    ("attempts are not counted", "            task.attempt += 1\n", "            task.attempt = 1\n"),
    ("words about old attempts count", " and task.attempt == stimulus.attempt else", " else"),
    (
        "a delay keeps the reason of the stop",
        "task.state, task.stop = State.DELAYED, None",
        "task.state = State.DELAYED",
    ),
    ("attempts are stopped again and again", "(task.forced or not force)", "task.forced"),
    ("attempts cannot be killed after a stop", "(task.forced or not force)", "True"),
    ("the last reason of a stop wins", "task.stop or reason, force, None", "reason, force, None"),
    ("a timeout goes on while being stopped", "reason, force, None", "reason, force, task.due"),
    (
        "nothing is ever halted",
        "is not StopReason.FAIL_FAST or task.job.when",
        "is StopReason.RUN_TIMEOUT or task.job.when",
    ),
    ("fail-fast halts cleanups", " or task.job.when is When.SUCCESS", " or True"),
    ("one retry too few", "task.attempt <= task.job.retry.count", "task.attempt < task.job.retry.count"),
    ("retries after the run was stopped", " and not self._is_halted(task)\n", "\n"),
]
OTHERS = [
    (
        "smaller first where longest was asked",
        "scheduler/task",
        "rank=(-remaining[index], index)",
        "rank=(remaining[index], index)",
    ),
    (
        "later jobs first among equals",
        "scheduler/task",
        "rank=(-remaining[index], index)",
        "rank=(-remaining[index], -index)",
    ),
    ("needs are not counted", "scheduler/task", "len(graph.needs[index]) + 1", "1"),
    ("pools are free", "scheduler/task", "job.pools.items()", "()"),
    ("one worker too many", "scheduler/admission", "self._free = workers", "self._free = workers + 1"),
    (
        "a full pool stops everybody",
        "scheduler/admission",
        "                continue\n            heappop",
        "                return None\n            heappop",
    ),
    (
        "only the first pool is looked at",
        "scheduler/admission",
        "for pool, places in demand if self",
        "for pool, places in demand[:1] if self",
    ),
    (
        "one place too many in a pool",
        "scheduler/admission",
        "self._room[pool] < places",
        "self._room[pool] < places - 1",
    ),
    (
        "one place is always left free",
        "scheduler/admission",
        "self._room[pool] < places",
        "self._room[pool] <= places",
    ),
    ("places are not taken", "scheduler/admission", "self._room[pool] -= places", "pass"),
    ("places are not given back", "scheduler/admission", "self._room[pool] += places", "pass"),
    (
        "a line waits for more room than it needs",
        "scheduler/admission",
        "parked[0][0] <= self._room",
        "parked[0][0] < self._room",
    ),
    ("parked jobs outlive a stop", "scheduler/admission", "            parked.clear()\n", "            pass\n"),
    ("parked jobs are forgotten", "scheduler/admission", "line.parked = False", "pass"),
    ("the rest of a line is forgotten", "scheduler/admission", "if line.ready:\n", "if False:\n"),
    (
        "a better job behind others is not seen",
        "scheduler/admission",
        "line.ready[0] == rank:",
        "len(line.ready) == 1:",
    ),
    ("a path is only as long as its job", "scheduler/graph", "remaining[index] += max(", "0 * max("),
    ("the shortest way counts", "scheduler/graph", "max((remaining[d]", "min((remaining[d]"),
    (
        "the exit status wins over the timeout",
        "scheduler/verdict",
        "if stop in (StopReason.TIMEOUT, StopReason.RUN_TIMEOUT):",
        "if stop in (StopReason.TIMEOUT, StopReason.RUN_TIMEOUT) and exited.exit != 0:",
    ),
    (
        "the run's timeout cancels",
        "scheduler/verdict",
        "(StopReason.TIMEOUT, StopReason.RUN_TIMEOUT)",
        "(StopReason.TIMEOUT,)",
    ),
    (
        "the exit status wins over the stop",
        "scheduler/verdict",
        "    if stop is not None:\n        return Outcome.C",
        "    if stop is not None and exited.exit:\n        return Outcome.C",
    ),
    ("rejected data is tried again", "scheduler/verdict", "(65, 78)", "(78,)"),
    (
        "what cannot start is tried again",
        "scheduler/verdict",
        "    if exited.error and not exited.lost:\n        return False\n",
        "",
    ),
    ("timeouts are always tried again", "scheduler/verdict", 'retry.on is None or "timeout" in retry.on', "True"),
    (
        "signals are never tried again",
        "scheduler/verdict",
        'return retry.on is None or "signal" in retry.on',
        "return False",
    ),
    ("the first delay is already longer", "scheduler/verdict", "(attempt - 1)", "attempt"),
    (
        "delays have no cap",
        "scheduler/verdict",
        "delay = min(retry.delay * retry.factor ** (attempt - 1), cap)",
        "delay = retry.delay * retry.factor ** (attempt - 1)",
    ),
    ("a lost attempt is a failed one", "scheduler/verdict", "return Outcome.LOST", "return Outcome.FAILED"),
    ("jitter shortens", "scheduler/verdict", "(1 + retry.jitter", "(1 - retry.jitter"),
    ("the forecast ends at the run's timeout", "simulate", ", timeout=None)", ")"),
    (
        "the forecast ignores the workers asked for",
        "simulate",
        "plan.workers if workers is None else workers",
        "plan.workers",
    ),
]
SOURCES = [(name, "scheduler/machine", old, new) for name, old, new in SCHEDULER] + OTHERS
MUTANTS = [Mutant(name, f"{source}.py", old, new, TESTS) for name, source, old, new in SOURCES]


if __name__ == "__main__":
    wanted = [mutant._replace(tests=tuple(sys.argv[1:]) or mutant.tests) for mutant in MUTANTS]
    quick = {"HYPOTHESIS_PROFILE": "quick"}
    sys.exit(check(wanted, verdict="mutants killed", at_once=os.cpu_count() or 4, options=OPTIONS, env=quick))
