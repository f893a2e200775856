"""Scripted runs, and a small terminal that shows what a stream would look like."""

from __future__ import annotations

import os
import re
import select
import struct
import termios
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from fcntl import ioctl
from pathlib import Path
from typing import Any, TextIO

from etl_runner.events import (
    AttemptExited,
    AttemptReported,
    AttemptStarted,
    Event,
    JobFinished,
    JobRetrying,
    Record,
    RunFinished,
    RunStarted,
    StopReason,
    StopRequested,
    counts,
)
from etl_runner.model import Job, Metric, Outcome, Phase, Plan, RunStatus

BEGAN = datetime(2026, 11, 21, 3, 0, 0, tzinfo=UTC)


def job(name: str, phase: str = "", **settings: Any) -> Job:
    return Job(name=name, template=settings.pop("template", name), argv=("true",), cwd="/", phase=phase, **settings)


def plan(*jobs: Job, workers: int = 2, **settings: Any) -> Plan:
    phases = tuple(Phase(name=name) for name in dict.fromkeys(j.phase for j in jobs) if name)
    return Plan(pipeline="warehouse", jobs=jobs, phases=phases, workers=workers, **settings)


class Script:
    """Writes the records of a run as it would have gone; times are seconds since it began, in any order."""

    def __init__(self, plan: Plan, *, run: int = 42) -> None:
        self.plan = plan
        self.run = run
        self._events: list[tuple[float, Event]] = []
        self._starts: dict[str, tuple[int, float]] = {}
        self._outcomes: list[Outcome] = []
        self.add(
            0.0,
            RunStarted(
                pipeline=plan.pipeline,
                profile=plan.profile,
                workers=plan.workers,
                jobs=len(plan.jobs),
                by="ana",
                command=("etl-run", "all"),
                config="/srv/etl.toml",
                pid=1,
            ),
        )

    def add(self, at: float, event: Event) -> Script:
        self._events.append((at, event))
        return self

    @property
    def records(self) -> list[Record]:
        """The records in order of time, numbered."""
        made: list[Record] = []
        for at, event in sorted(self._events, key=lambda pair: pair[0]):
            seq = 0 if isinstance(event, AttemptReported) else len(made) + 1
            made.append(Record(run=self.run, seq=seq, at=BEGAN + timedelta(seconds=at), event=event))
        return made

    def start(self, name: str, at: float) -> Script:
        attempt = self._starts.get(name, (0, 0.0))[0] + 1
        self._starts[name] = (attempt, at)
        return self.add(at, AttemptStarted(job=name, attempt=attempt, pid=100))

    def report(self, name: str, at: float, **metrics: Metric) -> Script:
        return self.add(at, AttemptReported(job=name, attempt=self._starts[name][0], metrics=metrics))

    def exit(self, name: str, at: float, **ending: Any) -> Script:
        attempt, start = self._starts.get(name, (1, at))
        if not ending.keys() & {"exit", "signal", "error"}:
            ending["exit"] = 0
        return self.add(at, AttemptExited(job=name, attempt=attempt, seconds=at - start, **ending))

    def retry(self, name: str, at: float, *, of: int, delay: float, status: int = 1) -> Script:
        self.exit(name, at, exit=status)
        retrying = JobRetrying(
            job=name, attempt=self._starts[name][0], attempts=of, outcome=Outcome.FAILED, delay=delay, exit=status
        )
        return self.add(at, retrying)

    def finish(self, name: str, at: float, outcome: Outcome, **said: Any) -> Script:
        phase = next((j.phase for j in self.plan.jobs if j.name == name), "")
        attempt = self._starts.get(name, (0, 0.0))[0]
        self._outcomes.append(outcome)
        return self.add(at, JobFinished(job=name, phase=phase, attempt=attempt, outcome=outcome, **said))

    def ok(self, name: str, start: float, end: float, **metrics: Metric) -> Script:
        self.start(name, start).exit(name, end, metrics=metrics)
        return self.finish(name, end, Outcome.SUCCEEDED, exit=0, seconds=end - start, metrics=metrics)

    def fail(self, name: str, start: float, end: float, *, status: int = 1, **said: Any) -> Script:
        self.start(name, start).exit(name, end, exit=status)
        return self.finish(name, end, Outcome.FAILED, exit=status, seconds=end - start, **said)

    def skip(self, name: str, at: float, *because: str) -> Script:
        return self.finish(name, at, Outcome.SKIPPED, because=because)

    def stop(self, at: float, reason: StopReason = StopReason.SIGNAL, **said: Any) -> Script:
        return self.add(at, StopRequested(reason=reason, **said))

    def end(self, at: float, status: RunStatus = RunStatus.SUCCEEDED) -> Script:
        code = 0 if status is RunStatus.SUCCEEDED else 1
        return self.add(at, RunFinished(status=status, exit=code, seconds=at, counts=counts(self._outcomes)))


