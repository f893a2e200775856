"""How long a run still takes, from what its jobs took before."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from etl_runner.timeline import Timeline, Track

SIMULATE_AT_MOST = 1000


def estimate_of(timeline: Timeline, track: Track, estimates: Mapping[str, float]) -> float | None:
    """The usual time of a job: its own past, else what the copies of its template took in this run."""
    own = estimates.get(track.job.name)
    return own if own is not None else timeline.usual(track.job.template)


def seconds_left(timeline: Timeline, estimates: Mapping[str, float], *, now: float) -> float | None:
    """Seconds until the run is over, if every open job takes its usual time; None where that is not known.

    The scheduler itself, in virtual time, plays the rest of the run.
    """
    left: dict[str, float] = {}
    for name, track in timeline.tracks.items():
        if track.finished is None:
            usual = estimate_of(timeline, track, estimates)
            if usual is None:
                return None
            left[name] = _left(track, usual, now)
    if len(left) > SIMULATE_AT_MOST:
        return sum(left.values()) / max(timeline.plan.workers, 1)
    return _simulated(timeline, left) if left else 0.0


def _left(track: Track, usual: float, now: float) -> float:
    if track.due is not None:
        return usual + max(track.due - now, 0.0)
    if track.tries and track.tries[-1].exited is None:
        return max(usual - (now - track.tries[-1].start), 0.0)
    return usual


def _simulated(timeline: Timeline, left: Mapping[str, float]) -> float:
    from etl_runner.simulate import simulate

    rest = tuple(
        replace(track.job, needs=tuple(need for need in track.job.needs if need in left))
        for name, track in timeline.tracks.items()
        if name in left
    )
    return simulate(replace(timeline.plan, jobs=rest), left).makespan
