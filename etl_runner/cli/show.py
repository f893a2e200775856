"""etl-run show: one run, or one job of it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from etl_runner.cli.context import find_home
from etl_runner.cli.options import Number, Settings, common_options
from etl_runner.errors import UsageError

if TYPE_CHECKING:
    from etl_runner.ledger import Run
    from etl_runner.paths import Home
    from etl_runner.timeline import Timeline


class Seen(NamedTuple):
    """A run as it was at one moment."""

    run: Run
    timeline: Timeline
    home: Home
    now: datetime


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
    from etl_runner.report.show import only, timeline_of

    number, name = _parse(run, job)
    with LedgerReader.open(find_home(settings).ledger) as reader:
        chosen, now = reader.run(choose_run(reader, number, job=name)), datetime.now(UTC)
        plan, records = reader.story(chosen.id)
        jobs = choose_jobs(plan, name, run=chosen.id) if name else []
        some = only(plan, jobs) if len(jobs) > 1 else plan
        seen = Seen(chosen, timeline_of(chosen, some, records, home=reader.home, now=now), reader.home, now)
    if not jobs:
        _run(seen, settings, everything=everything)
    elif len(jobs) == 1:
        _job(seen, jobs[0].name, settings)
    else:
        _some_jobs(seen, settings)


def _parse(run: str | None, job: str | None) -> tuple[int | None, str | None]:
    """RUN and JOB; a single word that is no number is a JOB."""
    if run is None or run.isdecimal():
        return (Number().convert(run, None, None) if run else None), job
    if job is None:
        return None, run
    raise UsageError(f"a run is a number, not {run!r}", hint="list them: etl-run history")


def _run(seen: Seen, settings: Settings, *, everything: bool) -> None:
    from etl_runner.cli.document import answer
    from etl_runner.report.documents import run_show_document
    from etl_runner.report.show import run_lines

    run, timeline, home, now = seen
    answer(
        settings,
        lines=lambda look: run_lines(
            run, timeline, home=home, look=look, now=now, cwd=Path.cwd(), everything=everything
        ),
        document=lambda: run_show_document(run, timeline, home=home),
    )


def _some_jobs(seen: Seen, settings: Settings) -> None:
    from etl_runner.cli.document import answer
    from etl_runner.report.documents import run_show_document
    from etl_runner.report.show import some_jobs_lines

    run, timeline, home, now = seen
    answer(
        settings,
        lines=lambda look: some_jobs_lines(run, timeline, look=look, now=now, cwd=Path.cwd()),
        document=lambda: run_show_document(run, timeline, home=home),
    )


def _job(seen: Seen, name: str, settings: Settings) -> None:
    from etl_runner.cli.document import answer
    from etl_runner.report.documents import job_show_document
    from etl_runner.report.show import job_lines

    run, timeline, home, _ = seen
    track = timeline.tracks[name]
    answer(
        settings,
        lines=lambda look: job_lines(run, track, timeline, home=home, look=look, cwd=Path.cwd()),
        document=lambda: job_show_document(run, track, timeline, home=home),
    )
