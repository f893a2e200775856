"""The timing table: one row a job, bars on a common time axis."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from etl_runner import words
from etl_runner.deciding import Link
from etl_runner.look import STYLES, Line, Look
from etl_runner.model import Outcome
from etl_runner.sinks.lines import fitted
from etl_runner.timeline import Timeline, Track

SHORT_ENOUGH = 40
SLOWEST = 10
NARROWEST_AXIS = 10
WIDEST_AXIS = 60


class Columns(Struct, frozen=True, kw_only=True):
    """Where things stand: widths of the name and the row counts (0: nobody reported any), of the axis, and its
    length in seconds."""

    name: int
    rows: int
    axis: int
    seconds: float


def table(timeline: Timeline, path: Sequence[Link], look: Look, *, everything: bool = False) -> list[Line]:
    """Heading and rows, by phase."""
    tracks = list(timeline.tracks.values())
    shown = tracks if everything else worth_a_look(tracks, path)
    columns = _columns(timeline, shown, look)
    deciding = {link.job for link in path}
    lines = _heading(columns, look)
    named = any(track.job.phase for track in tracks)
    for phase in timeline.phases:
        of_phase = [track for track in shown if track.job.phase == phase]
        if of_phase and named:
            lines.append([(" " * (look.glyphs.width + 3) + (words.clean(phase) or look.glyphs.rest), "bold")])
        lines += [_row(t, columns, look, decides=t.job.name in deciding, now=timeline.latest) for t in of_phase]
    if len(shown) < len(tracks):
        lines.append(_left_out(timeline, tracks, shown, look))
    return [fitted(line, look.width, more=look.glyphs.more) for line in lines]


def worth_a_look(tracks: Sequence[Track], path: Sequence[Link]) -> list[Track]:
    """All jobs of a short run; of a long one those that are not ok, flaky, deciding or among the slowest."""
    if len(tracks) <= SHORT_ENOUGH:
        return list(tracks)
    by_time = sorted((t for t in tracks if t.tries), key=lambda t: -t.seconds)
    failed = [t for t in tracks if t.outcome is not None and t.outcome.is_failure]
    bad = [t for t in tracks if t.outcome is None or not t.outcome.is_good]
    flaky = [t for t in tracks if t.is_flaky]
    wanted = [failed[:SHORT_ENOUGH], bad[:SHORT_ENOUGH], flaky[:SHORT_ENOUGH], by_time[:SLOWEST]]
    names = {t.job.name for some in wanted for t in some} | {link.job for link in path[-SHORT_ENOUGH:]}
    return [t for t in tracks if t.job.name in names]


def _left_out(timeline: Timeline, tracks: Sequence[Track], shown: Iterable[Track], look: Look) -> Line:
    seen = {track.job.name for track in shown}
    rest = [track for track in tracks if track.job.name not in seen]
    good = all(track.outcome is not None and track.outcome.is_good for track in rest)
    more = f"{len(rest):,} more{' ok' if good else ''} {look.glyphs.rest} etl-run show {timeline.run} --all"
    return [(" " * (look.glyphs.width + 3) + f"{look.glyphs.more} {more}", "dim")]


def _columns(timeline: Timeline, shown: Sequence[Track], look: Look) -> Columns:
    longest = max((words.cells(words.clean(track.job.name)) for track in shown), default=0)
    name = min(max(longest, 10), max(look.width // 3, 10))
    counts = [words.cells(_row_count(track)) for track in shown if "rows" in track.metrics]
    rows = max([len("Rows"), *counts]) + 2 if counts else 0
    axis = look.width - (look.glyphs.width + 3) - name - 7 - 8 - 8 - rows - 3
    return Columns(name=name, rows=rows, axis=min(max(axis, 0), WIDEST_AXIS), seconds=max(timeline.seconds, 0.001))


def _row_count(track: Track) -> str:
    rows = track.metrics.get("rows")
    return f"{rows:,}" if isinstance(rows, int) and not isinstance(rows, bool) else ""


def _heading(columns: Columns, look: Look) -> list[Line]:
    end = words.duration(columns.seconds)
    text = " " * (look.glyphs.width + 3) + f"{'Job':<{columns.name}}{'Tries':>7}{'Start':>8}{'Time':>8}"
    if columns.rows:
        text += f"{'Rows':>{columns.rows}}"
    if columns.axis >= NARROWEST_AXIS:
        text += "   0s" + end.rjust(columns.axis - 2)
    return [[(text, "bold")], [(look.glyphs.rest * min(look.width, words.cells(text)), "dim")]]


def _row(track: Track, columns: Columns, look: Look, *, decides: bool, now: float) -> Line:
    mark, style = mark_of(track, look)
    name = words.pad(words.clean(track.job.name), columns.name, more=look.glyphs.more)
    line: Line = [(f"{mark:<{look.glyphs.width}}   ", style), (name, "")]
    if track.start is None:
        return [*line, ("   " + _why(track), style)]
    time = words.duration(track.seconds if track.end is not None else now - track.start)
    figures = f"{len(track.tries):>7}{words.duration(track.start):>8}{time:>8}"
    if columns.rows:
        figures += f"{_row_count(track):>{columns.rows}}"
    line.append((figures, ""))
    if columns.axis >= NARROWEST_AXIS:
        line += [("   ", ""), *_bar(track, columns, look, style=style, decides=decides, now=now)]
    return line


def mark_of(track: Track, look: Look) -> tuple[str, str]:
    """The glyph that says how a job stands, and its style."""
    if track.outcome is None:
        return (look.glyphs.running, "cyan") if track.tries else (look.glyphs.rest, "dim")
    return look.glyphs.of(track.outcome), STYLES[track.outcome]


def _why(track: Track) -> str:
    if track.finished is None:
        return "not started"
    if track.outcome is Outcome.CACHED:
        return "cached"
    return words.ending_words(track.job, track.finished, error=words.error_of(track.exited))


def _bar(track: Track, columns: Columns, look: Look, *, style: str, decides: bool, now: float) -> Line:
    """Blank until its start; earlier attempts and the waits after them thin, the last one thick."""
    last = track.tries[-1]
    end = last.end if last.end is not None else (track.end if track.end is not None else now)
    at_start = _cell(track.tries[0].start, columns)
    at_last = max(_cell(last.start, columns), at_start)
    at_end = min(max(round(end / columns.seconds * columns.axis), at_last + 1), columns.axis)
    thick = look.glyphs.deciding if decides else look.glyphs.bar
    thin = look.glyphs.earlier * (at_last - at_start)
    return [(" " * at_start, ""), (thin, "yellow"), (thick * (at_end - at_last), style)]


def _cell(seconds: float, columns: Columns) -> int:
    return min(int(seconds / columns.seconds * columns.axis), columns.axis - 1)
