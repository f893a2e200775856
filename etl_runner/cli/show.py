"""etl-run show: one run, or one job of it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from etl_runner.cli.context import find_home
from etl_runner.cli.options import Settings, common_options
from etl_runner.errors import UsageError

if TYPE_CHECKING:
    from etl_runner.ledger import LedgerReader


@click.command()
@click.argument("run", required=False)
@click.argument("job", required=False)
@click.option("--all", "everything", is_flag=True, help="Every job of a long run.")
@common_options
def show(settings: Settings, run: str | None, job: str | None, everything: bool) -> None:
    """Show one run (the last one, unless RUN names another), or one JOB of it.

    JOB is a job, or a template or glob for all its jobs. Without RUN it is shown in the last run that has it.
    """
    from etl_runner.ledger import LedgerReader
    from etl_runner.report.choice import choose_jobs, choose_run

    number, name = _parse(run, job)
    with LedgerReader.open(find_home(settings).ledger) as reader:
        chosen = choose_run(reader, number, job=name)
        if name is None:
            _run(reader, chosen, settings, everything=everything)
            return
        jobs = [found.name for found in choose_jobs(reader.plan(chosen), name, run=chosen)]
        if len(jobs) == 1:
            _job(reader, chosen, jobs[0], settings)
        else:
            _some_jobs(reader, chosen, jobs, settings)


def _parse(run: str | None, job: str | None) -> tuple[int | None, str | None]:
    """RUN and JOB; a single word that is no number is a JOB."""
    if run is None or run.isdecimal():
        return (int(run) if run else None), job
    if job is None:
        return None, run
    raise UsageError(f"a run is a number, not {run!r}", hint="list them: etl-run history")


def _run(reader: LedgerReader, number: int, settings: Settings, *, everything: bool) -> None:
    from etl_runner.cli.document import answer
    from etl_runner.report.documents import run_show_document
    from etl_runner.report.show import run_lines, timeline_of

    run, now = reader.run(number), datetime.now(UTC)
    timeline = timeline_of(run, reader.plan(number), reader.records(number), home=reader.home, now=now)
    answer(
        settings,
        lines=lambda look: run_lines(
            run, timeline, home=reader.home, look=look, now=now, cwd=Path.cwd(), everything=everything
        ),
        document=lambda: run_show_document(run, timeline, home=reader.home),
    )


def _some_jobs(reader: LedgerReader, number: int, names: list[str], settings: Settings) -> None:
    from etl_runner.cli.document import answer
    from etl_runner.report.documents import run_show_document
    from etl_runner.report.show import only, some_jobs_lines, timeline_of

    run, now, plan = reader.run(number), datetime.now(UTC), reader.plan(number)
    some = only(plan, [job for job in plan.jobs if job.name in names])
    timeline = timeline_of(run, some, reader.records(number), home=reader.home, now=now)
    answer(
        settings,
        lines=lambda look: some_jobs_lines(run, timeline, look=look, now=now, cwd=Path.cwd()),
        document=lambda: run_show_document(run, timeline, home=reader.home),
    )


def _job(reader: LedgerReader, number: int, name: str, settings: Settings) -> None:
    from etl_runner.cli.document import answer
    from etl_runner.report.documents import job_show_document
    from etl_runner.report.show import job_lines, timeline_of

    run, now = reader.run(number), datetime.now(UTC)
    timeline = timeline_of(run, reader.plan(number), reader.records(number), home=reader.home, now=now)
    track = timeline.tracks[name]
    answer(
        settings,
        lines=lambda look: job_lines(run, track, timeline, home=reader.home, look=look, cwd=Path.cwd()),
        document=lambda: job_show_document(run, track, timeline, home=reader.home),
    )
