"""The moving lines below a live run."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from etl_runner import measures, words
from etl_runner.deciding import workers
from etl_runner.look import Line, Look
from etl_runner.model import Outcome
from etl_runner.sinks.lines import fitted
from etl_runner.sinks.remaining import estimate_of
from etl_runner.timeline import Group, Timeline, Track

MOST_ROWS = 10
WIDEST_BAR = 24
JOB_BAR = 10
MOMENT = 0.05  # less is shown as nothing


class Moment(Struct, frozen=True, kw_only=True):
    """What a frame shows besides the timeline: the time on the run's clock, the seconds left, usual times, the lines
    jobs printed last. `name` is the width of the column of job names."""

    now: float
    left: float | None
    estimates: Mapping[str, float]
    said: Mapping[str, str]
    name: int


def footer(timeline: Timeline, moment: Moment, look: Look, *, height: int) -> list[Line]:
    """The frame's lines, none wider than the look, fewer than the screen is high."""
    rows = max(min(workers(timeline), MOST_ROWS, height - 8), 0)
    lines: list[Line] = [[], _title(timeline, moment, look)]
    lines += _phases(timeline, look, most=max(height - rows - 5, 1))
    lines += _jobs(timeline, moment, look, rows=rows)
    if height < 6:
        lines = lines[1:2]
    return [fitted(line, look.width, more=look.glyphs.more) for line in lines]


def _title(timeline: Timeline, moment: Moment, look: Look) -> Line:
    """Name, run, profile, workers, time gone, time left; in little room without workers and profile."""
    plan, dot = timeline.plan, f" {look.glyphs.dot} "
    head = [f" {words.clean(plan.pipeline)}", f"run {timeline.run}"]
    middle = [words.clean(plan.profile)] if plan.profile else []
    middle.append(words.count(workers(timeline), "worker"))
    tail = [f"{words.duration(moment.now)} elapsed"]
    if timeline.stop is not None:
        tail.append("stopping")
    elif moment.left is not None:
        tail.append(f"{words.about(moment.left)} left" if moment.left >= MOMENT else "longer than usual")
    while middle and words.cells(dot.join([*head, *middle, *tail])) > look.width:
        middle.pop()
    return [(head[0], "bold"), (dot + dot.join([*head[1:], *middle, *tail]), "")]


def _phases(timeline: Timeline, look: Look, *, most: int) -> list[Line]:
    groups = [group for group in timeline.phases.values() if group.total]
    shown = groups
    if len(groups) > most:
        busy = [group for group in groups if group.running or group.retrying or 0 < group.over < group.total]
        shown = (busy or [group for group in groups if not group.over] or groups)[: most - 1]
    width = max((words.cells(_phase_name(group)) for group in groups), default=0)
    width = min(max(width, 5), look.width // 4)
    lines = [_phase(group, look, width=width) for group in shown]
    if len(shown) < len(groups):
        more = words.count(len(groups) - len(shown), "more phase")
        lines.append([(f" {look.glyphs.more} {more}", "dim")])
    return lines


def _phase_name(group: Group) -> str:
    return words.clean(group.name) or "jobs"


def _phase(group: Group, look: Look, *, width: int) -> Line:
    glyphs, length = look.glyphs, min(WIDEST_BAR, look.width // 3)
    done = length * group.over // group.total
    bad = sum(n for outcome, n in group.outcomes.items() if outcome.is_failure)
    style = "red" if bad else "green"
    name = words.pad(_phase_name(group), width, more=glyphs.more)
    bar: Line = [(glyphs.bar * done, style), (glyphs.rest * (length - done), "dim")]
    figures = f"{group.over:>3}/{group.total}"
    return [(f" {name}  ", ""), *bar, (f" {figures:<8} {_phase_note(group)}", "")]


def _phase_note(group: Group) -> str:
    notes = [(group.running, "running"), (group.retrying, "retrying")]
    notes += [(group.outcomes.get(o, 0), o.value) for o in Outcome if not o.is_good]
    said = [f"{n} {word}" for n, word in notes if n]
    if group.over == group.total and group.outcomes.get(Outcome.SKIPPED) == group.total:
        return "skipped"
    return ", ".join(said) or ("done" if group.over == group.total else "")


def _jobs(timeline: Timeline, moment: Moment, look: Look, *, rows: int) -> list[Line]:
    running = list(timeline.running.values())
    shown = running if len(running) <= rows else running[: max(rows - 1, 0)]
    usual = {track.job.name: estimate_of(timeline, track, moment.estimates) for track in shown}
    known = any(value is not None for value in usual.values())
    lines = [_job(track, moment, look, usual[track.job.name], known=known) for track in shown]
    if len(shown) < len(running):
        lines.append([(f" {look.glyphs.more} and {len(running) - len(shown)} more", "dim")])
    return lines


def _job(track: Track, moment: Moment, look: Look, usual: float | None, *, known: bool) -> Line:
    glyphs = look.glyphs
    elapsed = max(moment.now - track.tries[-1].start, 0.0)
    name = words.pad(words.clean(track.job.name), moment.name, more=glyphs.more)
    spans: Line = [(f" {glyphs.running} ", "cyan"), (f"{name} {words.duration(elapsed):>7} ", "")]
    part = progress(track, elapsed, usual)
    if known:
        spans.append((f"{f'of {words.about(usual)}' if usual is not None else '':<10} ", "dim"))
    if known or part is not None:
        spans.append((_bar(part, look) if part is not None else " " * JOB_BAR, "cyan"))
    room = look.width - sum(words.cells(text) for text, _ in spans) - 2
    return [*spans, ("  " + words.joined(_doing(track, moment), room, dot=glyphs.dot, more=glyphs.more), "")]


def _bar(part: float, look: Look) -> str:
    full = int(part * JOB_BAR)
    return look.glyphs.full * full + look.glyphs.empty * (JOB_BAR - full)


def progress(track: Track, elapsed: float, usual: float | None) -> float | None:
    """How much of a running attempt is done, 0…1: as reported, else by its usual time; None if nothing is known."""
    rows, of = track.metrics.get("rows"), track.metrics.get("of")
    if isinstance(rows, int | float) and isinstance(of, int | float) and of > 0 and rows >= 0:
        return min(rows / of, 1.0)
    return min(elapsed / usual, 0.99) if usual else None


def _doing(track: Track, moment: Moment) -> list[str]:
    rows, of = track.metrics.get("rows"), track.metrics.get("of")
    notes = [f"attempt {len(track.tries)}"] if len(track.tries) > 1 else []
    if isinstance(rows, int) and isinstance(of, int):
        notes.append(f"{rows:,} of {of:,} rows")
    else:
        notes += measures.notes(track.metrics)[:2]
    return [*notes, moment.said.get(track.job.name, "")]
