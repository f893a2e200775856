"""`etl-run db`: the warehouse's url, a psql in it, or an end to the embedded server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import click

from etl_runner.cli.options import Settings, common_options, remember
from etl_runner.postgres import EmbeddedPostgres, environment
from etl_runner.postgres.binaries import find_binaries


@click.group()
@common_options
def db(settings: Settings) -> None:
    """The warehouse: its url, a psql, or stop the embedded server."""


@db.command()
@common_options
def url(settings: Settings) -> None:
    """Print the warehouse's DSN, for psql or any other client.

    That of the environment (DATABASE_URL, PG*) if it names a server. Else the embedded server is started, and goes
    on until `etl-run db stop`.
    """
    named = environment(os.environ)
    dsn = named or _ready(settings).url()
    if settings.json:
        click.echo(json.dumps({"version": 1, "url": dsn, "embedded": named is None}))
        return
    click.echo(dsn)
    if named is None and not settings.quiet:
        click.echo("The embedded server goes on until: etl-run db stop", err=True)


@db.command(
    short_help="Run psql in the warehouse.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[PSQL ARGUMENTS]…")
@click.pass_context
def psql(context: click.Context, arguments: tuple[str, ...]) -> None:
    """Run psql in the warehouse; what follows goes to psql: etl-run db psql -c 'select 1'.

    Its exit status is passed on. Options of etl-run itself come before: etl-run -c etl.toml db psql.
    """
    settings = remember(Settings())
    named = environment(os.environ)
    if named is not None:
        program = find_binaries(os.environ).program("psql")
        context.exit(_run_psql(program, named, arguments))
    with _ending_by_signals(), _ready(settings).hold() as server:
        status = _run_psql(server.psql, server.url, arguments)
    context.exit(status)


@db.command()
@click.option("--force", is_flag=True, help="Also while runs are using it: their sessions are ended.")
@common_options
def stop(settings: Settings, force: bool) -> None:
    """Stop the embedded server. Refused while runs are using it; its data stays."""
    stopped = _embedded(settings).stop(force=force)
    if settings.json:
        click.echo(json.dumps({"version": 1, "stopped": stopped}))
    elif not settings.quiet:
        click.echo("stopped" if stopped else "the embedded server is not running")


def _embedded(settings: Settings) -> EmbeddedPostgres:
    from etl_runner.cli.context import find_home  # not needed where the environment names a server

    return EmbeddedPostgres(find_home(settings).postgres)


def _ready(settings: Settings) -> EmbeddedPostgres:
    """The embedded server of a home that exists, kept out of version control."""
    from etl_runner.cli.context import find_home
    from etl_runner.ledger.folder import make_folder

    home = find_home(settings)
    with suppress(OSError):  # if the home cannot be made, the server says so, and why
        make_folder(home.folder)
    return EmbeddedPostgres(home.postgres)


def _run_psql(program: Path, dsn: str, arguments: Sequence[str]) -> int:
    """Run psql on our terminal. A Ctrl+C there is psql's: it cancels the query, and we stay."""
    before = signal.signal(signal.SIGINT, lambda *_: None)  # a handler, as ignoring would be inherited by psql
    try:
        return subprocess.run([program, "-d", dsn, *arguments], check=False).returncode
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _ending_by_signals() -> Iterator[None]:
    """End in the orderly way, giving up the server, when asked to terminate."""

    def leave(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
