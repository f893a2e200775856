"""What supervisors wrote down when their runner was not there to hear it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from etl_runner.model import Job
from etl_runner.paths import Home


class _End(Struct):
    exit: int | None = None
    stopped: bool = False
    unkillable: list[int] = []


class _Result(Struct):
    ended: _End | None = None


def ended_well(home: Home, run: int, jobs: Iterable[Job]) -> set[str]:
    """Those of the jobs whose last attempt exited with 0 by itself after the runner of this run was gone."""
    return {job.name for job in jobs if _last_result_is_good(home, run, job)}


def _last_result_is_good(home: Home, run: int, job: Job) -> bool:
    # A supervisor writes one result at most: when the runner is gone there is no next attempt.
    for attempt in range(job.retry.count + 1, 0, -1):
        try:
            text = home.result(run, job.name, attempt).read_bytes()
            ended = msgspec.json.decode(text, type=_Result).ended
        except (OSError, msgspec.MsgspecError):
            continue
        return ended is not None and ended.exit == 0 and not ended.stopped and not ended.unkillable
    return False
