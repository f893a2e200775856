"""etl-run check: is the pipeline file good?"""

from __future__ import annotations

import sys
from typing import Any

import click

from etl_runner.cli.context import Opened, open_pipeline
from etl_runner.cli.options import Settings, common_options
from etl_runner.model import Plan
from etl_runner.pipeline import PipelineProblems


@click.command()
@common_options
def check(settings: Settings) -> int:
    """Check the pipeline file and say every problem in it, with its place and a cure.

    Exit status: 0 all good (there may be warnings), 2 problems.
    """
    try:
        opened = open_pipeline(settings)
    except PipelineProblems as error:
        if not settings.json:
            _talk(error.message)
            return error.exit_status
        _answer({"version": 1, "ok": False, "problems": _documents(error), "warnings": []})
        return error.exit_status
    plan = opened.pipeline.plan()
    warnings = [*_not_found(opened, plan), *_no_folders(opened, plan)]
    if settings.json:
        counts = {"jobs": len(plan.jobs), "phases": len(plan.phases)}
        _answer({"version": 1, "ok": True, "problems": [], "warnings": warnings, **counts})
        return 0
    for warning in warnings:
        _talk(f"warning: {warning}")
    if not settings.quiet:
        click.echo(f"ok: {_count(len(plan.jobs), 'job')}, {_count(len(plan.phases), 'phase')}")
    return 0


def _not_found(opened: Opened, plan: Plan) -> list[str]:
    """A warning for every program that no job would find."""
    import os
    from pathlib import Path
    from shutil import which

    from etl_runner.environment import base_environment

    usual = base_environment(os.environ)["PATH"]
    warned: dict[str, str] = {}
    for job in plan.jobs:
        program = job.argv[0]
        place = str(Path(job.cwd, program)) if "/" in program else program
        if program not in warned and not which(place, path=job.env.get("PATH", usual)):
            warned[program] = f"{opened.path.name}: jobs.{job.template}.run: no program {program!r} found"
    return list(warned.values())


def _no_folders(opened: Opened, plan: Plan) -> list[str]:
    """A warning for every job that would run in folders that are not there."""
    import os
    from pathlib import Path

    from etl_runner import words

    folders: dict[str, dict[str, None]] = {}
    for job in plan.jobs:
        if not Path(job.cwd).is_dir():
            folders.setdefault(job.template, {})[os.path.relpath(job.cwd, opened.root)] = None
    return [
        f"{opened.path.name}: jobs.{job}.cwd: no folder {words.names(map(repr, gone))}" for job, gone in folders.items()
    ]


def _documents(error: PipelineProblems) -> list[dict[str, Any]]:
    import msgspec

    found: list[dict[str, Any]] = msgspec.to_builtins(error.problems)
    return found


def _answer(document: dict[str, Any]) -> None:
    import json

    click.echo(json.dumps(document, ensure_ascii=False))


def _talk(text: str) -> None:
    """Say it on stderr, in ASCII where the stream knows no more."""
    encoding = (sys.stderr.encoding or "ascii").lower()
    click.echo(text if encoding.startswith("utf") else text.replace("│", "|"), err=True)


def _count(number: int, noun: str) -> str:
    return f"1 {noun}" if number == 1 else f"{number:,} {noun}s"
