"""etl-run retry: what is left of a run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import click
from msgspec.structs import replace

from etl_runner.cli.context import Opened, find_config, open_pipeline
from etl_runner.cli.exclusive import IfRunning, exclusive, if_running_option, note
from etl_runner.cli.options import Number, Settings, common_options
from etl_runner.errors import RunLockedError, UsageError
from etl_runner.model import Plan

if TYPE_CHECKING:
    from etl_runner.ledger import LedgerReader


class Left(NamedTuple):
    """What a retry would run, and what there is to say about it."""

    run: int
    plan: Plan
    notes: list[str]


@click.command()
@click.argument("run", type=Number(), required=False)
@click.option("--from", "origins", multiple=True, metavar="JOB", help="Also this job, and all that needs it.")
@click.option("-w", "--workers", type=Number(), envvar="ETL_RUN_WORKERS", help="Jobs at once.")
@click.option("--dry-run", is_flag=True, envvar="ETL_RUN_DRY_RUN", help="Show the plan, run nothing.")
@if_running_option
@common_options
def retry(
    settings: Settings,
    run: int | None,
    origins: tuple[str, ...],
    workers: int | None,
    dry_run: bool,
    if_running: IfRunning,
) -> int:
    """Run again what failed, timed out, was blocked, cancelled or lost in RUN, and nothing else.

    RUN is the last run of this pipeline if none is named. Its own plan is used; the values of environments, which are
    not remembered, come from the pipeline file. What was good counts as done.
    """
    opened = _open(settings, run)
    if dry_run:
        from etl_runner.cli.plan import show_plan

        left = _left(opened, settings, run, origins, workers)
        if left.plan.jobs or settings.json:
            show_plan(opened, left.plan, settings)
        _tell(left, settings)
        return 0
    with exclusive(opened.home, opened.pipeline.name, settings, if_running=if_running) as lock:
        if lock is None:
            return 0
        left = _left(opened, settings, run, origins, workers)
        _tell(left, settings)
        if not left.plan.jobs:
            return 0
        from etl_runner.cli.launch import execute

        return execute(opened, left.plan, settings, lock=lock, retry_of=left.run)


def _open(settings: Settings, run: int | None) -> Opened:
    """The pipeline, with the profile of the run if none is asked for."""
    import os

    from etl_runner.ledger import LedgerReader
    from etl_runner.paths import home_for

    if settings.profile is None:
        with LedgerReader.open(home_for(find_config(settings), env=os.environ).ledger) as reader:
            number = run or reader.last_run()
            profile = reader.plan(number).profile if number else ""
        settings = settings._replace(profile=profile or None)
    return open_pipeline(settings)


def _left(opened: Opened, settings: Settings, run: int | None, origins: tuple[str, ...], workers: int | None) -> Left:
    """What is left of the run that is meant, for as many workers as it had unless others are wanted.

    Raises UsageError, or RunLockedError if it is going on.
    """
    from etl_runner.ledger import LedgerReader, RunState

    with LedgerReader.open(opened.home.ledger) as reader:
        number = _chosen(reader, opened, settings, run)
        if reader.run(number).state is RunState.RUNNING:
            raise RunLockedError(f"run {number} is going on", hint=f"end it: etl-run stop {number}")
        left = _left_of(reader, opened, number, origins)
    return left._replace(plan=replace(left.plan, workers=workers)) if workers else left


def _chosen(reader: LedgerReader, opened: Opened, settings: Settings, run: int | None) -> int:
    from etl_runner.report.choice import no_runs

    name = opened.pipeline.name
    number = run or reader.last_run(pipeline=name, profile=settings.profile)
    if number is None:
        raise no_runs()
    plan = reader.plan(number)
    if plan.pipeline != name:
        hint = "name its pipeline file: etl-run -c FILE retry …"
        raise UsageError(f"run {number} is of the pipeline {plan.pipeline!r}, not of {name!r}", hint=hint)
    if settings.profile is not None and plan.profile != settings.profile:
        had = f"the profile {plan.profile!r}" if plan.profile else "no profile"
        raise UsageError(f"run {number} had {had}, not {settings.profile!r}", hint="leave out --profile")
    return number


def _left_of(reader: LedgerReader, opened: Opened, number: int, origins: tuple[str, ...]) -> Left:
    from etl_runner.hiding import params_known, revealed
    from etl_runner.intervals import made_again
    from etl_runner.pipeline.select import downstream
    from etl_runner.report.choice import choose_jobs
    from etl_runner.rerun import again, as_known, copies_in, differences, rerun

    plan = reader.plan(number)
    names, good = rest_of(reader, number, plan)
    chosen = {job.name for origin in origins for job in choose_jobs(plan, origin, run=number)}
    names |= downstream(plan, chosen)
    plan, names, asked = again(reader.plan_at_start(number), reader.expansions(number), names)
    pipeline = opened.pipeline
    params = params_known(plan.params)
    given = {name: value for name, value in params.items() if name in pipeline.params}
    now = as_known(pipeline.plan(params=given), copies_in(plan))
    now = replace(now, jobs=(*now.jobs, *made_again(plan, pipeline, params=given)))
    plan = revealed(plan, names, now=now)
    notes = _notes([name for name in plan.params if name not in params], good=good - names, asked=asked)
    if changed := differences(plan, names, now=now):
        notes.append(_changed(changed, number, opened))
    return Left(number, rerun(plan, names, now=now), notes)


def rest_of(reader: LedgerReader, number: int, plan: Plan) -> tuple[set[str], set[str]]:
    """The jobs that are left of a run with this plan; and those that ended well after it was lost."""
    from etl_runner.ledger.results import ended_well
    from etl_runner.rerun import left_over

    ends = reader.ends(number)
    good = ended_well(reader.home, number, [job for job in plan.jobs if job.name not in ends])
    return left_over(plan, ends, good=good), good


def _notes(secret: Iterable[str], *, good: set[str], asked: set[str]) -> list[str]:
    """What to say of parameters that are not remembered, of jobs that are left out, and of those that are asked."""
    notes = [f"--param {name} was secret and is not remembered: the file's is used" for name in secret]
    if good:
        notes.append(f"{_names(good)} ended well after the run was lost: not run again")
    if asked:
        notes.append(f"{_names(asked)}: runs again to say what there is to do")
    return notes


def _changed(changed: dict[str, list[str]], number: int, opened: Opened) -> str:
    jobs = [f"{name} ({', '.join(aspects)})" for name, aspects in changed.items()]
    shown = ", ".join(jobs[:8]) + (f" and {len(jobs) - 8} more" if len(jobs) > 8 else "")
    said = f"{opened.path.name} now says otherwise than the plan of run {number}, which is used: {shown}"
    if any("environment" in aspects for aspects in changed.values()):
        said += "; environments are the file's"
    return said


def _names(jobs: set[str]) -> str:
    from etl_runner import words

    return words.names(sorted(jobs), most=8)


def _tell(left: Left, settings: Settings) -> None:
    for text in left.notes:
        note(text, settings)
    if not left.plan.jobs:
        note(f"nothing is left of run {left.run}: all it wanted is done", settings)
