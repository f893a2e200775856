"""The permanent lines of a run: one for each thing that happened."""

from __future__ import annotations

from collections.abc import Sequence

from etl_runner import measures, words
from etl_runner.deciding import workers
from etl_runner.events import JobExpanded, JobFinished, JobRetrying, StopReason, StopRequested
from etl_runner.look import STYLES, Line, Look
from etl_runner.model import Outcome, Plan, RunStatus
from etl_runner.paths import Home
from etl_runner.sinks.logtail import read_failure_tail
from etl_runner.timeline import Timeline, Track

WIDEST_NAME = 32


def longest_name(plan: Plan) -> int:
    """The columns of the longest job name."""
    return max((words.cells(words.clean(job.name)) for job in plan.jobs), default=0)


def name_width(longest: int, look: Look) -> int:
    """How wide the column of job names is."""
    return min(max(longest, 10), WIDEST_NAME, max(look.width // 3, 10))


class Lines:
    """Builds lines for a timeline, in one look."""

    def __init__(self, timeline: Timeline, look: Look, *, home: Home, margin: int = 0) -> None:
        self._timeline = timeline
        self._home = home
        self._margin = margin
        self._plan = timeline.plan
        self._longest = longest_name(timeline.plan)
        self.look = look

    @property
    def name_width(self) -> int:
        """How wide the column of job names is."""
        if self._plan is not self._timeline.plan:
            self._plan = self._timeline.plan
            self._longest = longest_name(self._plan)
        return name_width(self._longest, self.look)

    def header(self, run: int) -> Line:
        plan = self._timeline.plan
        parts = [
            f"run {run}",
            *([words.clean(plan.profile)] if plan.profile else []),
            words.count(len(plan.jobs), "job"),
            words.count(workers(self._timeline), "worker"),
        ]
        dot = f" {self.look.glyphs.dot} "
        return self._fitted([(words.clean(plan.pipeline), "bold"), (dot + dot.join(parts), "")])

    def retrying(self, track: Track, event: JobRetrying) -> Line:
        seconds = track.exited.seconds if track.exited else None
        detail = words.retry_words(event, dot=self.look.glyphs.dot)
        return self._line(self.look.glyphs.retry, "yellow", track, seconds, [detail])

    def finished(self, track: Track, event: JobFinished) -> list[Line]:
        """The job's line; below a failed one, the end of its log."""
        glyph, style = self.look.glyphs.of(event.outcome), STYLES[event.outcome]
        seconds = track.seconds if track.tries else None
        lines = [self._line(glyph, style, track, seconds, self._details(track, event))]
        if event.outcome.is_failure and event.attempt:
            lines += self.tail(event.job, event.attempt, indent=4)
        return lines

    def _details(self, track: Track, event: JobFinished) -> list[str]:
        """What there is to say about a job's end, most telling first."""
        said = measures.notes(track.metrics)
        rows, said = (said[:1], said[1:]) if "rows" in track.metrics else ([], said)
        notes = []
        if not event.outcome.is_good:
            notes.append(words.ending_words(track.job, event, error=words.error_of(track.exited)))
        elif event.outcome is Outcome.CACHED:
            notes.append("cached")
            said = [note for note in said if note != "cached"]
        notes += rows
        if track.is_flaky:
            notes.append(f"at attempt {event.attempt}")
        if track.is_slow and track.job.expect is not None:
            notes.append(f"slower than {words.limit(track.job.expect)}")
        if track.exited and track.exited.log_truncated:
            notes.append("log truncated")
        return [*notes, *said]

    def tail(self, job: str, attempt: int, *, indent: int) -> list[Line]:
        """The lines of an attempt's log that say why it failed."""
        glyphs, blank = self.look.glyphs, " " * indent
        room = self.look.width - min(self._margin, 1) - indent - len(glyphs.side) - 1
        tail = read_failure_tail(self._home.log(self._timeline.run, job, attempt))
        rows = [row for line in tail for row in words.fold(line, max(room, 10))][-words.LONGEST_TAIL :]
        return [[(f"{blank}{glyphs.side} ", "dim"), (row, "")] for row in rows]

    def expanded(self, event: JobExpanded) -> Line:
        """Copies of a job have become known."""
        text = f"{words.clean(event.job)} is {words.count(len(event.copies), 'job')}"
        return self._fitted([(f"{self.look.glyphs.running} ", "cyan"), (text, "")])

    def stopping(self, event: StopRequested) -> Line:
        number, limit = len(self._timeline.running), self._timeline.plan.timeout
        stopping = f"stopping {words.count(number, 'job')}" if number else "no more jobs are started"
        if event.force:
            text = f"killing {words.count(number, 'job')}" if number else "no job is left to be killed"
        elif event.signal is not None:
            again = "Ctrl+C again" if event.signal == 2 else f"{words.signal_name(event.signal)} again"
            text = stopping + (f" ({again} to kill)" if number else "")
        elif event.reason is StopReason.SIGNAL:
            text = f"nothing more can be remembered: {stopping}"
        elif event.reason is StopReason.RUN_TIMEOUT:
            text = f"the run's time{f' ({words.limit(limit)})' if limit else ''} is over: {stopping}"
        elif event.reason is StopReason.FAIL_FAST:
            text = f"a job failed: {stopping}"
        else:
            text = stopping
        return self._fitted([(self.look.glyphs.cancelled + " ", "yellow"), (text, "bold")])

    def still_running(self, now: float) -> Line:
        """A sign of life where nothing moves."""
        tracks = list(self._timeline.running.values())
        jobs = [f"{words.clean(t.job.name)} {words.duration(now - t.tries[-1].start)}" for t in tracks]
        return self._fitted([(f"{self.look.glyphs.running} ", "cyan"), (f"running: {words.names(jobs)}", "")])

    def output(self, job: str, text: str) -> Line:
        """A line of a job's output."""
        name = words.pad(words.clean(job), self.name_width, more=self.look.glyphs.more)
        return [(f"{name} {self.look.glyphs.side} ", "dim"), (text, "")]

    def left_out(self, number: int) -> Line:
        """In place of output that came too fast to be read."""
        return [(f"{self.look.glyphs.more} {words.count(number, 'line')} of output left out, see the logs", "dim")]

    def verdict(self) -> list[Line]:
        """How the run ended."""
        return verdict(self._timeline, self.look)

    def _line(self, glyph: str, style: str, track: Track, seconds: float | None, notes: Sequence[str]) -> Line:
        glyphs = self.look.glyphs
        name = words.pad(words.clean(track.job.name), self.name_width, more=glyphs.more)
        time = "" if seconds is None else words.duration(seconds)
        spans = [(f"{glyph:<{glyphs.width}} ", style), (f"{name} ", ""), (f"{time:>7}  ", "")]
        room = self.look.width - self._margin - sum(words.cells(text) for text, _ in spans)
        said = words.joined(notes, room, dot=glyphs.dot, more=glyphs.more)
        return self._fitted([*spans, (said, "" if track.outcome is Outcome.SUCCEEDED else style)])

    def _fitted(self, line: Line) -> Line:
        return fitted(line, self.look.width - self._margin, more=self.look.glyphs.more)


def fitted(line: Line, width: int, *, more: str) -> Line:
    """The line, cut to `width` columns."""
    room, cut = width, []
    for text, style in line:
        short = words.fit(text, room, more=more)
        cut.append((short, style))
        room -= words.cells(short)
        if short != text:
            break
    return cut


def verdict(timeline: Timeline, look: Look) -> list[Line]:
    """How the run ended: `FAILED  21 ok · 1 failed · 3 skipped in 27.3s      run the rest: etl-run retry 42`."""
    status, style = _status(timeline)
    text = f"  {f' {look.glyphs.dot} '.join(tally(timeline))} in {words.duration(timeline.seconds)}"
    good = timeline.finished is not None and timeline.finished.status is RunStatus.SUCCEEDED
    hint = f"details: etl-run show {timeline.run}" if good else f"run the rest: etl-run retry {timeline.run}"
    gap = look.width - words.cells(status + text) - len(hint)
    if gap < 2:
        rows = words.fold(status + text, look.width)
        return [[(row, style if row.startswith(status) else "")] for row in rows] + [[(hint, "dim")]]
    return [[(status, style), (text, ""), (" " * min(gap, 6) + hint, "dim")]]


def _status(timeline: Timeline) -> tuple[str, str]:
    if timeline.finished is None:
        return ("LOST", "bold magenta")
    match timeline.finished.status:
        case RunStatus.SUCCEEDED:
            return ("OK", "bold green")
        case RunStatus.FAILED:
            return ("FAILED", "bold red")
        case RunStatus.CANCELLED:
            return ("CANCELLED", "bold yellow")


def tally(timeline: Timeline) -> list[str]:
    """How many jobs ended how: `21 ok (2 cached)`, `1 failed`, `3 skipped`."""
    found = dict.fromkeys(Outcome, 0)
    forgiven = 0
    for track in timeline.tracks.values():
        if track.finished is None:
            continue
        if track.finished.optional and track.finished.outcome.is_failure:
            forgiven += 1
        else:
            found[track.finished.outcome] += 1
    cached = found[Outcome.CACHED]
    good = found[Outcome.SUCCEEDED] + cached
    ok = f"{good:,} ok ({cached:,} cached)" if cached else f"{good:,} ok"
    order = (Outcome.FAILED, Outcome.TIMED_OUT, Outcome.LOST, Outcome.CANCELLED, Outcome.SKIPPED)
    told = [(found[o], o.value) for o in order]
    told.insert(3, (forgiven, "optional failed"))
    if good == len(timeline.tracks):  # say of a good run what it did not have, too
        return [ok, "0 failed", "0 skipped"]
    said = [ok, *(f"{number:,} {word}" for number, word in told if number)]
    unknown = len(timeline.tracks) - timeline.over
    return [*said, *([f"{unknown:,} open"] if unknown else [])]
