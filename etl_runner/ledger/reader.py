"""The reading side of the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from etl_runner.errors import LedgerError, UsageError
from etl_runner.events import JobExpanded, JobFinished, Record, decode_event
from etl_runner.expanding import extended
from etl_runner.ledger.database import connect_to_read, instant, snapshot
from etl_runner.ledger.last_runs import LastRuns
from etl_runner.ledger.locks import alive
from etl_runner.ledger.past import JobPast, pasts
from etl_runner.ledger.results import Unheard, unheard
from etl_runner.ledger.run import Run, RunRow, RunState
from etl_runner.ledger.trouble import explained
from etl_runner.model import Outcome, Plan
from etl_runner.paths import Home


class LedgerReader:
    """Reads a ledger, also while others write. Where there is none yet, there are simply no runs.

    Methods raise LedgerError for a file that cannot be read, UsageError for a run that does not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.home = Home(path.parent)
        self._connection = connect_to_read(path)
        self._last_runs = LastRuns(self._rows)

    @classmethod
    def open(cls, path: Path) -> Self:
        """The ledger in the file `path`. To be used in a `with`, or closed."""
        return cls(path)

    def runs(self, *, limit: int | None = None, pipeline: str | None = None) -> list[Run]:
        """The latest runs, newest first."""
        sql = f"{_RUNS} WHERE pipeline = coalesce(?, pipeline) ORDER BY id DESC LIMIT ?"
        return [self._run(row) for row in self._rows(sql, pipeline, -1 if limit is None else limit)]

    def run(self, run: int) -> Run:
        rows = self._rows(f"{_RUNS} WHERE id = ?", run)
        if not rows:
            raise self._no_such_run(run)
        return self._run(rows[0])

    def last_run(self, *, pipeline: str | None = None, profile: str | None = None) -> int | None:
        """The number of the latest run (of a pipeline, with a profile), None if there is none yet."""
        rows = self._rows(_LAST_RUN, pipeline, profile)
        return int(rows[0][0]) if rows else None

    def open_runs(self) -> list[int]:
        """The runs of which no end is recorded, oldest first: those that are going on, and those that were lost."""
        return [int(run) for (run,) in self._rows(_OPEN)]

    def older_runs(self, since: datetime, *, beyond: int) -> list[int]:
        """The runs that began before `since` and are not among the last `beyond` ones of their pipeline."""
        return [int(run) for (run,) in self._rows(_OLDER, instant(since), beyond)]

    def plan(self, run: int) -> Plan:
        """What the run wanted to do, with the copies that became known. The jobs' environments have names only."""
        return extended(self.plan_at_start(run), self.expansions(run))

    def story(self, run: int) -> tuple[Plan, tuple[Record, ...]]:
        """The plan and the records of one moment: the copies of the one became known in the other."""
        with explained(self.path), snapshot(self._connection):
            return self.plan(run), self.records(run)

    def expansions(self, run: int) -> list[JobExpanded]:
        """What became known of jobs' copies during the run."""
        rows = self._rows("SELECT body FROM event WHERE run = ? AND name = 'job_expanded' ORDER BY seq", run)
        try:
            return [msgspec.json.decode(body, type=JobExpanded) for (body,) in rows]
        except msgspec.MsgspecError as error:
            raise self._unreadable(run, error) from error

    def last_expansions(self, plan: Plan) -> list[JobExpanded]:
        """What was known last of the copies of the plan's jobs, in any run of its pipeline."""
        found = (self._rows(_LAST_COPIES, plan.pipeline, job.name) for job in plan.jobs if job.expand)
        return [msgspec.json.decode(rows[0][0], type=JobExpanded) for rows in found if rows]

    def plan_at_start(self, run: int) -> Plan:
        """What the run wanted to do when it began."""
        rows = self._rows("SELECT p.body FROM run r JOIN plan p ON p.hash = r.plan WHERE r.id = ?", run)
        if not rows:
            raise self._no_such_run(run)
        try:
            return msgspec.json.decode(rows[0][0], type=Plan)
        except msgspec.MsgspecError as error:
            raise self._unreadable(run, error) from error

    def records(self, run: int, *, after: int = 0) -> tuple[Record, ...]:
        """What happened in the run, in order; with `after` only what came after that number."""
        rows = self._rows(_RECORDS, run, after)
        try:
            return tuple(
                Record(run=run, seq=seq, at=datetime.fromisoformat(at), event=decode_event(body))
                for seq, at, body in rows
            )
        except (msgspec.MsgspecError, ValueError) as error:
            raise self._unreadable(run, error) from error

    def ends(self, run: int) -> dict[str, JobFinished]:
        """How the run's jobs ended, as far as they have."""
        rows = self._rows("SELECT body FROM event WHERE run = ? AND name = 'job_finished' ORDER BY seq", run)
        try:
            found = (msgspec.json.decode(body, type=JobFinished) for (body,) in rows)
            return {end.job: end for end in found}
        except msgspec.MsgspecError as error:
            raise self._unreadable(run, error) from error

    def runs_over_intervals(self, *, pipeline: str, profile: str) -> list[int]:
        """The runs of a pipeline, with a profile, whose jobs know the start and the end of their intervals."""
        return [int(run) for (run,) in self._rows(_OVER_INTERVALS, pipeline, profile)]

    def estimates(self, plan: Plan) -> dict[str, float]:
        """What each job usually takes; one without a past takes what its template does, or is left out.

        Where copies will become known, all jobs that have a past are there.
        """
        return self._last_runs.estimates(plan)

    def job_history(self, pattern: str, *, limit: int = 30, pipeline: str | None = None) -> list[JobPast]:
        """The past in the last `limit` runs of each job whose name matches or whose template is `pattern`."""
        return pasts(self._last_runs.ends(limit=limit, pipeline=pipeline), pattern)

    def job_names(self, *, limit: int = 30) -> list[str]:
        """The templates and jobs planned in the last runs."""
        return self._last_runs.job_names(limit=limit)

    def last_run_with(self, pattern: str, *, limit: int = 50) -> int | None:
        """The latest run whose plan has a job that is meant by `pattern`; None if none of the last ones has."""
        return self._last_runs.one_with(pattern, limit=limit)

    def close(self) -> None:
        self._connection.close()

    def _rows(self, sql: str, *values: object) -> list[Any]:
        with explained(self.path):
            return self._connection.execute(sql, values).fetchall()

    def _run(self, row: Sequence[object]) -> Run:
        try:
            seen = msgspec.convert(dict(zip(_COLUMNS, row, strict=True)), RunRow)
            retried = int(self._rows(_RETRIED, seen.id)[0][0])
            if seen.status:
                counts = seen.recorded_counts()
                return seen.as_run(seen.status, counts=counts, retried=retried, ended_at=None)
            return self._open_run(seen, retried)
        except msgspec.MsgspecError as error:
            raise self._unreadable(int(str(row[0])), error) from error

    def _open_run(self, seen: RunRow, retried: int) -> Run:
        if alive(self.home, seen.id):
            return seen.as_run(RunState.RUNNING, counts=self._counts(seen.id), retried=retried, ended_at=None)
        if self._rows("SELECT 1 FROM event WHERE run = ? AND name = 'run_finished'", seen.id):
            return self.run(seen.id)  # it ended while we looked
        counts = self._counts(seen.id)
        for end in (ends := self._unheard(seen.id)):
            counts[end.finished.outcome.value] = counts.get(end.finished.outcome.value, 0) + 1
        if open_jobs := (seen.jobs or 0) - sum(counts.values()):
            counts[Outcome.LOST.value] = counts.get(Outcome.LOST.value, 0) + open_jobs
        last = self._rows("SELECT max(at) FROM event WHERE run = ?", seen.id)[0][0]
        ended_at = max([datetime.fromisoformat(last) if last else seen.started_at, *(end.at for end in ends)])
        return seen.as_run(RunState.LOST, counts=counts, retried=retried, ended_at=ended_at)

    def _unheard(self, run: int) -> list[Unheard]:
        """What supervisors wrote down of the jobs of a lost run."""
        over = {job for (job,) in self._rows("SELECT job FROM jobs WHERE run = ?", run)}
        return unheard(self.home, run, lambda: [job for job in self.plan(run).jobs if job.name not in over])

    def _counts(self, run: int) -> dict[str, int]:
        found = dict(self._rows("SELECT outcome, count(*) FROM jobs WHERE run = ? GROUP BY outcome", run))
        return {outcome.value: int(found[outcome]) for outcome in Outcome if outcome in found}

    def _no_such_run(self, run: int) -> UsageError:
        last = self.last_run()
        if last is None:
            return UsageError("there are no runs yet", hint="start one: etl-run all")
        first = self._rows("SELECT min(id) FROM run")[0][0]
        runs = f"the only one is {last}" if first == last else f"choose from {first} to {last}"
        return UsageError(f"there is no run {run}", hint=f"{runs}: etl-run history")

    def _unreadable(self, run: int, error: Exception) -> LedgerError:
        return LedgerError(
            f"the ledger {self.path} has something unreadable about run {run}: {error}",
            hint=f"move it away (mv {self.path} {self.path}.damaged): the next run starts a new one",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


_COLUMNS = RunRow.__struct_fields__
_RUNS = f"SELECT {', '.join(_COLUMNS)} FROM runs"
_RECORDS = "SELECT seq, at, body FROM event WHERE run = ? AND seq > ? ORDER BY seq"
_RETRIED = "SELECT count(*) FROM jobs WHERE run = ? AND attempts > 1 AND outcome = 'succeeded'"
_LAST_COPIES = """
    SELECT e.body FROM run r JOIN event e ON e.run = r.id AND e.name = 'job_expanded'
    WHERE r.pipeline = ? AND e.job = ? ORDER BY r.id DESC LIMIT 1
"""
_OPEN = """
    SELECT id FROM run
    WHERE NOT EXISTS (SELECT 1 FROM event WHERE event.run = run.id AND event.name = 'run_finished') ORDER BY id
"""
_PROFILE = "coalesce(json_extract(p.body, '$.profile'), '')"
_LAST_RUN = f"""
    SELECT r.id FROM run r JOIN plan p ON p.hash = r.plan
    WHERE r.pipeline = coalesce(?, r.pipeline) AND {_PROFILE} = coalesce(?, {_PROFILE})
    ORDER BY r.id DESC LIMIT 1
"""
_OVER_INTERVALS = f"""
    SELECT r.id FROM run r JOIN plan p ON p.hash = r.plan
    WHERE r.pipeline = ? AND {_PROFILE} = ? AND instr(p.body, '"interval_end"') ORDER BY r.id
"""
_OLDER = """
    SELECT id FROM (
        SELECT id, started_at, row_number() OVER (PARTITION BY pipeline ORDER BY id DESC) AS place FROM run
    )
    WHERE started_at < ? AND place > ? ORDER BY id
"""
