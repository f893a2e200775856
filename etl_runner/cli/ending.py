"""How a run went, said at its end: on stdout, and in the summary of a CI step."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import click

from etl_runner.cli.options import Settings
from etl_runner.events import Record
from etl_runner.ledger import LedgerReader
from etl_runner.model import Plan
from etl_runner.paths import Home
from etl_runner.streams import silence


def show_ending(plan: Plan, run: int, home: Home, settings: Settings) -> None:
    """Print the summary, unless JSON or silence is wanted; what cannot be written leaves the exit status as it is."""
    step = os.environ.get("GITHUB_STEP_SUMMARY")
    wanted = not (settings.json or settings.quiet)
    if not (wanted or step):
        return
    with LedgerReader.open(home.ledger) as reader:
        records = reader.records(run)
    if step:
        _add_to_step(Path(step), plan, records, home)
    if wanted:
        _print_summary(plan, records, run, home)


def _print_summary(plan: Plan, records: Sequence[Record], run: int, home: Home) -> None:
    from etl_runner.report.summary import render_summary

    try:
        click.echo(render_summary(plan, records, home=home, stream=sys.stdout))
        sys.stdout.flush()
    except OSError as error:
        silence(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            _complain(f"cannot write the summary: {error.strerror}; see it with etl-run show {run}")


def _add_to_step(path: Path, plan: Plan, records: Sequence[Record], home: Home) -> None:
    from etl_runner.report.markdown import markdown_summary
    from etl_runner.timeline import Timeline

    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(markdown_summary(Timeline(plan, records), home=home))
    except OSError as error:
        _complain(f"cannot write the summary of the step to {path}: {error.strerror}")


def _complain(text: str) -> None:
    with suppress(OSError):
        click.echo(f"etl-run: {text}", err=True)
