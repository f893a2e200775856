"""The options that shape a plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from etl_runner.cli.options import Number
from etl_runner.errors import UsageError


class Pairs(click.ParamType[tuple[str, str]]):
    """K=V, as a pair."""

    name = "k=v"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        key, equals, text = str(value).partition("=")
        if not key or not equals:
            self.fail(f"expected NAME=VALUE, got {value!r}", param, ctx)
        return key, text


class Seconds(click.ParamType[float]):
    """A duration such as 90s, 10m or 1h30m, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        from etl_runner.pipeline.durations import parse_duration

        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def plan_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that shape a plan, shared by `all`, `job` and `plan`."""
    for option in reversed(
        (
            click.option("-w", "--workers", type=Number(), envvar="ETL_RUN_WORKERS", help="Jobs at once."),
            click.option("--timeout", type=Seconds(), envvar="ETL_RUN_TIMEOUT", help="Time limit of each job."),
            click.option("--param", "params", type=Pairs(), multiple=True, metavar="K=V", help="A value for {K}."),
            click.option("--dry-run", is_flag=True, envvar="ETL_RUN_DRY_RUN", help="Show the plan, run nothing."),
        )
    ):
        command = option(command)
    return command


def unique(params: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
    """The pairs as a mapping; raises UsageError where a name is given twice."""
    names = [name for name, _ in params]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"--param {name} is given twice")
    return dict(params)
