"""etl-run stop: end a run of another terminal."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING

import click

from etl_runner.cli.context import find_home
from etl_runner.cli.exclusive import note
from etl_runner.cli.options import Number, Settings, common_options
from etl_runner.errors import EtlError, UsageError
from etl_runner.events import StopReason, StopRequested
from etl_runner.paths import Home

if TYPE_CHECKING:
    from etl_runner.ledger import LedgerReader
    from etl_runner.ledger.holders import Runner

POLL_SECONDS = 0.05
PATIENCE = 10.0  # seconds to see that the first request arrived, before the second is sent


@click.command()
@click.argument("run", type=Number(), required=False)
@click.option("--now", is_flag=True, help="Do not wait for the jobs' grace: kill them.")
@common_options
def stop(settings: Settings, run: int | None, now: bool) -> None:
    """End a run of another terminal, as Ctrl+C would there: its jobs get their grace, and it prints its summary.

    Without RUN it is the one that is going on. Waits until it is over. Exit status 1 if there is nothing to stop.
    """
    from etl_runner.ledger import LedgerReader

    home = find_home(settings)
    with LedgerReader.open(home.ledger) as reader:
        number = _chosen(reader, home, run)
        _end(reader, home, number, settings, requests=2 if now else 1)
        _say_how(reader, number, settings)


def _chosen(reader: LedgerReader, home: Home, run: int | None) -> int:
    from etl_runner.ledger import alive

    if run is not None:
        if not reader.run(run).is_over:
            return run
        raise EtlError(f"run {run} is not going on", hint=f"see how it ended: etl-run show {run}")
    going_on = [number for number in reader.open_runs() if alive(home, number)]
    if not going_on:
        raise EtlError("no run is going on", hint="see the past ones: etl-run history")
    if len(going_on) > 1:
        raise UsageError(f"{len(going_on)} runs are going on", hint=f"name one: {', '.join(map(str, going_on))}")
    return going_on[0]


def _end(reader: LedgerReader, home: Home, number: int, settings: Settings, *, requests: int) -> None:
    """Ask for the end, as often as it takes, and wait for it."""
    from etl_runner.ledger import alive

    runner = _find(reader, home, number)
    if runner is None:
        if not alive(home, number):
            return
        note(f"the runner of run {number} is dead; what it started is being stopped", settings)
        _wait(lambda: not alive(home, number))
        return
    with closing(runner):
        missing = requests - _requests(reader, number)
        if missing <= 0:
            note(f"run {number} is already being stopped", settings)
        for _ in range(missing):
            _ask(runner, reader, number)
        _wait(lambda: runner.is_over and not alive(home, number))


def _ask(runner: Runner, reader: LedgerReader, number: int) -> None:
    """Send a signal, and wait until it was taken: two at once could arrive as one, a third makes the runner leave."""
    seen = _requests(reader, number)
    if not runner.is_over and runner.send(signal.SIGTERM):
        _wait(lambda: _requests(reader, number) > seen or runner.is_over, seconds=PATIENCE)


def _find(reader: LedgerReader, home: Home, number: int) -> Runner | None:
    """The runner of a run that is going on; None if it is dead."""
    from etl_runner.ledger.holders import Runner, holders

    _wait(lambda: (run := reader.run(number)).pid is not None or run.is_over, seconds=PATIENCE)  # it may begin just now
    pid = reader.run(number).pid
    if not sys.platform.startswith("linux"):
        raise EtlError("stop works on Linux only", hint=f"end it by Ctrl+C in its terminal, or: kill -TERM {pid}")
    lock = home.run_lock(number)
    try:
        found = Runner.find(pid, lock) if pid is not None else None
    except PermissionError:
        raise EtlError(f"run {number} (pid {pid}) is another user's", hint="stop it as that user, or as root") from None
    if found is None and not reader.run(number).is_over and not holders(lock):
        where = "in another container, on another machine, or another user's"
        raise EtlError(f"the processes of run {number} are out of sight: {where}", hint="stop it there")
    return found


def _requests(reader: LedgerReader, number: int) -> int:
    """How many signals the runner has taken."""
    events = (record.event for record in reader.records(number))
    return sum(isinstance(event, StopRequested) and event.reason is StopReason.SIGNAL for event in events)


def _wait(fact: Callable[[], bool], *, seconds: float | None = None) -> None:
    limit = None if seconds is None else time.monotonic() + seconds
    while not fact() and (limit is None or time.monotonic() < limit):
        time.sleep(POLL_SECONDS)


def _say_how(reader: LedgerReader, number: int, settings: Settings) -> None:

    from etl_runner.cli.document import answer
    from etl_runner.report.history import VERSION, run_document
    from etl_runner.report.show import ended_lines

    run = reader.run(number)
    if settings.quiet and not settings.json:
        return
    answer(
        settings,
        lines=lambda look: ended_lines(run, look),
        document=lambda: {"version": VERSION, "run": run_document(run)},
    )
