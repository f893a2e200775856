"""What a run needs around it: the warehouse, somebody to run its attempts, somebody to listen."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime

import click

from etl_runner.attempts import Executor
from etl_runner.cli.context import Opened
from etl_runner.cli.options import Settings
from etl_runner.environment import application_name, base_environment, warehouse_environment
from etl_runner.errors import WarehouseError
from etl_runner.journal import Sink
from etl_runner.masking import Masker
from etl_runner.model import Order, Plan
from etl_runner.paths import Home


@contextmanager
def warehouse(plan: Plan, home: Home, settings: Settings) -> Iterator[Mapping[str, str]]:
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
def executor_for(
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


async def before_retry(home: Home, order: Order) -> None:
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


def sink_for(plan: Plan, run: int, home: Home, settings: Settings, estimates: Mapping[str, float]) -> Sink:
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
