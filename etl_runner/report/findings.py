"""What a run teaches: what decided its length, whether more workers would help, what was slow, flaky or bad."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from etl_runner import measures, words
from etl_runner.deciding import Link, busy, waited_for, work, workers
from etl_runner.look import Line, Look
from etl_runner.model import Plan, RunStatus
from etl_runner.timeline import Timeline, Track

SIMULATE_AT_MOST = 2000
WORTH_SAYING = 0.9
MOST_LINKS = 8
LABEL = 15
MOST_DATA = 5


def findings(timeline: Timeline, path: Sequence[Link], look: Look) -> list[Line]:
    """The lines below the table, each with its label."""
    if not any(track.tries for track in timeline.tracks.values()):
        return []
    alone = len(timeline.tracks) == 1  # it decided everything, and no worker could have helped
    said = [
        ("decided by", _decided_by(path, look) if path and not alone else []),
        ("", _waits(timeline, path) if path and not alone else []),
        ("slowest", _slowest(timeline, look)),
        ("workers", [] if alone else _workers(timeline, look)),
        ("flaky", _flaky(timeline)),
        ("data", _data(timeline)),
        ("warnings", list(warnings(timeline))),
    ]
    lines: list[Line] = []
    for label, texts in said:
        rows = [row for text in texts for row in words.fold(text, look.width - LABEL)]
        labels = [label, *[""] * len(rows)]
        lines += [[(f" {label:<{LABEL - 1}}", "bold"), (row, "")] for label, row in zip(labels, rows, strict=False)]
    return lines


def _decided_by(path: Sequence[Link], look: Look) -> list[str]:
    shown: list[Link | None] = list(path)
    if len(path) > MOST_LINKS:
        shown = [*path[:3], None, *path[-4:]]
    more = f"{look.glyphs.more} {len(path) - 7} more {look.glyphs.more}"
    links = [f"{words.clean(link.job)} {words.duration(link.seconds)}" if link else more for link in shown]
    return [f" {look.glyphs.arrow} ".join(links) + f" ({look.glyphs.deciding})"]


def _waits(timeline: Timeline, path: Sequence[Link]) -> Iterator[str]:
    """Jobs that are on the path because they queued."""
    notable = [link for link in path if link.waited >= 0.02 * timeline.seconds]
    what_if = "; ".join(_what_if(timeline))
    for link in sorted(notable, key=lambda link: -link.waited)[:2]:
        what = waited_for(timeline, link.job)
        text = (
            f"{words.clean(link.job)} waited {words.duration(link.waited)} {f'for {what}' if what else 'to be started'}"
        )
        yield f"{text}; {what_if}" if what_if else text
        what_if = ""
    if not notable:
        yield what_if or "more workers would not help"


def _what_if(timeline: Timeline) -> list[str]:
    """How long it would have taken with more workers, were the jobs as fast as they were."""
    finished = timeline.finished
    if finished is None or finished.status is not RunStatus.SUCCEEDED:
        return []
    if len(timeline.tracks) > SIMULATE_AT_MOST or timeline.seconds <= 0:
        return []
    had, took = workers(timeline), timeline.seconds
    spans = {name: track.seconds for name, track in timeline.tracks.items()}
    for number in (had + (had + 1) // 2, had * 2, had * 4):
        then = what_if(timeline.plan, spans, workers=number, had=had, took=took)
        if then < took * WORTH_SAYING:
            return [f"{number} workers: {words.about(then)}"]
    return []


def what_if(plan: Plan, spans: dict[str, float], *, workers: int, had: int, took: float) -> float:
    """The seconds a run would take with other workers, measured against what it took with those it had."""
    from etl_runner.simulate import simulate

    base = simulate(plan, spans, workers=had).makespan
    return took * simulate(plan, spans, workers=workers).makespan / base if base > 0 else took


def _slowest(timeline: Timeline, look: Look) -> list[str]:
    ran = sorted((t for t in timeline.tracks.values() if t.tries), key=lambda t: -t.seconds)
    if len(ran) < 2:
        return []
    return [f" {look.glyphs.dot} ".join(f"{words.clean(t.job.name)} {words.duration(t.seconds)}" for t in ran[:3])]


def _workers(timeline: Timeline, look: Look) -> list[str]:
    done, took, dot = work(timeline), timeline.seconds, f" {look.glyphs.dot} "
    ratio = f" ({done / took:.1f}{look.glyphs.times})" if took > 0 else ""
    of_work = f"{words.duration(done)} of work in {words.duration(took)}{ratio}"
    return [dot.join([str(workers(timeline)), f"{busy(timeline):.0%} busy", of_work])]


def _flaky(timeline: Timeline) -> list[str]:
    flaky = [f"{t.job.name} (ok at attempt {len(t.tries)})" for t in timeline.tracks.values() if t.is_flaky]
    return [words.names(flaky, most=5)] if flaky else []


def _data(timeline: Timeline) -> list[str]:
    """Rows that were not loaded, or not as they should be."""
    found = [(track.job.name, measures.troubles(track.metrics)) for track in timeline.tracks.values()]
    bad = [f"{name}: {', '.join(told)}" for name, told in found if told]
    return [*map(words.clean, bad[:MOST_DATA]), *([f"and {len(bad) - MOST_DATA} more"] if bad[MOST_DATA:] else [])]


def warnings(timeline: Timeline) -> Iterator[str]:
    """What is worth a look though it failed nobody: slower than expected, output lost, what executors noticed."""
    tracks = list(timeline.tracks.values())
    for track in _few(t for t in tracks if t.is_slow):
        expect = words.limit(track.job.expect or 0.0)
        yield f"{words.clean(track.job.name)} took {words.duration(track.seconds)}, expected at most {expect}"
    truncated = [t.job.name for t in tracks if any(a.exited and a.exited.log_truncated for a in t.tries)]
    if truncated:
        yield f"log truncated: {words.names(truncated)}"
    for track in _few(t for t in tracks if t.exited and t.exited.warnings):
        for text in track.exited.warnings[:3] if track.exited else ():
            yield f"{words.clean(track.job.name)}: {words.clean(text)}"


def _few(tracks: Iterable[Track], *, most: int = 5) -> list[Track]:
    return list(tracks)[:most]
