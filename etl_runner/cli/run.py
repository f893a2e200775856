"""etl-run all: the whole pipeline, or a selection of it."""

from __future__ import annotations

import click

from etl_runner.cli.context import open_pipeline
from etl_runner.cli.exclusive import IfRunning, if_running_option
from etl_runner.cli.options import Settings, common_options
from etl_runner.cli.plan_options import plan_options, unique
from etl_runner.errors import UsageError


@click.command("all")
@plan_options
@click.option("--only", multiple=True, metavar="WHAT", envvar="ETL_RUN_ONLY", help="Phases, jobs, tags or globs.")
@click.option("--skip", multiple=True, metavar="WHAT", envvar="ETL_RUN_SKIP", help="The same, left out.")
@if_running_option
@click.option("--fail-fast", is_flag=True, envvar="ETL_RUN_FAIL_FAST", help="Stop everything at the first failure.")
@common_options
def all_(
    settings: Settings,
    workers: int | None,
    timeout: float | None,
    params: tuple[tuple[str, str], ...],
    only: tuple[str, ...],
    skip: tuple[str, ...],
    fail_fast: bool,
    if_running: IfRunning,
    dry_run: bool,
) -> int:
    """Run the whole pipeline, or a part of it.

    WHAT is a phase, a job, a tag or a glob of them; +WHAT adds all it needs, WHAT+ all that needs it.
    What a selected job needs outside the selection counts as done.
    """
    from etl_runner.pipeline import select

    opened = open_pipeline(settings)
    plan = opened.pipeline.plan(params=unique(params), workers=workers, timeout=timeout, fail_fast=fail_fast)
    plan = select(plan, only=only, skip=skip)
    if not plan.jobs:
        raise UsageError("nothing is left to run", hint="check --only and --skip: etl-run plan")
    if dry_run:
        from etl_runner.cli.plan import show_plan

        show_plan(opened, plan, settings)
        return 0
    from etl_runner.cli.launch import launch

    return launch(opened, plan, settings, if_running=if_running)
