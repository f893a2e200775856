"""etl-run job NAME --explain: what a job's command says it would do. It is no run: nothing is locked or recorded."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import NamedTuple

import click

from etl_runner.cli.context import Opened
from etl_runner.cli.options import Settings
from etl_runner.cli.surroundings import warehouse
from etl_runner.environment import base_environment
from etl_runner.errors import EtlError, UsageError
from etl_runner.hiding import masker_of
from etl_runner.masking import Masker
from etl_runner.model import Job, Plan
from etl_runner.pipeline.pipeline import words_of
from etl_runner.signals import interrupting_signals
from etl_runner.words import clean

_OF_A_RUN = ("ETL_RUN_ID", "ETL_RUN_STARTED", "ETL_ATTEMPT", "ETL_DEADLINE", "ETL_OUTPUT", "ETL_RUN_DIR")


class Said(NamedTuple):
    """What a command said, on both streams, and its exit status (minus a signal's number)."""

    job: str
    exit: int
    output: str
    errors: str


def explain(opened: Opened, plan: Plan, settings: Settings) -> int:
    """Ask every job of the plan, one after the other. Returns the first status that is not 0.

    What they say goes to stdout, or as one JSON document, what they complain of to stderr; secrets are hidden in both.
    """
    status, answers = 0, []
    with interrupting_signals(), warehouse(plan, opened.home, settings) as env:
        masker = masker_of(plan, env=env, params=opened.pipeline.params)
        for job in plan.jobs:
            said = _ask(_explaining(opened, job), plan, env=env, masker=masker)
            status = status or (128 - said.exit if said.exit < 0 else said.exit)
            if settings.json:
                answers.append(said._asdict())
            else:
                _show(said, alone=len(plan.jobs) == 1)
    if settings.json:
        click.echo(json.dumps({"version": 1, "jobs": answers}, indent=2))
    return status


def _explaining(opened: Opened, job: Job) -> tuple[Job, tuple[str, ...]]:
    words = words_of(opened.pipeline.templates[job.template].table.explain)
    if not words:
        raise UsageError(
            f"{job.template!r} cannot say what it would do",
            hint='if its command can, say with which words: explain = "--dry-run"',
        )
    return job, (*job.argv, *words)


def _ask(asked: tuple[Job, tuple[str, ...]], plan: Plan, *, env: Mapping[str, str], masker: Masker) -> Said:
    job, argv = asked
    own = {"ETL_JOB": job.name, "ETL_PHASE": job.phase, "ETL_PROFILE": plan.profile, "PGAPPNAME": "etl-run/explain"}
    outer = {name: value for name, value in base_environment(env).items() if name not in _OF_A_RUN}
    try:
        ended = subprocess.run(
            argv,
            cwd=job.cwd,
            env=outer | job.env | own,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=job.timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise EtlError(f"{job.name}: no answer within {job.timeout:g} s") from None
    except (OSError, ValueError) as error:
        raise EtlError(f"{job.name}: cannot start {argv[0]!r}: {error}") from None
    texts = (masker.text(stream.decode("utf-8", "replace")) for stream in (ended.stdout, ended.stderr))
    return Said(job.name, ended.returncode, *texts)


def _show(said: Said, *, alone: bool) -> None:
    if not alone:
        click.echo(f"etl-run: {said.job}", err=True)
    for stream, text in ((sys.stdout, said.output), (sys.stderr, said.errors)):
        shown = "".join(clean(line) + "\n" for line in text.splitlines()) if stream.isatty() else text
        click.echo(shown, file=stream, nl=False)
