"""What the last runs say about their jobs, asked of the ledger."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

import msgspec
from msgspec import Struct

from etl_runner.intervals import interval_of
from etl_runner.ledger.past import JobEnd, matches, usual_seconds
from etl_runner.model import Outcome, Plan

USUAL_RUNS = 10  # how many past runs say what is usual


class LastRuns:
    """The last runs, of one pipeline or of all. `rows` are the ledger's for a statement and its values."""

    def __init__(self, rows: Callable[..., list[Any]]) -> None:
        self._rows = rows

    def estimates(self, plan: Plan) -> dict[str, float]:
        """What each job of a plan usually takes, as far as it or its template has a past.

        Intervals are taken to be equal, so that they start in the plan's order. Where copies will become known, all
        jobs that have a past are there.
        """
        known = self._medians(plan.pipeline)
        own = {job.name: job.template if interval_of(job) else job.name for job in plan.jobs}
        found = ((job.name, known.get(own[job.name], known.get(job.template))) for job in plan.jobs)
        open_ = known if any(job.expand for job in plan.jobs) else {}
        return {**open_, **{name: seconds for name, seconds in found if seconds is not None}}

    def ends(self, *, limit: int, pipeline: str | None) -> list[JobEnd]:
        """How the jobs of the last `limit` runs ended, oldest first."""
        templates = self._templates(limit=limit, pipeline=pipeline)
        return [_job_end(row, templates[row[0]]) for row in self._rows(_ENDS, pipeline, limit)]

    def job_names(self, *, limit: int) -> list[str]:
        """The templates and jobs planned in the last `limit` runs."""
        found: dict[str, None] = {}
        for templates in self._templates(limit=limit).values():
            found |= dict.fromkeys([*templates.values(), *templates])
        return list(found)

    def one_with(self, pattern: str, *, limit: int) -> int | None:
        """The latest of the last `limit` runs whose plan has a job that is meant by `pattern`."""
        runs = sorted(self._templates(limit=limit).items(), reverse=True)
        found = (run for run, jobs in runs if any(matches(job, template, pattern) for job, template in jobs.items()))
        return next(found, None)

    def _medians(self, pipeline: str) -> dict[str, float]:
        """Median seconds of successes, by job name and by template."""
        templates = self._templates(limit=USUAL_RUNS, pipeline=pipeline)
        ends = ((run, job, _decode_end(body)) for run, job, body in self._rows(_FINISHED, pipeline, USUAL_RUNS))
        good = ((run, job, end.seconds) for run, job, end in ends if end.outcome is Outcome.SUCCEEDED)
        return usual_seconds((job, templates[run].get(job, job), seconds) for run, job, seconds in good)

    def _templates(self, *, limit: int, pipeline: str | None = None) -> dict[int, Mapping[str, str]]:
        """For each of the last runs, the template of each job."""
        found: dict[int, Mapping[str, str]] = {}
        for body, rows in groupby(self._rows(_PLANS, pipeline, limit), key=lambda row: row[0]):
            templates = {job.name: job.template for job in msgspec.json.decode(body, type=_PlanNames).jobs}
            found |= dict.fromkeys((row[1] for row in rows), templates)
        for run, template, copy in self._rows(_COPIES, pipeline, limit):
            found[run] = {**found[run], copy: template}
        return found


def _job_end(row: Sequence[object], templates: Mapping[str, str]) -> JobEnd:
    run, job, outcome, seconds, attempts = row
    return JobEnd(
        run=int(str(run)),
        job=str(job),
        template=templates.get(str(job), str(job)),
        outcome=Outcome(str(outcome)),
        seconds=float(str(seconds)),
        attempts=int(str(attempts)),
    )


class _JobName(Struct):
    name: str
    template: str


class _PlanNames(Struct):
    jobs: list[_JobName]


class _End(Struct):
    outcome: Outcome
    seconds: float = 0.0


_decode_end = msgspec.json.Decoder(_End).decode  # at every start: for long runs twice as fast as the view `jobs`
_LAST_RUNS = "SELECT id FROM run WHERE pipeline = coalesce(?, pipeline) ORDER BY id DESC LIMIT ?"
_FINISHED = f"SELECT run, job, body FROM event WHERE name = 'job_finished' AND run IN ({_LAST_RUNS})"
_ENDS = f"SELECT run, job, outcome, seconds, attempts FROM jobs WHERE run IN ({_LAST_RUNS}) ORDER BY run, job"
_PLANS = f"""
    SELECT p.body, r.id FROM run r JOIN plan p ON p.hash = r.plan WHERE r.id IN ({_LAST_RUNS}) ORDER BY p.hash
"""
_COPIES = f"""
    SELECT e.run, e.job, json_extract(c.value, '$.name') FROM event e, json_each(e.body, '$.copies') c
    WHERE e.name = 'job_expanded' AND e.run IN ({_LAST_RUNS})
"""
