"""One run, or one job of it, as JSON documents."""

from __future__ import annotations

from typing import Any

from etl_runner.ledger.run import Run
from etl_runner.model import Outcome
from etl_runner.paths import Home
from etl_runner.report.history import VERSION, run_document
from etl_runner.report.show import started_at
from etl_runner.report.style import read_failure_tail
from etl_runner.timeline import Timeline, Track, Try


def run_show_document(run: Run, timeline: Timeline, *, home: Home) -> dict[str, Any]:
    jobs = [_track_document(track, timeline, home) for track in timeline.tracks.values()]
    return {"version": VERSION, "run": run_document(run), "jobs": jobs}


def job_show_document(run: Run, track: Track, timeline: Timeline, *, home: Home) -> dict[str, Any]:
    job = track.job
    asked = {
        "argv": list(job.argv),
        "cwd": job.cwd,
        "env": sorted(job.env),
        "params": job.params,
        "needs": list(job.needs),
        "pools": job.pools,
        "timeout": job.timeout,
        "retries": job.retry.count,
        "tags": list(job.tags),
    }
    tail = read_failure_tail(home.log(run.id, job.name, track.tries[-1].number)) if track.tries else []
    fields = {**_track_document(track, timeline, home), **asked, "tail": tail}
    return {"version": VERSION, "run": run_document(run), "job": fields}


def _track_document(track: Track, timeline: Timeline, home: Home) -> dict[str, Any]:
    job, end = track.job, track.finished
    return {
        "job": job.name,
        "template": job.template,
        "phase": job.phase,
        "state": end.outcome.value if end else track.stage.value,
        "seconds": end.seconds if end else None,
        "start": track.start,
        "exit": end.exit if end else None,
        "signal": end.signal if end else None,
        "metrics": track.metrics,
        "because": list(end.because) if end else [],
        "reason": end.reason if end else "",
        "optional": job.optional,
        "attempts": [_attempt_document(a, track, timeline, home) for a in track.tries],
    }


def _attempt_document(attempt: Try, track: Track, timeline: Timeline, home: Home) -> dict[str, Any]:
    exited = attempt.exited
    return {
        "attempt": attempt.number,
        "started_at": started_at(attempt, timeline).isoformat(timespec="milliseconds"),
        "seconds": exited.seconds if exited else None,
        "exit": exited.exit if exited else None,
        "signal": exited.signal if exited else None,
        "error": exited.error if exited else "",
        "metrics": exited.metrics if exited else {},
        "cpu_seconds": exited.cpu_seconds if exited else None,
        "peak_memory": exited.peak_memory if exited else None,
        "left_behind": exited.left_behind if exited else 0,
        "lost": exited.lost if exited else track.outcome is Outcome.LOST,
        "warnings": list(exited.warnings) if exited else [],
        "log": str(home.log(timeline.run, track.job.name, attempt.number)),
        "log_truncated": exited.log_truncated if exited else False,
    }
