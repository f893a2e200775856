"""The command table, loaded lazily, and the one place where errors become exit statuses."""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import suppress
from itertools import pairwise
from typing import Any, NamedTuple, NoReturn

import click

from etl_runner import __version__
from etl_runner.cli.options import Settings, common_options, json_wanted
from etl_runner.errors import EtlError, UsageError
from etl_runner.signals import Interrupted, die_of
from etl_runner.streams import complete_streams, flush, silence


class Entry(NamedTuple):
    """A command's place in the help and in the code (`module:attribute`)."""

    section: str
    help: str
    target: str


COMMANDS: dict[str, Entry] = {
    "all": Entry("Run", "Run the whole pipeline (or --only / --skip phases, jobs, tags).", "run:all_"),
    "job": Entry("Run", "Run one job, e.g. etl-run job table --id 3.", "job:job"),
    "retry": Entry("Run", "Run again what failed, was blocked, cancelled or lost in the last run.", "retry:retry"),
    "stop": Entry("Run", "End a run of another terminal.", "stop:stop"),
    "backfill": Entry("Run", "Run a job over intervals of the past.", "backfill:backfill"),
    "plan": Entry("Look", "Show what would run, in which order, and for how long.", "plan:plan"),
    "history": Entry("Look", "List past runs, or one job's past.", "history:history"),
    "show": Entry("Look", "Show one run, or one job of it.", "show:show"),
    "logs": Entry("Look", "Print a job's log; -f follows it.", "logs:logs"),
    "check": Entry("Set up", "Check the pipeline file.", "check:check"),
    "schema": Entry("Set up", "Print the JSON Schema of the pipeline file.", "schema:schema"),
    "db": Entry("Set up", "The warehouse: its url, a psql, or stop the embedded server.", "db:db"),
}

EPILOG = (
    "Exit statuses: 0 all good, 1 a job failed, 2 wrong use or config (nothing ran), 75 another run holds the lock, "
    "129/130/143 ended by a signal."
)


_CANNOT_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF, errno.ENXIO)


class LazyCommands(MutableMapping[str, click.Command]):
    """Name → command, importing a command's module when it is first asked for."""

    def __init__(self) -> None:
        self._loaded: dict[str, click.Command] = {}

    def __getitem__(self, name: str) -> click.Command:
        if name not in self._loaded:
            module, attribute = COMMANDS[name].target.split(":")
            self._loaded[name] = getattr(importlib.import_module(f"etl_runner.cli.{module}"), attribute)
        return self._loaded[name]

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class Cli(click.Group):
    """The top-level command: grouped help, and errors shown once."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        for section in dict.fromkeys(entry.section for entry in COMMANDS.values()):
            rows = [(name, entry.help) for name, entry in COMMANDS.items() if entry.section == section]
            with formatter.section(section):
                formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except EtlError as error:
            with suppress(OSError):  # nobody can hear it: the exit status says it, too
                show_error(error, json=json_wanted(ctx))
            ctx.exit(error.exit_status)


@click.group(cls=Cli, commands=LazyCommands(), epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", message="etl-run %(version)s")
@common_options
def cli(settings: Settings) -> None:
    """Run ETL jobs in phases, side by side, and say clearly what happened."""


def show_error(error: EtlError, *, json: bool) -> None:
    """Say an error on stderr: message and hint, or one JSON object."""
    if json:
        import json as json_module

        body = {"error": error.code, "message": error.message, "hint": error.hint, "exit": error.exit_status}
        click.echo(json_module.dumps(body), err=True)
        return
    click.echo(f"etl-run: {error.message}" if "\n" not in error.message else error.message, err=True)
    if error.hint:
        click.echo(f"  {error.hint}", err=True)


def show_misuse(error: click.ClickException, *, json: bool) -> None:
    """Say what click found wrong with the command line, on stderr."""
    if not json:
        error.show()
        return
    context = error.ctx if isinstance(error, click.UsageError) else None
    hint = f"see {context.command_path} --help" if context else ""
    show_error(UsageError(error.format_message(), hint=hint), json=True)


def _asks_for_json(words: list[str]) -> bool:
    """Whether JSON is asked for in a command line that could not be read, or in the environment."""
    own = words[: words.index("--")] if "--" in words else words
    asked = [value for name, value in pairwise(own) if name in ("-o", "--output")]
    asked += [word.removeprefix("--output=").removeprefix("-o") for word in own if word.startswith(("-o", "--output="))]
    return "json" in asked or (not any(asked) and os.environ.get("ETL_RUN_OUTPUT") == "json")


def main(*before: str, script: str | None = None) -> NoReturn:
    """Run the command line, `before` in front of its words, in the folder of `script` if there is one, and exit."""
    complete_streams()
    sys.argv[1:1] = before
    if script:
        os.chdir(os.path.dirname(os.path.abspath(script)))  # noqa: PTH100, PTH120
    try:
        status = _run(sys.argv[1:])
        if error := flush(sys.stdout):
            raise error
    except (click.Abort, KeyboardInterrupt):
        die_of(signal.SIGINT)
    except Interrupted as asked:
        die_of(asked.number)
    except BrokenPipeError:
        die_of(signal.SIGPIPE)
    except OSError as error:
        if error.filename is not None or error.errno not in _CANNOT_WRITE:
            raise
        status = _cannot_write(error)
    flush(sys.stderr)
    if status < 0:
        die_of(-status)
    sys.exit(status)


def _run(words: list[str]) -> int:
    try:
        status = cli.main(words, prog_name="etl-run", standalone_mode=False)
    except click.ClickException as error:
        with suppress(OSError):
            show_misuse(error, json=_asks_for_json(words))
        return error.exit_code
    except click.exceptions.Exit as ended:
        return ended.exit_code
    return status if isinstance(status, int) else 0


def _cannot_write(error: OSError) -> int:
    """Say that the answer could not be written, and drop it."""
    silence(sys.stdout)
    with suppress(OSError):
        click.echo(f"etl-run: cannot write the answer: {error.strerror}", err=True)
    return 1
