"""How a run went: every job on one time axis, what decided its length, what failed and why."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

from etl_runner import words
from etl_runner.deciding import deciding_path
from etl_runner.events import Record
from etl_runner.look import STYLES, Line, Look
from etl_runner.model import Plan, RunStatus
from etl_runner.paths import Home
from etl_runner.report.findings import findings
from etl_runner.report.style import look_of, paint, short_path
from etl_runner.report.table import table
from etl_runner.sinks.lines import Lines, fitted, verdict
from etl_runner.sinks.logtail import read_failure_tail
from etl_runner.timeline import Timeline, Track

MOST_TAILS = 5
MOST_COMPARED = 500  # logs to read


def render_summary(
    plan: Plan,
    records: Iterable[Record],
    *,
    home: Home,
    stream: TextIO | None = None,
    look: Look | None = None,
    cwd: Path | None = None,
    everything: bool = False,
) -> str:
    """The whole summary as text to print: table, findings, failed logs' ends, last line (without its newline).

    It is made to `look`, else for `stream`, else 80 columns wide and plain. Long runs show only the jobs worth a look
    unless `everything` is wanted. Log paths are relative to `cwd`.
    """
    timeline = Timeline(plan, records)
    look = look or (look_of(stream, os.environ) if stream else Look())
    return paint(summary_lines(timeline, home=home, look=look, cwd=cwd, everything=everything), look).rstrip("\n")


def summary_lines(
    timeline: Timeline, *, home: Home, look: Look, cwd: Path | None = None, everything: bool = False
) -> list[Line]:
    """The lines of the summary; a run that was cut short is shown as far as it came."""
    ended = timeline.finished is not None and timeline.finished.status is not RunStatus.CANCELLED
    path = deciding_path(timeline) if ended else ()  # else a signal decided its length, or nothing yet
    return [
        *table(timeline, path, look, everything=everything),
        *findings(timeline, path, look),
        [],
        *failures(timeline, home=home, look=look, cwd=cwd or Path.cwd()),
        *verdict(timeline, look),
    ]


def failures(timeline: Timeline, *, home: Home, look: Look, cwd: Path) -> Iterator[Line]:
    """For each failed job: how it ended, where its log is, the end of it. One that never started has no more to say.

    Jobs that end in the same words, as when a source is missing, are told once.
    """
    alike, untold = alike_failures(timeline, home=home)
    for first, *others in alike:
        yield from _failure(timeline, first, home=home, look=look, cwd=cwd)
        if others:
            same = words.names([other.job.name for other in others], most=5)
            yield from ([(f"  {row}", "dim")] for row in words.fold(f"the same: {same}", look.width - 2))
        yield []
    if untold:
        yield [(f"{look.glyphs.more} and {untold:,} more failed: etl-run show {timeline.run}", "dim")]
        yield []


def alike_failures(timeline: Timeline, *, home: Home) -> tuple[list[list[Track]], int]:
    """The failed jobs worth telling, those that ended in the same words together; and how many there are besides."""
    failed = [t for t in timeline.tracks.values() if t.tries and t.outcome is not None and t.outcome.is_failure]
    alike = _alike(timeline, failed[:MOST_COMPARED], home=home)[:MOST_TAILS]
    return alike, len(failed) - sum(map(len, alike))


def _alike(timeline: Timeline, failed: Iterable[Track], *, home: Home) -> list[list[Track]]:
    """Failed jobs in groups that ended in the same way with the same last words; silent ones are alone."""
    groups: dict[tuple[object, ...], list[Track]] = {}
    for track in failed:
        end = track.finished
        assert end is not None
        tail = tuple(read_failure_tail(home.log(timeline.run, end.job, end.attempt)))
        groups.setdefault((end.outcome, end.exit, *tail) if tail else (end.job,), []).append(track)
    return list(groups.values())


def _failure(timeline: Timeline, track: Track, *, home: Home, look: Look, cwd: Path) -> Iterator[Line]:
    end = track.finished
    assert end is not None
    why = words.ending_words(track.job, end, error=words.error_of(track.exited))
    why += f", {words.duration(track.seconds)}"
    head: Line = [
        (f"{look.glyphs.of(end.outcome)} {words.clean(track.job.name)}", f"bold {STYLES[end.outcome]}"),
        (f"  {why}", ""),
    ]
    path = short_path(home.log(timeline.run, end.job, end.attempt), cwd=cwd)
    taken = sum(words.cells(text) for text, _ in head)
    room = look.width - taken - words.cells(path)
    if room >= 2:
        yield [*head, (" " * min(room, 6) + path, "dim")]
    else:
        yield fitted(head, look.width, more=look.glyphs.more)
        yield [(f"  {path}", "dim")]  # whole, to be copied
    yield from Lines(timeline, look, home=home).tail(end.job, end.attempt, indent=2)
