"""A run on a screen: lines for what happened, and on a terminal a footer for what is going on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TextIO

from msgspec.structs import replace

from etl_runner.events import (
    AttemptExited,
    JobFinished,
    JobRetrying,
    Record,
    RunFinished,
    RunStarted,
    StopRequested,
)
from etl_runner.look import Line
from etl_runner.model import Plan, RunStatus
from etl_runner.paths import Home
from etl_runner.remaining import seconds_left
from etl_runner.sinks.footer import Moment, footer
from etl_runner.sinks.lines import Lines, name_width
from etl_runner.sinks.output import LastWords, OutputLines
from etl_runner.sinks.paint import paint
from etl_runner.sinks.terminal import Outlet, prepare, size_of
from etl_runner.timeline import Timeline

SILENCE = 60.0
ETA_EVERY = 2.0


class ConsoleSink:
    """Shows a run while it goes on.

    `stream` is where: a terminal gets the live view, anything else plain lines with the wall-clock time. `verbose`
    adds the jobs' output, `quiet` leaves only failures and, if the run is not good, its last line. `clock` tells
    the time as an aware instant, `estimates` the usual seconds of jobs. A stream that goes away is no error.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        run: int,
        home: Home,
        stream: TextIO,
        env: Mapping[str, str],
        clock: Callable[[], datetime],
        estimates: Mapping[str, float] | None = None,
        verbose: bool = False,
        quiet: bool = False,
    ) -> None:
        look = prepare(stream, env)
        self._stream = stream
        self._out = Outlet(stream)
        self._live = look.live and not quiet
        self._run = run
        self._plan = plan
        self._clock = clock
        self._verbose = verbose and not quiet
        self._quiet = quiet
        self._estimates = estimates or {}
        self._timeline = Timeline(plan)
        margin = 1 if self._live else 0 if quiet else len(self._stamp(None))
        self._lines = Lines(self._timeline, look, home=home, margin=margin)
        self._pending: list[Line] = []
        self._output = OutputLines()
        self._last_words = LastWords()
        self._spoke = 0.0
        self._eta: tuple[float, float | None] | None = None
        self._screen = None
        if self._live:
            from etl_runner.sinks.live import LiveScreen

            self._screen = LiveScreen(self._out, look)

    def tell(self, record: Record) -> None:
        self._timeline.apply(record)
        if self._out.gone:
            return
        lines = self._lines_of(record)
        if lines:
            self._say(lines, record.at)

    def output(self, job: str, chunk: bytes) -> None:
        if self._verbose:
            self._say_output(job, self._output.feed(job, chunk))
        elif self._live:
            self._last_words.feed(job, chunk)

    def refresh(self) -> None:
        if self._out.gone:
            return
        now = self._timeline.offset(self._clock())
        if self._screen is not None:
            self._draw(now)
        elif not self._quiet and self._timeline.running and now - self._spoke >= SILENCE:
            self._say([self._lines.still_running(now)], self._clock())

    def close(self) -> None:
        for job in list(self._timeline.running):
            self._say_output(job, self._output.end(job))
        if self._screen is not None:
            self._screen.close(self._pending)
            self._pending = []
        self._out.flush()

    def _lines_of(self, record: Record) -> list[Line]:
        event = record.event
        if self._quiet:
            return self._quiet_lines(record)
        match event:
            case RunStarted():
                return [] if self._live else [self._lines.header(self._run)]
            case AttemptExited(job=job):
                self._last_words.end(job)
                self._say_output(job, self._output.end(job))
                return []
            case JobRetrying(job=job) if job in self._timeline.tracks:
                return [self._lines.retrying(self._timeline.tracks[job], event)]
            case JobFinished(job=job) if job in self._timeline.tracks:
                lines = self._lines.finished(self._timeline.tracks[job], event)
                return lines[:1] if self._verbose else lines
            case StopRequested():
                return [self._lines.stopping(event)]
            case _:
                return []

    def _quiet_lines(self, record: Record) -> list[Line]:
        match record.event:
            case JobFinished(job=job, outcome=outcome) if outcome.is_failure and job in self._timeline.tracks:
                return self._lines.finished(self._timeline.tracks[job], record.event)
            case RunFinished(status=status) if status is not RunStatus.SUCCEEDED:
                return [self._lines.verdict()]
            case _:
                return []

    def _say(self, lines: Sequence[Line], at: datetime) -> None:
        self._spoke = self._timeline.offset(at)
        if self._live:
            self._pending += lines
            return
        if not self._quiet:
            stamp = self._stamp(at)
            lines = [[(stamp, "dim"), *line] for line in lines]
        self._out.write(paint(lines, self._lines.look))
        self._out.flush()

    def _say_output(self, job: str, texts: Sequence[str]) -> None:
        if not texts or self._out.gone:
            return
        width = name_width(self._plan, self._lines.look)
        lines = [self._lines.output(job, text, width) for text in texts]
        if self._live:
            self._pending += lines
        else:
            self._out.write(paint(lines, self._lines.look))
            self._out.flush()

    def _stamp(self, at: datetime | None) -> str:
        total = len(self._plan.jobs)
        done = self._timeline.over if at is not None else 0
        time = at.astimezone().strftime("%H:%M:%S") if at is not None else "00:00:00"
        return f"{time} [{done:>{len(str(total))}}/{total}] "

    def _draw(self, now: float) -> None:
        assert self._screen is not None
        width, height = size_of(self._stream) or (self._lines.look.width, 24)
        look = replace(self._lines.look, width=width)
        self._lines.look = look
        moment = Moment(
            now=now,
            left=self._left(now),
            estimates=self._estimates,
            said={job: self._last_words.of(job) for job in list(self._timeline.running)[:10]},
        )
        frame = footer(self._timeline, moment, replace(look, width=width - 1), height=height)
        above, self._pending = self._pending, []
        self._screen.frame(above, frame, width=width, height=height)

    def _left(self, now: float) -> float | None:
        """The seconds left, worked out now and then and counted down in between."""
        if self._eta is None or now - self._eta[0] >= ETA_EVERY:
            self._eta = (now, seconds_left(self._timeline, self._estimates, now=now))
        at, left = self._eta
        return None if left is None else max(left - (now - at), 0.0)
