"""One run, from a plan to its summary: what `all`, `job` and `retry` share."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import random

from etl_runner.cli.context import Opened
from etl_runner.cli.ending import show_ending
from etl_runner.cli.exclusive import IfRunning, exclusive
from etl_runner.cli.options import Settings
from etl_runner.cli.surroundings import before_retry, executor_for, sink_for, warehouse
from etl_runner.environment import started_by
from etl_runner.events import RunStarted
from etl_runner.hiding import hidden, masker_of
from etl_runner.ledger import Ledger, LedgerReader, PipelineLock, hold_run_lock, prune
from etl_runner.model import Plan
from etl_runner.paths import Home
from etl_runner.runner import Runner
from etl_runner.scheduler import Scheduler
from etl_runner.signals import interrupting_signals


def launch(
    opened: Opened, plan: Plan, settings: Settings, *, if_running: IfRunning, passes_on: str | None = None
) -> int:
    """Run a plan under the pipeline's lock, as `execute` does. Raises RunLockedError (75) if that is what is wanted."""
    with exclusive(opened.home, plan.pipeline, settings, if_running=if_running) as lock:
        return execute(opened, plan, settings, lock=lock, passes_on=passes_on) if lock else 0


def execute(
    opened: Opened,
    plan: Plan,
    settings: Settings,
    *,
    lock: PipelineLock,
    passes_on: str | None = None,
    retry_of: int | None = None,
) -> int:
    """Run a plan under the lock that is held, print its summary, and return the exit status.

    Minus a signal's number says that it ended the run. `passes_on` names the job whose own exit status is the run's.
    Raises WarehouseError or LedgerError.
    """
    with _begun(opened, plan, settings, lock=lock, passes_on=passes_on, retry_of=retry_of) as (run, runner):
        ended = asyncio.run(runner.run())
        prune(opened.home)
    show_ending(plan, run, opened.home, settings)
    if runner.failure:
        raise runner.failure
    return -runner.ended_by if runner.ended_by else ended.exit


@contextmanager
def _begun(
    opened: Opened,
    plan: Plan,
    settings: Settings,
    *,
    lock: PipelineLock,
    passes_on: str | None,
    retry_of: int | None,
) -> Iterator[tuple[int, Runner]]:
    """A run that has its number, with all it needs around it."""
    home = opened.home
    with ExitStack() as stack:
        with interrupting_signals():  # then, until the runner's loop, a Ctrl+C waits: nothing is left half-done
            ledger = stack.enter_context(Ledger.open(home.ledger))
            env = stack.enter_context(warehouse(plan, home, settings))
        masker = masker_of(plan, env=env, params=opened.pipeline.params)
        run, locks = _begin(stack, ledger, hidden(plan, masker), home, lock)
        executor = stack.enter_context(executor_for(plan, opened, locks, env, masker))
        estimates = _estimates(plan, home)
        yield (
            run,
            Runner(
                plan,
                run=run,
                about=_about(opened, plan, retry_of),
                scheduler=Scheduler(plan, estimates=estimates, chance=random),
                executor=executor,
                memory=ledger,
                sinks=[stack.enter_context(closing(sink_for(plan, run, home, settings, estimates)))],
                home=home,
                env=env,
                passes_on=passes_on,
                masker=masker,
                before_retry=partial(before_retry, home) if plan.warehouse else None,
            ),
        )


def _begin(stack: ExitStack, ledger: Ledger, plan: Plan, home: Home, lock: PipelineLock) -> tuple[int, list[int]]:
    """Give the run its number and its lock. Returns it, and the locks that live as long as any of its processes."""
    locks = [lock.fd]
    run = ledger.begin(
        plan, datetime.now(UTC), claim=lambda run: locks.append(stack.enter_context(hold_run_lock(home, run)))
    )
    lock.tell(run)
    _link_latest(home, run)
    return run, locks


def _about(opened: Opened, plan: Plan, retry_of: int | None) -> RunStarted:
    return RunStarted(
        pipeline=plan.pipeline,
        profile=plan.profile,
        workers=plan.workers,
        jobs=len(plan.jobs),
        by=started_by(os.environ, terminal=sys.stdin is not None and sys.stdin.isatty()),
        command=("etl-run", *sys.argv[1:]),
        config=str(opened.path.absolute()),
        pid=os.getpid(),
        retry_of=retry_of,
    )


def _estimates(plan: Plan, home: Home) -> dict[str, float]:
    with LedgerReader.open(home.ledger) as reader:
        return reader.estimates(plan)


def _link_latest(home: Home, run: int) -> None:
    """Point `runs/latest` at this run. A comfort for people: where links cannot be made, it is left out."""
    link = home.run(run).parent / "latest"
    new = link.with_name(f".latest-{run}")
    with suppress(OSError):
        new.symlink_to(str(run))
        Path(new).replace(link)
