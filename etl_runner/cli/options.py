"""The options every command understands."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeVar, cast

import click

HIGHEST = 10**9
Output = Literal["text", "json"]
Command = TypeVar("Command", bound=Callable[..., Any])


class Number(click.ParamType[int]):
    """A whole number from 1 on, none that nobody means."""

    name = "n"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value)
        if not (text.isascii() and text.isdecimal() and 0 < int(text) <= HIGHEST):
            self.fail(f"expected a whole number from 1 on, got {text!r}", param, ctx)
        return int(text)


class Settings(NamedTuple):
    """What the common options say. None: not given."""

    config: str | None = None
    profile: str | None = None
    output: Output | None = None
    quiet: bool = False
    verbose: bool = False

    @property
    def json(self) -> bool:
        return self.output == "json"

    def over(self, outer: Settings) -> Settings:
        """These settings, and the outer ones where these are silent."""
        return Settings(
            config=self.config or outer.config,
            profile=self.profile or outer.profile,
            output=self.output or outer.output,
            quiet=self.quiet or outer.quiet,
            verbose=self.verbose or outer.verbose,
        )


_OPTIONS = (
    click.option(
        "-c",
        "--config",
        metavar="FILE",
        envvar=["ETL_RUN_CONFIG", "ETL_CONFIG"],
        help="The pipeline file (default: the nearest etl.toml, here or above).",
    ),
    click.option("--profile", metavar="NAME", envvar="ETL_RUN_PROFILE", help="A [profiles.NAME] of the file."),
    click.option(
        "-o",
        "--output",
        type=click.Choice(["text", "json"]),
        envvar="ETL_RUN_OUTPUT",
        help="text for people (default), json for programs.",
    ),
    click.option("-q", "--quiet", is_flag=True, envvar="ETL_RUN_QUIET", help="Say nothing unless something failed."),
    click.option("-v", "--verbose", is_flag=True, envvar="ETL_RUN_VERBOSE", help="Show all output of the jobs."),
)


def common_options(command: Command) -> Command:
    """Give a command the common options; it gets them as `settings`, merged over those before its name."""

    @functools.wraps(command)
    def wrapper(
        *args: Any,
        config: str | None = None,
        profile: str | None = None,
        output: Output | None,
        quiet: bool,
        verbose: bool,
        **kwargs: Any,
    ) -> Any:
        return command(*args, settings=remember(Settings(config, profile, output, quiet, verbose)), **kwargs)

    for option in reversed(_OPTIONS):
        wrapper = option(wrapper)
    return cast(Command, wrapper)


def remember(settings: Settings) -> Settings:
    """Merge settings over those given earlier on the command line, and keep them for error messages."""
    root = click.get_current_context().find_root()
    root.obj = settings.over(root.obj or Settings())
    return cast(Settings, root.obj)


def json_wanted(context: click.Context) -> bool:
    """Whether the command line asked for JSON, as far as it was read."""
    settings = context.find_root().obj
    return isinstance(settings, Settings) and settings.json
