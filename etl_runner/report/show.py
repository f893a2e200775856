"""One run, or one job of it, as lines."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from etl_runner import measures, words
from etl_runner.events import AttemptExited, Record
from etl_runner.ledger.holders import is_left_behind
from etl_runner.ledger.results import unheard_records
from etl_runner.ledger.run import Run, RunState
from etl_runner.look import Line, Look
from etl_runner.model import Job, Outcome, Plan
from etl_runner.paths import Home
from etl_runner.report.history import result
from etl_runner.report.style import fitted, instant, read_failure_tail, short_path
from etl_runner.report.summary import summary_lines
from etl_runner.report.table import mark_of, table
from etl_runner.timeline import Timeline, Track, Try

LABEL = 12
WHOLE = "\u00a0"  # a blank that no line is broken at


def timeline_of(run: Run, plan: Plan, records: Sequence[Record], *, home: Home, now: datetime) -> Timeline:
    """The run's timeline: up to now if it is going on; if it was lost, closed, with what was written down since."""
    timeline = Timeline(plan, records)
    timeline.run = run.id
    timeline.began = timeline.began or run.started_at
    if run.state is RunState.LOST:
        for record in unheard_records(home, run.id, plan.jobs, records):
            timeline.apply(record)
        timeline.abandon()
    elif run.state is RunState.RUNNING:
        timeline.latest = max(timeline.latest, timeline.offset(now))
    return timeline


def only(plan: Plan, jobs: Sequence[Job]) -> Plan:
    """The plan as if these were all of its jobs."""
    return msgspec.structs.replace(plan, jobs=tuple(jobs))


def run_lines(
    run: Run, timeline: Timeline, *, home: Home, look: Look, now: datetime, cwd: Path, everything: bool
) -> list[Line]:
    """The header, and the summary of a run that is over, or the table so far of one that is going on."""
    lines = _header(run, look, now, cwd)
    if run.is_over:
        return [*lines, *summary_lines(timeline, home=home, look=look, cwd=cwd, everything=everything)]
    going = f"going on for {words.duration(timeline.latest)}"
    if run.pid is not None and is_left_behind(run.pid, home.run_lock(run.id)):
        going = "its runner is dead: what it started is being stopped"
    last: Line = [(result(run, look)[0], "bold cyan"), (f"  {going}", "")]
    return [*lines, *table(timeline, [], look, everything=everything), [], last]


def ended_lines(run: Run, look: Look) -> list[Line]:
    """How a run ended that somebody waited for."""
    said, style = result(run, look)
    took = f"  after {words.duration(run.seconds)}" if run.seconds is not None else ""
    hint = f"      run the rest: etl-run retry {run.id}" if run.state is not RunState.SUCCEEDED else ""
    return [[(f"run {run.id}  ", "bold"), (said, style), (took, ""), (hint, "dim")]]


def some_jobs_lines(run: Run, timeline: Timeline, *, look: Look, now: datetime, cwd: Path) -> list[Line]:
    """The header, and the rows of the timeline's jobs."""
    return [*_header(run, look, now, cwd), *table(timeline, [], look, everything=True)]


def job_lines(run: Run, track: Track, timeline: Timeline, *, home: Home, look: Look, cwd: Path) -> list[Line]:
    """One job of a run: what was asked for, every attempt, the last lines of its log."""
    job = track.job
    mark, style = mark_of(track, look)
    title = f"{mark} {words.clean(job.name)}"
    state: Line = [(title, f"bold {style}"), (f"  {_state(track)}", ""), (f"  run {run.id}", "dim")]
    lines = [fitted(state, look.width, more=look.glyphs.more), []]
    lines += [line for label, text in _asked(job, look) for line in _labelled(label, text, look)]
    lines += _labelled("metrics", measures.line(track.metrics, dot=look.glyphs.dot), look)
    if track.tries:
        lines += [[], *_attempts(track, timeline, look), *_last_lines(run, track, home, look, cwd)]
    return lines


def _header(run: Run, look: Look, now: datetime, cwd: Path) -> list[Line]:
    said, style = result(run, look)
    took = words.duration(run.seconds) if run.seconds is not None else ""
    dot = f" {look.glyphs.dot} "
    by = f" by {words.clean(run.by)}" if run.by else ""
    about = [words.clean(run.pipeline), *([words.clean(run.profile)] if run.profile else [])]
    about += [*([f"retry of {run.retry_of}"] if run.retry_of else []), said]
    lines: list[Line] = [[(f"Run {run.id}", "bold"), (dot + dot.join(about[:-1]) + dot, ""), (said, style)], []]
    lines += _labelled("started", f"{instant(run.started_at, now=now)}:{run.started_at:%S}{by}", look)
    lines += _labelled("took", took + (f", exit status {run.exit}" if run.exit else ""), look)
    lines += _labelled("command", words.clean(shlex.join(run.command)), look)
    lines += _labelled("config", words.clean(short_path(Path(run.config), cwd=cwd)) if run.config else "", look)
    return [*(fitted(line, look.width, more=look.glyphs.more) for line in lines), []]


