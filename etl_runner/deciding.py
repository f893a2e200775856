"""Which jobs decided how long a run took, and what they waited for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from etl_runner import words
from etl_runner.timeline import Timeline, Track, Try

# Starting a process takes this long; less is no waiting.
UNNOTICED = 0.05
# What was short for this share of a wait is what was waited for.
MOST = 0.5

Span = tuple[float, float, int]  # start, end, places taken


class Link(Struct, frozen=True, kw_only=True):
    """One job of the deciding path. It stood ready for `waited` seconds before it was started."""

    job: str
    seconds: float
    waited: float


def deciding_path(timeline: Timeline) -> tuple[Link, ...]:
    """The jobs that decided the end, first to last: each waited for the one before it.

    Starting from the job that ended last it follows, back in time, the need that was over last. A link that
    stood ready and was not started is on the path because it queued as much as because of its own time.
    """
    ran = [track for track in timeline.tracks.values() if track.tries and track.end is not None]
    if not ran:
        return ()
    links: list[Link] = []
    track: Track | None = max(ran, key=_end)
    while track is not None:
        if track.tries:
            waited = track.waited if track.waited > UNNOTICED else 0.0
            links.append(Link(job=track.job.name, seconds=track.seconds, waited=waited))
        track = _last_need(timeline, track)
    return tuple(reversed(links))


def _end(track: Track) -> float:
    return track.end or 0.0


def _last_need(timeline: Timeline, track: Track) -> Track | None:
    needs = [timeline.tracks[need] for need in track.job.needs if need in timeline.tracks]
    over = [need for need in needs if need.end is not None]
    return max(over, key=_end, default=None)


def waited_for(timeline: Timeline, job: str) -> str:
    """What a job stood ready for, for most of the time: "a worker", "pool odoo"; empty if it was neither."""
    track = timeline.tracks[job]
    if track.start is None or track.ready is None:
        return ""
    if busy_share(timeline, track.ready, track.start) >= MOST:
        return "a worker"
    if full := [pool for pool in track.job.pools if pool_share(timeline, track, pool) >= MOST]:
        return f"pool {words.names(full)}"
    ahead = sum(1 for start, _ in attempts(timeline) if track.ready <= start < track.start)
    return "a worker" if ahead >= workers(timeline) else ""  # behind many short jobs: workers are hardly seen busy


def pool_share(timeline: Timeline, track: Track, pool: str) -> float:
    """For which share of its waiting a pool had less room than the job needs, 0…1."""
    others = [t for t in timeline.tracks.values() if t is not track and pool in t.job.pools]
    spans = [(start, end, t.job.pools[pool]) for t in others for start, end in _spans(t, timeline.latest)]
    room = timeline.plan.pools[pool] - track.job.pools[pool]
    return _share_above(room, spans, track.ready or 0.0, track.start or 0.0)


def attempts(timeline: Timeline) -> Iterator[tuple[float, float]]:
    """When each attempt began and ended; one that still runs ends now."""
    for track in timeline.tracks.values():
        yield from _spans(track, timeline.latest)


def _spans(track: Track, now: float) -> Iterator[tuple[float, float]]:
    for attempt in track.tries:
        yield attempt.start, _try_end(attempt, track, now)


def _try_end(attempt: Try, track: Track, now: float) -> float:
    if attempt.end is not None:
        return attempt.end
    return track.end if track.end is not None else now


def work(timeline: Timeline) -> float:
    """Seconds of work of all attempts together."""
    return sum(end - start for start, end in attempts(timeline))


def workers(timeline: Timeline) -> int:
    """How many workers the run had."""
    return timeline.started.workers if timeline.started else timeline.plan.workers


def busy(timeline: Timeline) -> float:
    """The share of the workers' time that was spent in jobs, 0…1."""
    room = workers(timeline) * timeline.seconds
    return min(work(timeline) / room, 1.0) if room > 0 else 0.0


def busy_share(timeline: Timeline, since: float, until: float) -> float:
    """For which share of the time between two offsets all workers were taken, 0…1."""
    return _share_above(workers(timeline) - 1, [(*span, 1) for span in attempts(timeline)], since, until)


def _share_above(most: int, spans: Iterable[Span], since: float, until: float) -> float:
    """For which share of the time between two offsets more than `most` places were taken, 0…1."""
    if until <= since:
        return 0.0
    above, taken, before = 0.0, 0, since
    for at, change in [*sorted(_changes(spans, since, until)), (until, 0)]:
        if taken > most:
            above += at - before
        taken, before = taken + change, at
    return above / (until - since)


def _changes(spans: Iterable[Span], since: float, until: float) -> Iterator[tuple[float, int]]:
    for start, end, places in spans:
        if start < until and end > since:
            yield max(start, since), places
            yield min(end, until), -places
