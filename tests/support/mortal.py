"""Loads that die by kill -9 at a chosen moment: `python -m tests.support.mortal` forks one for every line it reads.

A line is JSON: {"dsn", "catalogue", "id", "full", "dies"}; `dies` is the number of the statement it dies before, null
to live; negative: it dies while the statement runs. The answer is a line with how the process ended and what it did.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psycopg

from etl_jobs.catalogue import read_catalogue
from etl_jobs.errors import JobError
from etl_jobs.load import load_table
from etl_jobs.records import Attempt
from etl_jobs.warehouse import connect


@dataclass
class Mortal:
    """A process to order loads from."""

    process: subprocess.Popen[str]

    def load(self, dsn: str, catalogue: Path, number: int = 0, *, full: bool = False, dies: int | None = None) -> Any:
        """The load's result: a mapping of its counts, the exit status of an error, -9 if it was killed."""
        order = {"dsn": dsn, "catalogue": str(catalogue), "id": number, "full": full, "dies": dies}
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@contextmanager
def mortal() -> Iterator[Mortal]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.mortal"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        yield Mortal(process)
        assert process.stdin
        process.stdin.close()


class _Doomed(psycopg.Connection[Any]):
    """A session whose process dies at its n-th statement."""

    left: int = 0
    during: bool = False

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        self.left -= 1
        if self.left == 0 and not self.during:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.left == 0:
            threading.Timer(0.002, os.kill, (os.getpid(), signal.SIGKILL)).start()
        return super().execute(*args, **kwargs)


def _load(order: dict[str, Any]) -> Any:
    catalogue = read_catalogue(Path(order["catalogue"]), env={})
    with connect({"DATABASE_URL": order["dsn"]}) as session:
        if order["dies"] is not None:
            session.__class__ = _Doomed
            session.left, session.during = abs(order["dies"]), order["dies"] < 0  # type: ignore[attr-defined]
        attempt = Attempt(run=None, job="mortal")
        table = catalogue.table(order["id"])
        try:
            loaded = load_table(session, catalogue, table, attempt=attempt, wait=20, full=order["full"])
        except JobError as error:
            return {"status": error.exit_status, "said": error.message}
    return {"status": 0, "inserted": loaded.inserted, "updated": loaded.updated, "deleted": loaded.deleted}


def _answer(order: dict[str, Any], out: IO[str]) -> None:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        result = _load(order)
        os.write(writing, json.dumps(result).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    out.write((said or json.dumps({"status": status})) + "\n")
    out.flush()


if __name__ == "__main__":
    for line in sys.stdin:
        _answer(json.loads(line), sys.stdout)
