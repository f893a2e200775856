"""etl-run backfill: jobs over intervals of the past."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import click
import msgspec

from etl_runner.cli.context import Opened, open_pipeline
from etl_runner.cli.exclusive import IfRunning, if_running_option
from etl_runner.cli.options import Number, Settings, common_options
from etl_runner.errors import UsageError
from etl_runner.intervals import By, intervals, over_intervals, without
from etl_runner.model import Job, Plan

ALL_RUNS = 1_000_000


class Day(click.ParamType[date]):
    """A date such as 2025-01-31."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        if isinstance(value, date):
            return value
        try:
            return datetime.strptime(str(value), "%Y-%m-%d").date()  # noqa: DTZ007
        except ValueError:
            self.fail(f"expected a date such as 2025-01-31, got {value!r}", param, ctx)


@click.command("backfill")
@click.argument("jobs", nargs=-1, metavar="[JOB]...")
@click.option("--from", "first", type=Day(), required=True, help="The first day.")
@click.option("--to", "last", type=Day(), required=True, help="The last day, included.")
@click.option("--by", type=click.Choice([by.value for by in By]), default="day", help="One run of the job per …")
@click.option("--newest-first", is_flag=True, help="Begin with the last interval.")
@click.option("--one-at-a-time", is_flag=True, help="An interval starts when the one before it has succeeded.")
@click.option("--again", is_flag=True, help="Also the intervals that have succeeded before.")
@click.option("-w", "--workers", type=Number(), envvar="ETL_RUN_WORKERS", help="Jobs at once.")
@click.option("--dry-run", is_flag=True, envvar="ETL_RUN_DRY_RUN", help="Show the plan, run nothing.")
@if_running_option
@common_options
def backfill(
    settings: Settings,
    jobs: tuple[str, ...],
    first: date,
    last: date,
    by: str,
    newest_first: bool,
    one_at_a_time: bool,
    again: bool,
    workers: int | None,
    dry_run: bool,
    if_running: IfRunning,
) -> int:
    """Run jobs once for each interval, side by side.

    A job finds its interval in ETL_INTERVAL_START and ETL_INTERVAL_END (not included), and is called
    NAME@2025-01-01 in history, show and logs. Intervals that have succeeded before are left out: run the same
    command again to finish what was interrupted or failed. JOB may be left out if there is only one.
    """
    if first > last:
        raise UsageError(f"--from {first} is after --to {last}")
    opened = open_pipeline(settings)
    plan = opened.pipeline.plan(workers=workers)
    spans = intervals(first, last, by=By(by))
    if newest_first:
        spans.reverse()
    copies = over_intervals(_chosen(opened, plan, jobs), spans, one_at_a_time=one_at_a_time)
    whole = msgspec.structs.replace(plan, jobs=copies)
    left = whole if again else without(whole, _done(opened, whole))
    if not left.jobs:
        click.echo(f"nothing to do: all {len(spans)} intervals have succeeded before (--again runs them again)")
        return 0
    if dry_run:
        from etl_runner.cli.plan import show_plan

        show_plan(opened, left, settings)
        return 0
    from etl_runner.cli.launch import launch

    return launch(opened, left, settings, if_running=if_running)


def _chosen(opened: Opened, plan: Plan, names: tuple[str, ...]) -> tuple[Job, ...]:
    """The jobs to run; raises UsageError for one that does not exist, or if it is not clear which is meant."""
    templates = opened.pipeline.templates
    if not names and len(templates) == 1:
        names = tuple(templates)
    if not names:
        raise UsageError("which job?", hint=f"etl-run backfill JOB --from … --to …: one of {', '.join(templates)}")
    known = {name for job in plan.jobs for name in (job.name, job.template)}
    for name in names:
        if name not in known:
            from etl_runner.cli.job import unknown_job

            raise unknown_job(opened, name)
    chosen = tuple(job for job in plan.jobs if job.name in names or job.template in names)
    for job in chosen:
        if job.expand:
            raise UsageError(
                f"{job.name!r} gets its values from {', '.join(job.expand.sources)} during a run",
                hint="backfill runs jobs whose copies the pipeline file tells",
            )
    return chosen


def _done(opened: Opened, plan: Plan) -> set[str]:
    """The jobs of the plan that have succeeded before, as far as the ledger goes back."""
    from etl_runner.ledger import LedgerReader

    wanted = {job.name for job in plan.jobs}
    with LedgerReader.open(opened.home.ledger) as reader:
        pasts = reader.job_history("*@*", limit=ALL_RUNS, pipeline=plan.pipeline)
    good = {past.job for past in pasts if any(end.outcome.is_good for end in past.ends)}
    return good & wanted
