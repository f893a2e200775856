"""The pipeline's lock, and what to do while somebody else has it: --if-running."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import click

from etl_runner.cli.options import Settings
from etl_runner.errors import RunLockedError
from etl_runner.paths import Home
from etl_runner.signals import Interrupted, noted_signals

if TYPE_CHECKING:
    from etl_runner.ledger import PipelineLock

IfRunning = Literal["fail", "wait", "skip"]
POLL_SECONDS = 0.2


@contextmanager
def exclusive(home: Home, pipeline: str, settings: Settings, *, if_running: IfRunning) -> Iterator[PipelineLock | None]:
    """Hold the pipeline's lock. While another run has it: RunLockedError (75), wait for it, or None (skip).

    Waiting can be interrupted: nothing was begun.
    """
    with ExitStack() as stack:
        with noted_signals() as asked:
            lock = _taken(stack, home, pipeline, settings, if_running, asked)
        if asked:
            raise Interrupted(asked[0])
        yield lock


def _taken(
    stack: ExitStack, home: Home, pipeline: str, settings: Settings, if_running: IfRunning, asked: list[int]
) -> PipelineLock | None:
    from etl_runner.environment import user_name
    from etl_runner.ledger import Holder, hold_pipeline_lock

    told = ""
    while not asked:
        about = Holder(pid=os.getpid(), user=user_name(), since=datetime.now(UTC))
        try:
            return stack.enter_context(hold_pipeline_lock(home, pipeline, about))
        except RunLockedError as error:
            if if_running == "fail":
                raise
            if if_running == "skip":
                note(f"skipped: {error.message}", settings)
                return None
            if error.message != told:
                note(f"waiting: {error.message}", settings)
            told = error.message
        time.sleep(POLL_SECONDS)
    raise Interrupted(asked[0])


def note(text: str, settings: Settings) -> None:
    """Say something on stderr that is no error; with -o json as an object."""
    if settings.quiet:
        return
    click.echo(json.dumps({"note": text}) if settings.json else f"etl-run: {text}", err=True)


def if_running_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command that starts runs the option --if-running."""
    option = click.option(
        "--if-running",
        type=click.Choice(["fail", "wait", "skip"]),
        default="fail",
        envvar="ETL_RUN_IF_RUNNING",
        help="While another run of this pipeline goes on: fail with 75 (default), wait for its end, or skip this one.",
    )
    return option(command)
