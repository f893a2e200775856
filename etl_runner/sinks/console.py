"""A run on a screen: lines for what happened, and on a terminal a footer for what is going on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, TextIO

from msgspec.structs import replace

from etl_runner.events import (
    AttemptExited,
    Event,
    JobExpanded,
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
from etl_runner.sinks.footer import MOST_ROWS, Moment, footer
from etl_runner.sinks.lines import Lines
from etl_runner.sinks.outlet import Outlet
from etl_runner.sinks.output import LastWords, OutputLines
from etl_runner.sinks.plain import PlainScreen
from etl_runner.sinks.remaining import seconds_left
from etl_runner.sinks.terminal import prepare, size_of
from etl_runner.timeline import Timeline

if TYPE_CHECKING:
    from etl_runner.sinks.live import LiveScreen

SILENCE = 60.0
ETA_EVERY = 2.0
MOST_OUTPUT_IN_A_FRAME = 500
MOST_BACKLOG = 4 * 1024 * 1024
PATIENCE = 5.0


class ConsoleSink:
    """Shows a run while it goes on.

    `stream` is where: a terminal gets the live view, anything else plain lines with the wall-clock time. `verbose`
    adds the jobs' output, `quiet` leaves only failures and, if the run is not good, its last line. `clock` tells
    the time as an aware instant, `estimates` the usual seconds of jobs. A stream that is stuck or goes away does
    not disturb the run: output of jobs is left out then, and said so.
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
        self._run = run
        self._clock = clock
        self._verbose = verbose and not quiet
        self._quiet = quiet
        self._estimates = estimates or {}
        self._timeline = Timeline(plan)
        self._plain = PlainScreen(self._out, stream, env, total=lambda: len(self._timeline.tracks))
        self._live: LiveScreen | None = None
        if look.live and not quiet:
            from etl_runner.sinks.live import LiveScreen

            self._live = LiveScreen(self._out, look)
        margin = 1 if self._live else 0 if quiet else self._plain.margin
        self._lines = Lines(self._timeline, look, home=home, margin=margin)
        self._pending: list[Line] = []
        self._output = OutputLines()
        self._last_words = LastWords()
        self._output_shown = self._output_left_out = 0
        self._spoke = 0.0
        self._closed = False
        self._eta: tuple[float, float | None] | None = None

    def tell(self, record: Record) -> None:
        self._timeline.apply(record)
        if self._out.gone:
            return
        event = record.event
        if isinstance(event, AttemptExited):
            self._last_words.end(event.job)
            self._say_output(event.job, self._output.end(event.job))
        lines = self._quiet_lines_of(event) if self._quiet else self._lines_of(event)
        if lines:
            bad = event.job if isinstance(event, JobFinished) and event.outcome.is_failure else ""
            self._say(lines, at=record.at, bad=bad)

    def output(self, job: str, chunk: bytes) -> None:
        if self._verbose:
            self._say_output(job, self._output.feed(job, chunk))
        elif self._live:
            self._last_words.feed(job, chunk)

    def refresh(self) -> None:
        if self._out.gone:
            return
        now = self._timeline.offset(self._clock())
        if self._live and not self._out.backlog:
            self._draw(self._live, now)
        elif not (self._live or self._quiet) and self._timeline.running and now - self._spoke >= SILENCE:
            self._say([self._lines.still_running(now)], at=self._clock())

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for job in list(self._timeline.running):
            self._say_output(job, self._output.end(job))
        if self._live:
            self._live.close([*self._pending, *self._note_left_out()])
            self._pending = []
        if not self._quiet:
            self._out.write("\n")
        self._out.close(patience=PATIENCE)

    def _lines_of(self, event: Event) -> list[Line]:
        tracks = self._timeline.tracks
        match event:
            case RunStarted() if not self._live:
                return [self._lines.header(self._run)]
            case JobRetrying(job=job) if job in tracks:
                return [self._lines.retrying(tracks[job], event)]
            case JobFinished(job=job) if job in tracks:
                lines = self._lines.finished(tracks[job], event)
                return lines[:1] if self._verbose else lines
            case JobExpanded() if event.copies:
                return [self._lines.expanded(event)]
            case StopRequested():
                return [self._lines.stopping(event)]
            case _:
                return []

    def _quiet_lines_of(self, event: Event) -> list[Line]:
        match event:
            case JobFinished(job=job, outcome=outcome) if outcome.is_failure and job in self._timeline.tracks:
                return self._lines.finished(self._timeline.tracks[job], event)
            case RunFinished(status=status) if status is not RunStatus.SUCCEEDED:
                return self._lines.verdict()
            case _:
                return []

    def _say(self, lines: Sequence[Line], *, at: datetime, bad: str = "") -> None:
        self._spoke = self._timeline.offset(at)
        if self._live:
            self._pending += lines
        elif self._quiet:
            self._plain.print(lines, self._lines.look)
        else:
            self._plain.show(lines, self._lines.look, at=at, done=self._timeline.over, bad=bad)

    def _say_output(self, job: str, texts: Sequence[str]) -> None:
        if not texts or self._out.gone:
            return
        if self._output_shown > MOST_OUTPUT_IN_A_FRAME or self._out.backlog > MOST_BACKLOG:
            self._output_left_out += len(texts)
            return
        lines = [*self._note_left_out(), *(self._lines.output(job, text) for text in texts)]
        if self._live:
            self._pending += lines
            self._output_shown += len(lines)
        else:
            self._plain.print(lines, self._lines.look)

    def _note_left_out(self) -> list[Line]:
        number, self._output_left_out = self._output_left_out, 0
        return [self._lines.left_out(number)] if number else []

    def _draw(self, live: LiveScreen, now: float) -> None:
        width, height = size_of(self._stream) or (self._lines.look.width, 24)
        look = replace(self._lines.look, width=width)
        self._lines.look = look
        moment = Moment(
            now=now,
            left=self._left(now),
            estimates=self._estimates,
            said={job: self._last_words.of(job) for job in list(self._timeline.running)[:MOST_ROWS]},
            name=self._lines.name_width,
        )
        frame = footer(self._timeline, moment, replace(look, width=width - 1), height=height)
        above, self._pending = [*self._pending, *self._note_left_out()], []
        self._output_shown = 0
        live.frame(above, frame, width=width, height=height)

    def _left(self, now: float) -> float | None:
        """The seconds left, worked out now and then and counted down in between."""
        every = max(ETA_EVERY, len(self._timeline.tracks) / 5000)
        if self._eta is None or now - self._eta[0] >= every:
            self._eta = (now, seconds_left(self._timeline, self._estimates, now=now))
        at, left = self._eta
        return None if left is None else max(left - (now - at), 0.0)
