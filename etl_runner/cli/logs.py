"""etl-run logs: what a job printed."""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from typing import TYPE_CHECKING

import click

from etl_runner.cli.context import find_home
from etl_runner.cli.options import Number, Settings, common_options
from etl_runner.errors import UsageError

if TYPE_CHECKING:
    from etl_runner.report.logs import Logs


@click.command()
@click.argument("job")
@click.option("-f", "--follow", is_flag=True, help="Go on until the job is over.")
@click.option("--run", type=Number(), metavar="N", help="Of this run (default: the last that has it).")
@click.option("--attempt", type=Number(), metavar="N", help="Only this attempt (default: all of them).")
@common_options
def logs(settings: Settings, job: str, follow: bool, run: int | None, attempt: int | None) -> int:
    """Print the log of JOB: a job, or a template or glob for all its jobs.

    Headings between several logs go to stderr: in a pipe stdout has the logs' own bytes, and nothing else.
    """
    from etl_runner.ledger import LedgerReader
    from etl_runner.report.choice import choose_jobs, choose_only, choose_run
    from etl_runner.report.logs import Logs

    if follow and settings.json:
        raise UsageError("-f prints text only", hint="leave out -f, or -o json")
    with LedgerReader.open(find_home(settings).ledger) as reader:
        number = choose_run(reader, run, job=job)
        choose = choose_only if settings.json else choose_jobs
        chosen = Logs(reader, reader.run(number), partial(choose, name=job, run=number), attempt=attempt)
        if settings.json:
            click.echo(json.dumps(chosen.document(), indent=2))
            return 0
        return _print(chosen, follow=follow)


def _print(logs: Logs, *, follow: bool) -> int:
    """Print or follow; 1 if a log is gone."""
    from etl_runner.report.logs import wait_for_more
    from etl_runner.report.style import look_of
    from etl_runner.report.writers import ByLine, Raw, Writer

    look, out = look_of(sys.stderr, os.environ), sys.stdout.buffer

    def writer(job: str) -> Writer:
        width = max(map(len, logs.jobs))
        prefix = f"{job:<{width}} {look.glyphs.side} " if follow and len(logs.jobs) > 1 else ""
        if prefix or sys.stdout.isatty():
            return ByLine(out, prefix=prefix, clean=sys.stdout.isatty(), encoding=sys.stdout.encoding)
        return Raw(out)

    def say(text: str) -> None:
        out.flush()
        click.echo(text, err=True)

    if not follow:
        return 0 if logs.show(writer=writer, say=say, look=look) else 1
    logs.follow(writer=writer, say=say, look=look, wait=lambda: wait_for_more(out.fileno()))
    return 0
