"""How a run went, as Markdown: what failed first, then every job worth a look."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from etl_runner import measures, words
from etl_runner.deciding import deciding_path
from etl_runner.look import Glyphs
from etl_runner.model import RunStatus
from etl_runner.paths import Home
from etl_runner.report.style import read_failure_tail
from etl_runner.report.summary import alike_failures
from etl_runner.report.table import worth_a_look
from etl_runner.sinks.lines import tally
from etl_runner.timeline import Timeline, Track

_PUNCTUATION = re.compile(r"([!-,./:-@\[-`{-~])")  # ASCII, but the hyphen
_MARKS = Glyphs()


def markdown_summary(timeline: Timeline, *, home: Home) -> str:
    """A heading, the failed jobs with the ends of their logs, and a table of the jobs. Foreign text is escaped."""
    path = deciding_path(timeline)
    shown = worth_a_look(list(timeline.tracks.values()), path)
    lines = [_heading(timeline), "", *_failures(timeline, home=home), *_table(shown), ""]
    if more := len(timeline.tracks) - len(shown):
        lines += [f"{_MARKS.more} {more:,} more: `etl-run show {timeline.run} --all`", ""]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Foreign text that means nothing to Markdown, in one line."""
    return _PUNCTUATION.sub(r"\\\1", words.clean(text))


def _heading(timeline: Timeline) -> str:
    status = timeline.finished.status if timeline.finished else None
    mark = _MARKS.ok if status is RunStatus.SUCCEEDED else _MARKS.fail
    took = f"in {words.duration(timeline.seconds)}"
    head = f"### {mark} {escaped(timeline.plan.pipeline)}, run {timeline.run}"
    return f"{head}: {f' {_MARKS.dot} '.join(tally(timeline))} {took}"


def _failures(timeline: Timeline, *, home: Home) -> Iterator[str]:
    alike, untold = alike_failures(timeline, home=home)
    for first, *others in alike:
        yield f"**{escaped(first.job.name)}** {escaped(_ending(first))}"
        yield ""
        if first.finished and (
            tail := read_failure_tail(home.log(timeline.run, first.job.name, first.finished.attempt))
        ):
            yield from (*_fenced(tail), "")
        if others:
            yield from (f"The same: {escaped(words.names([other.job.name for other in others], most=5))}", "")
    if untold:
        yield from (f"{_MARKS.more} and {untold:,} more failed", "")


def _fenced(lines: Sequence[str]) -> list[str]:
    """The lines as a block that none of them can end."""
    longest = max(len(ticks) for ticks in ("``", *re.findall("`+", "\n".join(lines))))
    fence = "`" * (longest + 1)
    return [f"{fence}text", *lines, fence]


def _table(tracks: Sequence[Track]) -> list[str]:
    failed = [track for track in tracks if track.outcome is not None and track.outcome.is_failure]
    others = [track for track in tracks if track not in failed]
    return ["| | Job | Tries | Start | Time | |", "|---|---|--:|--:|--:|---|", *map(_row, [*failed, *others])]


def _row(track: Track) -> str:
    mark = _MARKS.of(track.outcome) if track.outcome else _MARKS.rest
    start = words.duration(track.start) if track.start is not None else ""
    time = words.duration(track.seconds) if track.tries else ""
    said = (
        f" {_MARKS.dot} ".join(measures.notes(track.metrics))
        if track.outcome and track.outcome.is_good
        else _ending(track)
    )
    cells = (mark, escaped(track.job.name), str(len(track.tries) or ""), start, time, escaped(said))
    return f"| {' | '.join(cells)} |"


def _ending(track: Track) -> str:
    if track.finished is None:
        return "not started"
    return words.ending_words(track.job, track.finished, error=words.error_of(track.exited))