def write_log(path: Path, text: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


class Clock:
    """A clock that stands where it is set, in seconds since the run began."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> datetime:
        return BEGAN + timedelta(seconds=self.seconds)


END = b"\x1e"
_TOKEN = re.compile(r"\x1b\[(?P<args>[0-9;?]*)(?P<final>[A-Za-z])|(?P<char>[\s\S])")


class Terminal:
    """The few things a terminal does that our screens rely on. Anything else is a test failure."""

    def __init__(self, columns: int, lines: int) -> None:
        self.columns, self.lines = columns, lines
        self.rows: list[list[str]] = [[]]
        self.row = self.column = 0
        self.cursor_shown = True

    def feed(self, text: str) -> None:
        for token in _TOKEN.finditer(text):
            if token["char"] is None:
                self._control(token["args"], token["final"])
            else:
                self._put(token["char"])

    @property
    def screen(self) -> list[str]:
        """What stands there now, scrolled lines included, without blank lines at the end."""
        shown = ["".join(row).rstrip() for row in self.rows]
        while shown and not shown[-1]:
            shown.pop()
        return shown

    def _put(self, char: str) -> None:
        if char == "\n":
            self.row, self.column = self.row + 1, 0
            if self.row == len(self.rows):
                self.rows.append([])
        elif char == "\r":
            self.column = 0
        else:
            assert char.isprintable(), f"unexpected control character {char!r}"
            assert self.column < self.columns, f"wrapped: {''.join(self.rows[self.row])!r}"
            line = self.rows[self.row]
            line.extend(" " * (self.column + 1 - len(line)))
            line[self.column] = char
            self.column += 1

    def _control(self, args: str, final: str) -> None:
        match args, final:
            case _, "m":
                pass
            case "2", "K":
                self.rows[self.row] = []
            case number, "A":
                self.row -= int(number or 1)
                assert self.row >= max(len(self.rows) - self.lines, 0), "the cursor left the screen"
            case "?25", "l":
                self.cursor_shown = False
            case "?25", "h":
                self.cursor_shown = True
            case _:
                raise AssertionError(f"unexpected sequence {args!r}{final!r}")


class Pty:
    """A real pseudo-terminal: `stream` is what the program writes to, `read` what arrived."""

    def __init__(self, stream: TextIO, master: int) -> None:
        self.stream = stream
        self._master = master
        self._arrived = b""

    def take_in(self, *, timeout: float) -> bool:
        """Read what there is, at most for so long; whether there was something."""
        ready, _, _ = select.select([self._master], [], [], timeout)
        if ready:
            self._arrived += os.read(self._master, 65536)
        return bool(ready)

    def read(self, *, timeout: float = 10.0) -> str:
        """Everything written so far. What is written by another thread must have been written when this is called."""
        os.write(self.stream.fileno(), END)
        while not self._arrived.endswith(END):
            assert self.take_in(timeout=timeout), f"no end, only {self._arrived!r}"
        data, self._arrived = self._arrived, b""
        return data.removesuffix(END).decode().replace("\r\n", "\n")

    def hang_up(self) -> None:
        os.close(self._master)
        self._master = -1


@contextmanager
def pty(*, columns: int = 80, lines: int = 24, encoding: str = "utf-8") -> Iterator[Pty]:
    master, slave = os.openpty()
    tty.setraw(slave)
    ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    with os.fdopen(slave, "w", encoding=encoding) as stream:
        terminal = Pty(stream, master)
        try:
            yield terminal
        finally:
            if terminal._master >= 0:
                terminal.hang_up()


def widest(text: str | Sequence[str]) -> int:
    lines = text.splitlines() if isinstance(text, str) else text
    return max(map(len, lines), default=0)
