"""Which jobs decided how long a run took, and what they waited for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from etl_runner.timeline import Timeline, Track, Try

# Starting a process takes this long; less is no waiting.
UNNOTICED = 0.05


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


def pools_waited_for(timeline: Timeline, job: str) -> tuple[str, ...]:
    """The pools a job stood ready for; empty if what it waited for was a worker."""
    track = timeline.tracks[job]
    if not track.job.pools or track.start is None or track.ready is None:
        return ()
    return tuple(track.job.pools) if busy_share(timeline, track.ready, track.start) < 0.5 else ()


def attempts(timeline: Timeline) -> Iterator[tuple[float, float]]:
    """When each attempt began and ended; one that still runs ends now."""
    for track in timeline.tracks.values():
        for attempt in track.tries:
            yield attempt.start, _try_end(attempt, track, timeline.latest)


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
    if until <= since:
        return 0.0
    changes = sorted(_changes(list(attempts(timeline)), since, until))
    full, running, before, places = 0.0, 0, since, workers(timeline)
    for at, change in changes:
        if running >= places:
            full += at - before
        running, before = running + change, at
    if running >= places:
        full += until - before
    return full / (until - since)


def _changes(spans: Sequence[tuple[float, float]], since: float, until: float) -> Iterator[tuple[float, int]]:
    for start, end in spans:
        if start < until and end > since:
            yield max(start, since), 1
            yield min(end, until), -1
