"""The writing side of the ledger: one connection of the runner."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from etl_runner.events import Event, Record
from etl_runner.ledger.database import connect, instant, transaction
from etl_runner.ledger.trouble import explained
from etl_runner.model import Plan


class Ledger:
    """Remembers runs and their records, for good.

    What `append` was asked to keep durably survives a power cut when it returns. Methods may be called
    from any thread, from one at a time. Every failure is a LedgerError, and has changed nothing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection = connect(path)
        self._durable: bool | None = None

    @classmethod
    def open(cls, path: Path) -> Self:
        """The ledger in the file `path`, created if missing. To be used in a `with`, or closed."""
        return cls(path)

    def begin(self, plan: Plan, at: datetime, *, claim: Callable[[int], object] | None = None) -> int:
        """Add a run, durably, and return its number: 1, 2, 3 …, never used twice.

        `claim` is called with the number before anybody else can see the run: take the run's lock there,
        and no reader ever takes the new run for a lost one. If it raises, there is no run.
        The plan is kept without the values of its jobs' environments, which may be secrets.
        """
        body = _text(_without_secrets(plan))
        key = hashlib.sha256(body.encode()).hexdigest()
        with explained(self.path):
            self._synchronize(durable=True)
            with transaction(self._connection):
                self._connection.execute("INSERT OR IGNORE INTO plan VALUES (?, ?)", (key, body))
                run = self._connection.execute(
                    "INSERT INTO run (started_at, pipeline, plan) VALUES (?, ?, ?)",
                    (instant(at), plan.pipeline, key),
                ).lastrowid
                assert run is not None
                if claim:
                    claim(run)
        return run

    def append(self, records: Sequence[Record], *, durable: bool) -> None:
        """Add records in one transaction; `durable`: also flush it, and all before it, to the disk."""
        if not records:
            return
        with explained(self.path):
            self._synchronize(durable=durable)
            with transaction(self._connection):
                self._connection.executemany("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?)", map(_row, records))

    def remove(self, runs: Iterable[int]) -> None:
        """Forget whole runs (retention)."""
        with explained(self.path):
            for run in runs:
                with transaction(self._connection):
                    self._connection.execute("DELETE FROM event WHERE run = ?", (run,))
                    self._connection.execute("DELETE FROM run WHERE id = ?", (run,))
                    self._connection.execute("DELETE FROM plan WHERE hash NOT IN (SELECT plan FROM run)")

    def close(self) -> None:
        self._connection.close()

    def _synchronize(self, *, durable: bool) -> None:
        if durable != self._durable:
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._durable = durable

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _row(record: Record) -> tuple[int, int, str, str, str | None, int | None, str]:
    event = record.event
    return (
        record.run,
        record.seq,
        instant(record.at),
        str(event.__struct_config__.tag),
        getattr(event, "job", None),
        getattr(event, "attempt", None),
        _text(event),
    )


def _text(value: Event | Plan) -> str:
    """JSON; what the system gave us and is no valid text (names of files, arguments) has `?` in it."""
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        import json

        text = json.dumps(msgspec.to_builtins(value), ensure_ascii=False)
        return text.encode(errors="replace").decode()


def _without_secrets(plan: Plan) -> Plan:
    jobs = (msgspec.structs.replace(job, env=dict.fromkeys(job.env, "")) for job in plan.jobs)
    return msgspec.structs.replace(plan, jobs=tuple(jobs))
