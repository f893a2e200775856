"""What the jobs' commands share: options, errors as exit statuses, dying cleanly of a signal."""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path
from typing import NoReturn

import psycopg

from etl_jobs.catalogue import default_path, read_catalogue
from etl_jobs.errors import JobError, MisconfiguredError
from etl_jobs.records import Attempt
from etl_jobs.refusals import explained
from etl_jobs.tables import Catalogue


def arguments(description: str) -> argparse.ArgumentParser:
    """A parser with the options every job has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--catalogue",
        type=Path,
        default=default_path(os.environ),
        metavar="PATH",
        help="the tables: a file, or a folder whose files are tables (default: $ETL_CATALOGUE, else the sample load's)",
    )
    parser.add_argument("--scale", type=float, help="size of the sample source (default: $ETL_SCALE, else 1)")
    return parser


def catalogue_of(options: argparse.Namespace) -> Catalogue:
    return read_catalogue(options.catalogue, scale=options.scale)


def this_attempt(job: str) -> Attempt:
    """Who the runner says we are; `job` is what we call ourselves outside of a run."""
    return Attempt(
        run=this_run(),
        run_started=_instant("ETL_RUN_STARTED"),
        job=os.environ.get("ETL_JOB") or job,
        number=_number("ETL_ATTEMPT") or 1,
    )


def this_run() -> int | None:
    """The number of the run we are part of; None by hand."""
    return _number("ETL_RUN_ID")


def _number(variable: str) -> int | None:
    text = os.environ.get(variable)
    if not text:
        return None
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) < 1 << 31:
        raise MisconfiguredError(
            f"the environment variable {variable} is {text!r}, not a number from 1 on",
            hint="etl-run sets it; by hand it is left out",
        )
    return int(text)


def _instant(variable: str) -> datetime | None:
    text = os.environ.get(variable)
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError as error:
        raise MisconfiguredError(
            f"the environment variable {variable} is {text!r}, not an instant such as 2026-01-31T03:00:00+00:00",
            hint="etl-run sets it; by hand it is left out",
        ) from error


def run(main: Callable[[], None]) -> NoReturn:
    """Run a job's main to its end and exit: 0, or the error's own status with message and hint on stderr.

    INT and TERM end the process at once, as signals: the server undoes what was going on.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if isinstance(sys.stdout, TextIOWrapper):  # a name the terminal cannot show must not fail a load
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        main()
    except JobError as error:
        _complain(error)
    except psycopg.Error as error:
        _complain(explained(error))
    gc.freeze()  # the interpreter looks for garbage before it ends, several times: a tenth of a short job
    sys.exit(0)


def _complain(error: JobError) -> NoReturn:
    print(f"error: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)
    sys.exit(error.exit_status)
