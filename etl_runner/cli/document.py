"""Answers of queries on stdout: lines for people, or one JSON document."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence

import click

from etl_runner.cli.options import Settings
from etl_runner.look import Line, Look


def answer(
    settings: Settings, *, lines: Callable[[Look], Sequence[Line]], document: Callable[[], Mapping[str, object]]
) -> None:
    """Print the one of both that is wanted; only that one is made."""
    if settings.json:
        click.echo(json.dumps(document(), indent=2))
        return
    from etl_runner.report.style import look_of, paint

    look = look_of(sys.stdout, os.environ)
    click.echo(paint(lines(look), look), nl=False)
