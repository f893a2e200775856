"""Past runs, and the past of jobs, as lines and as JSON documents."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from etl_runner import words
from etl_runner.ledger.past import JobEnd, JobPast, median
from etl_runner.ledger.run import Run, RunState
from etl_runner.look import Line, Look, Span
from etl_runner.model import Outcome, Plan
from etl_runner.report.style import fitted, instant

VERSION = 1
USUAL_AFTER = 2  # so many good runs make something usual
SPARKS = 30

_STYLES = {
    RunState.SUCCEEDED: "green",
    RunState.FAILED: "red",
    RunState.CANCELLED: "yellow",
    RunState.LOST: "magenta",
    RunState.RUNNING: "cyan",
}
_HEADS = ("Run", "Started", "By", "Profile", "Pipeline", "Result", "Time", "vs usual")
_RIGHT = {"Run", "Time", "vs usual"}


def usual_times(runs: Iterable[Run]) -> dict[tuple[str, str, int], float]:
    """The median seconds of good runs, by what makes runs alike: pipeline, profile, number of jobs."""
    seconds: defaultdict[tuple[str, str, int], list[float]] = defaultdict(list)
    for run in runs:
        if run.state is RunState.SUCCEEDED and run.seconds is not None:
            seconds[_kind(run)].append(run.seconds)
    return {kind: median(taken) for kind, taken in seconds.items() if len(taken) >= USUAL_AFTER}


def runs_lines(runs: Sequence[Run], *, limit: int, look: Look, now: datetime) -> list[Line]:
    """A table of the first `limit` runs; all of them say what is usual."""
    usual = usual_times(runs)
    shown = runs[:limit]
    rows = [_row(run, usual.get(_kind(run)), look, now) for run in shown]
    heads = [head for head in _HEADS if head != "Pipeline" or len({run.pipeline for run in runs}) > 1]
    heads = [head for head in heads if head != "Profile" or any(run.profile for run in shown)]
    widths = {head: max(words.cells(text) for text in [head, *(row[head][0] for row in rows)]) for head in heads}
    lines = [_cells({head: (head, "bold") for head in heads}, widths)]
    lines += [_cells(row, widths) for row in rows]
    return [fitted(line, look.width, more=look.glyphs.more) for line in [*lines, *_foot(runs, usual, look)]]


def runs_document(runs: Sequence[Run], *, limit: int) -> dict[str, Any]:
    usual = usual_times(runs)
    documents = [{**run_document(run), "usual_seconds": usual.get(_kind(run))} for run in runs[:limit]]
    return {"version": VERSION, "runs": documents}


def run_document(run: Run) -> dict[str, Any]:
    """A run as part of a JSON document."""
    fields: dict[str, Any] = msgspec.to_builtins(run)
    ended = run.ended_at.isoformat(timespec="milliseconds") if run.ended_at else None
    started = run.started_at.isoformat(timespec="milliseconds")
    return {"run": fields.pop("id"), **fields, "started_at": started, "ended_at": ended}


def in_plan_order(pasts: Iterable[JobPast], plan: Plan) -> list[JobPast]:
    """The pasts in the order of a plan; those of jobs it does not have come last, as they are."""
    places = {job.name: place for place, job in enumerate(plan.jobs)}
    return sorted(pasts, key=lambda past: places.get(past.job, len(places)))


def jobs_lines(pasts: Sequence[JobPast], look: Look) -> list[Line]:
    """A line for each job: a spark for each of its last ends, usual and worst times, failures."""
    name = max(words.cells(words.clean(past.job)) for past in pasts)
    ends = max(len(past.ends) for past in pasts)
    room = max(look.width - name - 2 - 42, 8)
    lines: list[Line] = []
    for past in pasts:
        sparks = _sparks(past.ends[-min(room, SPARKS, ends) :], look)
        p50, p95 = (_seconds(past.p50), _seconds(past.p95))
        line: Line = [(words.pad(words.clean(past.job), name + 2, more=look.glyphs.more), "")]
        line += [*sparks, (" " * (min(room, SPARKS, ends) - len(sparks)), "")]
        line += [
            (f"  p50 {p50:>7}  p95 {p95:>7}  ", ""),
            (f"failed {past.failed} of {past.ran}", "red" if past.failed else ""),
        ]
        lines.append(fitted(line, look.width, more=look.glyphs.more))
    return lines


def jobs_document(pasts: Sequence[JobPast], *, pattern: str) -> dict[str, Any]:
    jobs = []
    for past in pasts:
        ends = [
            {k: v for k, v in msgspec.to_builtins(end).items() if k not in ("job", "template")} for end in past.ends
        ]
        fields = {"job": past.job, "template": past.template, "p50": past.p50, "p95": past.p95}
        jobs.append({**fields, "ran": past.ran, "failed": past.failed, "ends": ends})
    return {"version": VERSION, "pattern": pattern, "jobs": jobs}


def result(run: Run, look: Look) -> tuple[str, str]:
    """How a run ended, in few words, and their style: `✗ 1 failed, 3 −`."""
    glyphs = look.glyphs
    count = run.counts.get
    good = sum(count(outcome, 0) for outcome in Outcome if outcome.is_good)
    marks = {
        RunState.SUCCEEDED: glyphs.ok,
        RunState.FAILED: glyphs.fail,
        RunState.CANCELLED: glyphs.cancelled,
        RunState.LOST: glyphs.lost,
        RunState.RUNNING: glyphs.running,
    }
    match run.state:
        case RunState.SUCCEEDED:
            said = [f"{good:,} ok", *([f"{run.retried} {glyphs.retry}"] if run.retried else [])]
            said += [f"{count('skipped')} {glyphs.skip}"] if count("skipped") else []
        case RunState.RUNNING:
            bad = sum(count(outcome, 0) for outcome in Outcome if outcome.is_failure)
            said = [f"{sum(run.counts.values()):,} of {run.jobs:,}", *([f"{bad:,} failed"] if bad else [])]
        case RunState.CANCELLED:
            said = ["interrupted", *([f"{count('failed')} failed"] if count("failed") else [])]
        case RunState.LOST:
            said = ["lost", f"{good:,} ok"]
        case RunState.FAILED:
            said = [f"{count(o):,} {o.value}" for o in Outcome if o.is_failure and count(o)] or ["failed"]
            said += [f"{count('skipped')} {glyphs.skip}"] if count("skipped") else []
    return f"{marks[run.state]} {', '.join(said)}", _STYLES[run.state]


def _row(run: Run, usual: float | None, look: Look, now: datetime) -> dict[str, Span]:
    seconds = run.seconds if run.is_over else (now - run.started_at).total_seconds()
    return {
        "Run": (str(run.id), ""),
        "Started": (instant(run.started_at, now=now), ""),
        "By": (words.fit(words.clean(run.by), 12, more=look.glyphs.more), ""),
        "Profile": (words.fit(words.clean(run.profile), 12, more=look.glyphs.more), ""),
        "Pipeline": (words.fit(words.clean(run.pipeline), 16, more=look.glyphs.more), ""),
        "Result": _result(run, look),
        "Time": (words.duration(seconds or 0.0), ""),
        "vs usual": _versus(run, usual, look),
    }


def _result(run: Run, look: Look) -> tuple[str, str]:
    said, style = result(run, look)
    return (f"{said}, retry of {run.retry_of}" if run.retry_of else said), style


def _versus(run: Run, usual: float | None, look: Look) -> tuple[str, str]:
    plain = look.glyphs.is_ascii
    if not usual or run.seconds is None or run.state is not RunState.SUCCEEDED:
        return ("-" if plain else "–", "dim")
    percent = round((run.seconds / usual - 1) * 100)
    sign = "+" if percent > 0 else ("-" if plain else "−") if percent < 0 else ""
    return (f"{sign}{abs(percent)}%", "yellow" if percent >= 50 else "")


def _foot(runs: Sequence[Run], usual: dict[tuple[str, str, int], float], look: Look) -> list[Line]:
    over = [run for run in runs if run.is_over]
    good = sum(run.state is RunState.SUCCEEDED for run in over)
    said = [f"{good} ok of the last {len(over)}"] if over else []
    said += [f"usual time {words.duration(usual[kind])}" for kind in [_kind(runs[0])] if kind in usual]
    text = f" {look.glyphs.dot} ".join(said)
    hint = f"etl-run show {runs[0].id}"
    gap = "    " if words.cells(text) + len(hint) + 4 <= look.width else "  "
    return [[(text, ""), (gap + hint, "dim")]]


def _kind(run: Run) -> tuple[str, str, int]:
    return run.pipeline, run.profile, run.jobs


def _cells(row: Mapping[str, Span], widths: Mapping[str, int]) -> Line:
    line: Line = []
    for head, width in widths.items():
        text, style = row[head]
        blank = " " * (width - words.cells(text))
        line += [(blank + text if head in _RIGHT else text + blank, style), ("  ", "")]
    return line[:-1]


def _sparks(ends: Sequence[JobEnd], look: Look) -> Line:
    """One character for each end: how long it took among its like, or how it failed."""
    levels = "_.:-=+*#" if look.glyphs.is_ascii else "▁▂▃▄▅▆▇█"
    top = max((end.seconds for end in ends if end.outcome.is_good), default=0.0) or 1.0
    return [_spark(end, top, levels, look) for end in ends]


def _spark(end: JobEnd, top: float, levels: str, look: Look) -> tuple[str, str]:
    mark = look.glyphs.of(end.outcome)
    match end.outcome:
        case Outcome.SUCCEEDED | Outcome.CACHED:
            return levels[min(int(end.seconds / top * len(levels)), len(levels) - 1)], "green"
        case Outcome.SKIPPED | Outcome.CANCELLED:
            return (mark if len(mark) == 1 else " "), "yellow"
        case Outcome.FAILED | Outcome.TIMED_OUT | Outcome.LOST:
            return (mark if len(mark) == 1 else "X"), "red"


def _seconds(value: float | None) -> str:
    return words.duration(value) if value is not None else "-"
