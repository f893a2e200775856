"""Folds the records of a run into where each of its jobs is."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import assert_never

from etl_runner.events import (
    AttemptExited,
    AttemptReported,
    AttemptStarted,
    DeadlinePassed,
    JobExpanded,
    JobFinished,
    JobRetrying,
    Record,
    RunFinished,
    RunStarted,
    StopRequested,
)
from etl_runner.expanding import extended
from etl_runner.model import Outcome, Plan
from etl_runner.timeline.track import Group, Stage, Track, Try


class Timeline:
    """A run so far. `apply` each record in order; everything else may be read at any time.

    Offsets are seconds since the run's first record. Records of jobs the plan does not have are ignored.
    """

    def __init__(self, plan: Plan, records: Iterable[Record] = ()) -> None:
        self.plan = plan
        self.tracks = {job.name: Track(job=job) for job in plan.jobs}
        names = dict.fromkeys([*(phase.name for phase in plan.phases), *(job.phase for job in plan.jobs)])
        self.phases = {name: Group(name=name) for name in names}
        self.running: dict[str, Track] = {}
        self.run = 0
        self.over = 0
        self.began: datetime | None = None
        self.latest = 0.0
        self.started: RunStarted | None = None
        self.finished: RunFinished | None = None
        self.stop: StopRequested | None = None
        self._template_times: dict[str, tuple[int, float]] = {}
        self._open_needs: dict[str, int] = {}
        self._dependents: dict[str, list[str]] = {}
        self._index()
        for record in records:
            self.apply(record)

    def _index(self) -> None:
        for job in self.plan.jobs:
            self.phases[job.phase].total += 1
            needs = [need for need in job.needs if need in self.tracks]
            self._open_needs[job.name] = len(needs)
            for need in needs:
                self._dependents.setdefault(need, []).append(job.name)
            if not needs:
                self.tracks[job.name].ready = 0.0

    def offset(self, at: datetime) -> float:
        """An instant on the run's clock."""
        return max((at - self.began).total_seconds(), 0.0) if self.began else 0.0

    @property
    def seconds(self) -> float:
        """How long the run took, or has taken up to its latest record."""
        return self.finished.seconds if self.finished else self.latest

    @property
    def outcomes(self) -> list[Outcome]:
        return [track.finished.outcome for track in self.tracks.values() if track.finished]

    def usual(self, template: str) -> float | None:
        """The mean time of a template's jobs that succeeded in this run so far."""
        number, seconds = self._template_times.get(template, (0, 0.0))
        return seconds / number if number else None

    def apply(self, record: Record) -> None:
        """Take in the next record."""
        if self.began is None:
            self.began, self.run = record.at, record.run
        now = self.latest = max(self.latest, self.offset(record.at))  # also where the clock was set back
        match record.event:
            case AttemptStarted():
                self._attempt_started(record.event, now)
            case AttemptReported():
                self._attempt_reported(record.event)
            case AttemptExited():
                self._attempt_exited(record.event, now)
            case JobRetrying():
                self._job_retrying(record.event, now)
            case JobFinished():
                self._job_finished(record.event, now)
            case JobExpanded():
                self._job_expanded(record.event, now)
            case RunStarted():
                self.started = record.event
            case StopRequested():
                self.stop = record.event
            case RunFinished():
                self.finished = record.event
            case DeadlinePassed():
                pass
            case _:
                assert_never(record.event)

    def abandon(self) -> None:
        """Say that nobody is left to see the end: what is not over is lost."""
        for track in self.tracks.values():
            if track.finished is None:
                job, tries = track.job, len(track.tries)
                reason = "" if tries else "the run ended before it could start"
                self._job_finished(
                    JobFinished(job=job.name, phase=job.phase, attempt=tries, outcome=Outcome.LOST, reason=reason),
                    self.latest,
                )

    def _attempt_started(self, event: AttemptStarted, now: float) -> None:
        if (track := self.tracks.get(event.job)) is None:
            return
        self._leave(track)
        track.tries = [*track.tries, Try(number=event.attempt, start=now)]
        track.metrics, track.stage, track.due = {}, Stage.RUNNING, None
        self.running[event.job] = track
        self.phases[track.job.phase].running += 1

    def _attempt_reported(self, event: AttemptReported) -> None:
        if event.job in self.tracks:
            self.tracks[event.job].metrics = event.metrics

    def _attempt_exited(self, event: AttemptExited, now: float) -> None:
        if (track := self.tracks.get(event.job)) is None:
            return
        self._leave(track)
        track.metrics = event.metrics or track.metrics
        if event.error and (not track.tries or track.tries[-1].number != event.attempt):
            track.tries = [*track.tries, Try(number=event.attempt, start=now)]
        if track.tries:
            last = track.tries[-1]
            last.end, last.exited = max(now, last.start), event

    def _job_retrying(self, event: JobRetrying, now: float) -> None:
        if (track := self.tracks.get(event.job)) is None:
            return
        self._leave(track)
        track.retrying, track.due, track.stage = event, now + event.delay, Stage.RETRYING
        self.phases[track.job.phase].retrying += 1

    def _job_finished(self, event: JobFinished, now: float) -> None:
        track = self.tracks.get(event.job)
        if track is None or track.finished is not None:
            return
        self._leave(track)
        group = self.phases[track.job.phase]
        group.over += 1
        group.outcomes[event.outcome] = group.outcomes.get(event.outcome, 0) + 1
        self.over += 1
        last = track.tries[-1].end if track.tries else None
        track.stage, track.finished, track.end = Stage.OVER, event, now if last is None else last
        track.metrics = event.metrics or track.metrics
        if event.outcome is Outcome.SUCCEEDED:
            number, seconds = self._template_times.get(track.job.template, (0, 0.0))
            self._template_times[track.job.template] = (number + 1, seconds + track.seconds)
        self._release(event.job, now)

    def _job_expanded(self, event: JobExpanded, now: float) -> None:
        """Follow the copies instead of the job, in its place."""
        if event.job not in self.tracks or not event.copies:
            return
        self.plan = extended(self.plan, [event])
        old = self.tracks.pop(event.job)
        names = [copy.name for copy in event.copies]
        waiting = self._dependents.get(event.job, [])
        before, self.tracks = self.tracks, {}
        for job in self.plan.jobs:
            track = self.tracks[job.name] = before.get(job.name) or Track(job=job, ready=now)
            track.job = job
        self.phases[old.job.phase].total += len(names) - 1
        for name in names:
            self._open_needs[name] = 0
            self._dependents[name] = waiting
        for name in waiting:
            self._open_needs[name] += len(names) - 1

    def _leave(self, track: Track) -> None:
        group = self.phases[track.job.phase]
        if self.running.pop(track.job.name, None):
            group.running -= 1
        if track.stage is Stage.RETRYING:
            group.retrying -= 1
        track.stage = Stage.WAITING

    def _release(self, job: str, now: float) -> None:
        for name in self._dependents.get(job, ()):
            self._open_needs[name] -= 1
            if self._open_needs[name] == 0:
                self.tracks[name].ready = now
