"""etl-run plan: what would run, in which order, and for how long."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

import click

from etl_runner.cli.context import Opened, open_pipeline
from etl_runner.cli.options import Number, Settings, common_options
from etl_runner.cli.plan_options import Pairs, Seconds, unique
from etl_runner.model import Plan

FORMATS = ("tree", "mermaid", "dot", "json")


@click.command()
@click.option("--format", "form", type=click.Choice(FORMATS), envvar="ETL_RUN_FORMAT", help="How to draw it.")
@click.option("--only", multiple=True, metavar="WHAT", envvar="ETL_RUN_ONLY", help="Phases, jobs, tags or globs.")
@click.option("--skip", multiple=True, metavar="WHAT", envvar="ETL_RUN_SKIP", help="The same, left out.")
@click.option("-w", "--workers", type=Number(), envvar="ETL_RUN_WORKERS", help="Jobs at once.")
@click.option("--timeout", type=Seconds(), envvar="ETL_RUN_TIMEOUT", help="Time limit of each job.")
@click.option("--param", "params", type=Pairs(), multiple=True, metavar="K=V", help="A value for {K}.")
@common_options
def plan(
    settings: Settings,
    form: str | None,
    only: tuple[str, ...],
    skip: tuple[str, ...],
    workers: int | None,
    timeout: float | None,
    params: tuple[tuple[str, str], ...],
) -> None:
    """Show what would run, in which order, and for how long. Nothing is started.

    The forecast comes from the last runs. WHAT is as in `etl-run all`.
    """
    from etl_runner.pipeline import select

    opened = open_pipeline(settings)
    planned = opened.pipeline.plan(params=unique(params), workers=workers, timeout=timeout)
    show_plan(opened, select(planned, only=only, skip=skip), settings, form=form)


def show_plan(opened: Opened, plan: Plan, settings: Settings, *, form: str | None = None) -> None:
    """Print a plan, its secrets hidden: as a tree, or as JSON if the settings say so, or in the given form."""
    from etl_runner.hiding import hidden, masker_of

    plan = hidden(plan, masker_of(plan, env=os.environ, params=opened.pipeline.params))
    match form or ("json" if settings.json else "tree"):
        case "mermaid":
            from etl_runner.pipeline.graphs import draw_mermaid

            click.echo(draw_mermaid(plan))
        case "dot":
            from etl_runner.pipeline.graphs import draw_dot

            click.echo(draw_dot(plan))
        case "json":
            _show_document(opened, plan)
        case _:
            _show_tree(opened, plan)


def _show_document(opened: Opened, plan: Plan) -> None:
    import json

    from etl_runner.pipeline.forecast import forecast
    from etl_runner.pipeline.graphs import plan_document

    estimates, usual = _past(opened, plan)
    expected = forecast(usual, estimates)
    document = plan_document(plan, estimates=estimates)
    document["forecast"] = expected.document() if expected else None
    click.echo(json.dumps(document, ensure_ascii=False))


def _show_tree(opened: Opened, plan: Plan) -> None:
    from etl_runner.look import look_for
    from etl_runner.pipeline.forecast import forecast
    from etl_runner.pipeline.tree import draw_tree

    isatty = sys.stdout.isatty()
    columns = os.get_terminal_size(sys.stdout.fileno()).columns if isatty else None
    look = look_for(isatty=isatty, encoding=sys.stdout.encoding, env=os.environ, columns=columns)
    unicode = not look.glyphs.is_ascii
    estimates, usual = _past(opened, plan)
    source = os.path.relpath(opened.path, opened.root)
    click.echo(draw_tree(plan, width=look.width, unicode=unicode, estimates=estimates, source=source))
    told = [expected.text(width=look.width, unicode=unicode)] if (expected := forecast(usual, estimates)) else []
    if plan.schedule:
        told.append(_next_start(plan))
    if told:
        click.echo("\n" + "\n".join(told))


def _past(opened: Opened, plan: Plan) -> tuple[Mapping[str, float], Plan]:
    """What each job usually takes, and the plan with the copies of last time where they become known during a run."""
    if not opened.home.ledger.is_file():
        return {}, plan
    from etl_runner.ledger.reader import LedgerReader

    with LedgerReader.open(opened.home.ledger) as reader:
        estimates, known = reader.estimates(plan), reader.last_expansions(plan)
    if known:
        from etl_runner.rerun import as_known

        plan = as_known(plan, known)
    return estimates, plan


def _next_start(plan: Plan) -> str:
    from datetime import UTC, datetime
    from zoneinfo import ZoneInfo

    from cronsim import CronSim

    now = datetime.now(ZoneInfo(plan.timezone)) if plan.timezone else datetime.now(UTC).astimezone()
    times = CronSim(plan.schedule or "", now)
    start = next(times, None)
    when = start.strftime("%a %d %b %H:%M %Z").strip() if start else "never"
    return f"Next by schedule: {when} ({times.explain()})"