def _labelled(label: str, text: str, look: Look) -> list[Line]:
    """The text beside its label, folded; nothing if there is no text."""
    rows = words.fold(text, max(look.width - LABEL, 20)) if text else []
    labels = [label, *[""] * len(rows)]
    return [[(f" {name:<{LABEL - 1}}", "bold"), (row, "")] for name, row in zip(labels, rows, strict=False)]


def _asked(job: Job, look: Look) -> list[tuple[str, str]]:
    limits = [
        *([f"timeout {words.limit(job.timeout)}"] if job.timeout is not None else []),
        *([f"{job.retry.count} retries"] if job.retry.count else []),
        *(f"pool {words.clean(name)}" for name in job.pools),
        *(["optional"] if job.optional else []),
    ]
    return [
        ("phase", words.clean(job.phase)),
        _command(job),
        ("in", words.clean(job.cwd)),
        ("env", ", ".join(map(words.clean, sorted(job.env)))),
        ("needs", words.names(job.needs, most=20)),
        ("limits", f" {look.glyphs.dot} ".join(limits)),
    ]


def _command(job: Job) -> tuple[str, str]:
    """What is run, as one would type it: a text for the shell is shown without its quotes."""
    if job.argv[:2] == ("/bin/sh", "-c") and len(job.argv) == 3:
        return "shell", words.clean(job.argv[2])
    return "command", words.clean(shlex.join(job.argv))


def _attempts(track: Track, timeline: Timeline, look: Look) -> list[Line]:
    lines: list[Line] = [[(f" {'Attempt':<8} {'Started':<9} {'Time':>8}  Ended", "bold")]]
    for attempt in track.tries:
        clock = started_at(attempt, timeline).astimezone().strftime("%H:%M:%S")
        took = attempt.exited.seconds if attempt.exited else (attempt.end or timeline.latest) - attempt.start
        head = f" {attempt.number:<8} {clock:<9} {words.duration(took):>8}  "
        figures = f" {look.glyphs.dot} ".join(_figures(attempt.exited, track, look)) if attempt.exited else ""
        ended = "   ".join(filter(None, [attempt_words(track, attempt), figures]))
        rows = [row.replace(WHOLE, " ") for row in words.fold(ended, max(look.width - len(head), 20))]
        lines += [[((head if at == 0 else " " * len(head)) + row, "")] for at, row in enumerate(rows)]
        warnings = attempt.exited.warnings if attempt.exited else ()
        lines += [[(f"{'':20}{look.glyphs.warn} {words.clean(warning)}", "yellow")] for warning in warnings]
    return lines


def _figures(exited: AttemptExited, track: Track, look: Look) -> list[str]:
    """What an attempt reported (unless it is the job's), what it cost, and what went wrong beside its exit."""
    figures = [
        measures.line(exited.metrics, dot=look.glyphs.dot) if exited.metrics != track.metrics else "",
        f"cpu {words.duration(exited.cpu_seconds)}" if exited.cpu_seconds is not None else "",
        f"memory {exited.peak_memory / 2**20:,.0f} MiB" if exited.peak_memory is not None else "",
        f"processes left behind: {exited.left_behind}" if exited.left_behind else "",
        "log truncated" if exited.log_truncated else "",
    ]
    return [figure.replace(" ", WHOLE) for figure in figures if figure]


def attempt_words(track: Track, attempt: Try) -> str:
    """How an attempt ended, or that it did not (yet)."""
    if attempt.exited is None:
        return "lost" if track.outcome is Outcome.LOST else "running"
    ended = _exit_words(attempt.exited)
    is_last = attempt is track.tries[-1]
    if is_last and track.outcome in (Outcome.TIMED_OUT, Outcome.CANCELLED):
        return f"{track.outcome.value.replace('-', ' ')}, {ended}"
    return ended


def _exit_words(exited: AttemptExited) -> str:
    if exited.lost:
        return "lost"
    if exited.error:
        return words.clean(exited.error)
    if exited.signal is not None:
        return f"killed by {words.signal_name(exited.signal)}"
    return f"exit {exited.exit}"


def _last_lines(run: Run, track: Track, home: Home, look: Look, cwd: Path) -> list[Line]:
    path = home.log(run.id, track.job.name, track.tries[-1].number)
    tail = read_failure_tail(path)
    where = short_path(path, cwd=cwd)
    room = max(look.width - 4, 20)
    rows: list[Line] = [
        [(f"  {look.glyphs.side} ", "dim"), (row, "")] for line in tail for row in words.fold(line, room)
    ]
    if not rows:
        rows = [[("  it printed nothing" if path.parent.is_dir() else "  its log is gone", "dim")]]
    return [[], [(" log ", "bold"), (where, "")], *rows]


def started_at(attempt: Try, timeline: Timeline) -> datetime:
    """When an attempt started."""
    assert timeline.began
    return timeline.began + timedelta(seconds=attempt.start)


def _state(track: Track) -> str:
    end = track.finished
    if end is None:
        return track.stage.value
    took = f", {words.duration(track.seconds)}" if track.tries else ""
    if end.outcome.is_good:
        return f"{end.outcome.value}{took}" + (f", at attempt {end.attempt}" if end.attempt > 1 else "")
    return words.ending_words(track.job, end, error=words.error_of(track.exited)) + took
