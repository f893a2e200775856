"""One run, from a plan to its summary: what `all`, `job` and `retry` share."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import random

import click

from etl_runner.cli.context import Opened
from etl_runner.cli.exclusive import IfRunning, exclusive
from etl_runner.cli.options import Settings
from etl_runner.environment import application_name, base_environment, started_by, warehouse_environment
from etl_runner.errors import WarehouseError
from etl_runner.events import RunStarted
from etl_runner.hiding import hidden, masker_of
from etl_runner.journal import Sink
from etl_runner.ledger import Ledger, LedgerReader, PipelineLock, hold_run_lock, prune
from etl_runner.masking import Masker
from etl_runner.model import Order, Plan
from etl_runner.paths import Home
from etl_runner.runner import Executor, Runner
from etl_runner.scheduler import Scheduler
from etl_runner.signals import interrupting_signals
from etl_runner.streams import silence


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
    home = opened.home
    with ExitStack() as stack:
        with interrupting_signals():  # then, until the runner's loop, a Ctrl+C waits: nothing is left half-done
            ledger = stack.enter_context(Ledger.open(home.ledger))
            env = stack.enter_context(_warehouse(plan, home, settings))
        masker = masker_of(plan, env=env, params=opened.pipeline.params)
        locks = [lock.fd]
        run = ledger.begin(
            hidden(plan, masker),
            datetime.now(UTC),
            claim=lambda run: locks.append(stack.enter_context(hold_run_lock(home, run))),
        )
        lock.tell(run)
        _link_latest(home, run)
        executor = stack.enter_context(_executor(plan, opened, locks, env, masker))
        estimates = _estimates(plan, home)
        runner = Runner(
            plan,
            run=run,
            about=_about(opened, plan, retry_of),
            scheduler=Scheduler(plan, estimates=estimates, chance=random),
            executor=executor,
            memory=ledger,
            sinks=[stack.enter_context(closing(_sink(plan, run, home, settings, estimates)))],
            home=home,
            env=env,
            passes_on=passes_on,
            masker=masker,
            before_retry=partial(_before_retry, home) if plan.warehouse else None,
        )
        ended = asyncio.run(runner.run())
        prune(home)
    if not settings.json:
        _show_summary(plan, run, home, settings)
    if runner.failure:
        raise runner.failure
    return -runner.ended_by if runner.ended_by else ended.exit


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


@contextmanager
def _warehouse(plan: Plan, home: Home, settings: Settings) -> Iterator[Mapping[str, str]]:
    """The environment of the jobs, with a PostgreSQL in it if they want one: the environment's, else our own."""
    if not plan.warehouse:
        yield os.environ
        return
    from etl_runner.postgres import EmbeddedPostgres, is_selected_by_environment

    if is_selected_by_environment(os.environ):
        yield warehouse_environment(os.environ)
        return
    if not home.postgres.exists() and not settings.quiet and not settings.json:
        click.echo("etl-run: making the embedded PostgreSQL (only this once)", err=True)
    with EmbeddedPostgres(home.postgres).hold() as server:
        yield {**os.environ, "DATABASE_URL": server.url}


@contextmanager
def _executor(
    plan: Plan, opened: Opened, locks: Sequence[int], env: Mapping[str, str], masker: Masker
) -> Iterator[Executor]:
    """What runs attempts on this machine: under a keeper of process trees where there can be one."""
    if not sys.platform.startswith("linux"):
        from etl_runner.executors.local import LocalExecutor

        yield LocalExecutor(masker=masker)
        return
    from etl_runner.executors.groups import find_groups
    from etl_runner.executors.keeper import KeeperExecutor

    has_limits = any(job.memory is not None or job.pids is not None for job in plan.jobs)
    executor = KeeperExecutor(
        trouble=opened.home.trouble,
        locks=locks,
        preload=plan.preload,
        root=str(opened.root),
        env=base_environment(env),
        masker=masker,
        groups=find_groups() if has_limits else None,  # now: our own group can be left only while we are alone in it
    )
    with closing(executor):
        executor.prepare()
        yield executor


async def _before_retry(home: Home, order: Order) -> None:
    """Our own server may be what failed: it is started again. And a killed job's statement may still be going on in the
    server, and would be committed beside the retry's: its session is ended.
    """
    from etl_runner.postgres import environment, is_selected_by_environment
    from etl_runner.postgres.backends import end_backends

    if not is_selected_by_environment(os.environ):
        await asyncio.to_thread(_revive, home)
    if url := environment(order.env):
        earlier = range(1, order.attempt)
        await end_backends(url, [application_name(order.run, order.job, attempt) for attempt in earlier])


def _revive(home: Home) -> None:
    """Start the embedded server if it is not running. If it cannot be started, the jobs will say so."""
    from etl_runner.postgres import EmbeddedPostgres

    with suppress(WarehouseError), EmbeddedPostgres(home.postgres).hold():
        pass


def _estimates(plan: Plan, home: Home) -> dict[str, float]:
    with LedgerReader.open(home.ledger) as reader:
        return reader.estimates(plan)


def _sink(plan: Plan, run: int, home: Home, settings: Settings, estimates: Mapping[str, float]) -> Sink:
    if settings.json:
        from etl_runner.sinks.jsonl import JsonLinesSink

        return JsonLinesSink(sys.stdout)
    from etl_runner.sinks.console import ConsoleSink

    return ConsoleSink(
        plan,
        run=run,
        home=home,
        stream=sys.stderr,
        env=os.environ,
        clock=lambda: datetime.now(UTC),
        estimates=estimates,
        verbose=settings.verbose,
        quiet=settings.quiet,
    )


def _show_summary(plan: Plan, run: int, home: Home, settings: Settings) -> None:
    from etl_runner.report.summary import render_summary

    if settings.quiet:
        return
    with LedgerReader.open(home.ledger) as reader:
        records = reader.records(run)
    try:
        click.echo(render_summary(plan, records, home=home, stream=sys.stdout))
        sys.stdout.flush()
    except OSError as error:  # the exit status stays the run's
        silence(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            says = f"etl-run: cannot write the summary: {error.strerror}; see it with etl-run show {run}"
            with suppress(OSError):
                click.echo(says, err=True)


def _link_latest(home: Home, run: int) -> None:
    """Point `runs/latest` at this run. A comfort for people: where links cannot be made, it is left out."""
    link = home.run(run).parent / "latest"
    new = link.with_name(f".latest-{run}")
    with suppress(OSError):
        new.symlink_to(str(run))
        Path(new).replace(link)
