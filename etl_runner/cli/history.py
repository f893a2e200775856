"""etl-run history: past runs, or one job's past."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from etl_runner.cli.context import find_home
from etl_runner.cli.options import Number, Settings, common_options

if TYPE_CHECKING:
    from etl_runner.ledger import LedgerReader

RUNS = 20
RUNS_OF_A_JOB = 30


@click.command()
@click.argument("job", required=False)
@click.option("--limit", type=Number(), help="How many runs (default: 20, of a job 30).")
@common_options
def history(settings: Settings, job: str | None, limit: int | None) -> None:
    """List past runs, or the past of JOB: a job, a template (for all its jobs) or a glob."""
    from etl_runner.ledger import LedgerReader

    with LedgerReader.open(find_home(settings).ledger) as reader:
        if job is None:
            _runs(reader, limit or RUNS, settings)
        else:
            _job(reader, job, limit or RUNS_OF_A_JOB, settings)


def _runs(reader: LedgerReader, limit: int, settings: Settings) -> None:
    from etl_runner.cli.document import answer
    from etl_runner.report.history import runs_document, runs_lines

    runs = reader.runs(limit=max(limit, RUNS_OF_A_JOB))  # more than are shown say what is usual
    if not runs and not settings.json:
        click.echo("There are no runs yet. Start one: etl-run all", err=True)
        return
    now = datetime.now(UTC)
    answer(
        settings,
        lines=lambda look: runs_lines(runs, limit=limit, look=look, now=now),
        document=lambda: runs_document(runs, limit=limit),
    )


def _job(reader: LedgerReader, job: str, limit: int, settings: Settings) -> None:
    from etl_runner.cli.document import answer
    from etl_runner.report.choice import choose_run, unknown_job
    from etl_runner.report.history import in_plan_order, jobs_document, jobs_lines

    choose_run(reader, None)  # or there are no runs yet
    found = reader.job_history(job, limit=limit)
    if not found:
        raise unknown_job(job, known=reader.job_names(limit=limit), where=f"in the last {limit} runs")
    whole = max(reader.runs(limit=limit), key=lambda run: run.jobs)  # of the last runs the one that had most
    pasts = in_plan_order(found, reader.plan(whole.id))
    answer(
        settings,
        lines=lambda look: jobs_lines(pasts, look),
        document=lambda: jobs_document(pasts, pattern=job),
    )
