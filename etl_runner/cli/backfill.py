"""etl-run backfill: jobs over intervals of the past."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, datetime
from itertools import islice
from typing import Any

import click
from msgspec.structs import replace

from etl_runner.cli.context import Opened, open_pipeline
from etl_runner.cli.exclusive import IfRunning, if_running_option, note
from etl_runner.cli.options import Number, Settings, common_options
from etl_runner.errors import UsageError
from etl_runner.intervals import (
    LAST_DAY,
    MOST,
    By,
    Covered,
    Interval,
    interval_of,
    intervals,
    jobs_in,
    name_of,
    over_intervals,
    without,
)
from etl_runner.model import Job, Plan


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
    NAME@2025-01-01 in history, show and logs. Intervals are left out whose days have all succeeded before: run the
    same command again to finish what was interrupted or failed. JOB may be left out if there is only one.
    """
    opened = open_pipeline(settings)
    whole = _whole(opened, jobs, _spans(first, last, By(by), newest_first=newest_first), one_at_a_time=one_at_a_time)
    whole = replace(whole, workers=workers or whole.workers)
    left = without(whole, set() if again else _done(opened, whole))
    spans, open_spans = _count_intervals(whole), _count_intervals(left)
    if not left.jobs:
        click.echo(f"nothing to do: all {spans} intervals have succeeded before (--again runs them again)")
        return 0
    if good := spans - open_spans:
        have, them = ("has", "it") if good == 1 else ("have", "them")
        note(f"{good} of {spans} intervals {have} succeeded before: left out (--again runs {them}, too)", settings)
    if dry_run:
        from etl_runner.cli.plan import show_plan

        show_plan(opened, left, settings)
        return 0
    from etl_runner.cli.launch import launch

    return launch(opened, left, settings, if_running=if_running)


def _spans(first: date, last: date, by: By, *, newest_first: bool) -> list[Interval]:
    """The intervals in the order they are to run in; raises UsageError where they cannot be."""
    if first > last:
        raise UsageError(f"--from {first} is after --to {last}")
    if last > LAST_DAY:
        raise UsageError(f"--to {last}: the last day can be {LAST_DAY}")
    spans = list(islice(intervals(first, last, by=by), MOST + 1))
    if len(spans) > MOST:
        raise UsageError(f"{first} to {last} by {by} are more than {MOST:,} intervals")
    return spans[::-1] if newest_first else spans


def _whole(opened: Opened, names: tuple[str, ...], spans: list[Interval], *, one_at_a_time: bool) -> Plan:
    """The plan of the jobs over all intervals, done or not."""
    plan = opened.pipeline.plan()
    chosen = {job.name for job in _chosen(opened, plan, names)}
    rounds = (
        (span, tuple(job for job in jobs if job.name in chosen)) for span, jobs in jobs_in(opened.pipeline, spans)
    )
    return replace(plan, jobs=over_intervals(rounds, one_at_a_time=one_at_a_time))


def _count_intervals(plan: Plan) -> int:
    return len({interval_of(job) for job in plan.jobs})


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
    """The jobs of the plan whose intervals are covered by intervals of theirs that have succeeded.

    As far as the ledger goes back, with the plan's profile. Of each day the newest outcome counts.
    """
    from etl_runner.cli.retry import rest_of
    from etl_runner.ledger import LedgerReader

    covered: defaultdict[str, Covered] = defaultdict(Covered)
    with LedgerReader.open(opened.home.ledger) as reader:
        for run in reader.runs_over_intervals(pipeline=plan.pipeline, profile=plan.profile):
            then = reader.plan(run)
            left, _ = rest_of(reader, run, then)
            for job in then.jobs:
                if span := interval_of(job):
                    days = covered[name_of(job)]
                    (days.remove if job.name in left else days.add)(span)
    spans = ((job, interval_of(job)) for job in plan.jobs)
    return {job.name for job, span in spans if span and span in covered[name_of(job)]}
