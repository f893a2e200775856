"""Logs of jobs: printed, and followed while they grow."""

from __future__ import annotations

import select
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, Self

from etl_runner import words
from etl_runner.errors import UsageError
from etl_runner.events import JobExpanded
from etl_runner.ledger import LedgerReader, alive
from etl_runner.ledger.run import Run
from etl_runner.look import Look
from etl_runner.model import Job, Plan
from etl_runner.report.history import VERSION
from etl_runner.report.show import attempt_words, timeline_of
from etl_runner.report.writers import CHUNK, Writer
from etl_runner.timeline import Track, Try

POLL_SECONDS = 0.1

Say = Callable[[str], None]


class Logs:
    """The logs of the jobs of one run that `choose` finds in its plan: of all their attempts, or of `attempt` only."""

    def __init__(
        self, reader: LedgerReader, run: Run, choose: Callable[[Plan], Sequence[Job]], *, attempt: int | None
    ) -> None:
        plan, records = reader.story(run.id)
        now = datetime.now(UTC)
        self._timeline = timeline_of(run, plan, records, home=reader.home, now=now)
        self._seen = records[-1].seq if records else 0
        self._reader = reader
        self._run = run.id
        self._attempt = attempt
        self.jobs: Sequence[str] = [job.name for job in choose(self._timeline.plan)]

    def show(self, *, writer: Callable[[str], Writer], say: Say, look: Look) -> bool:
        """Print what there is, with a heading before each log if there are several. False if one is gone."""
        found = list(self._found())
        complete = True
        for track, attempt in found:
            if len(found) > 1:
                say(self._heading(track, attempt, look))
            complete &= self._copy(track, attempt, writer(track.job.name), say)
        for name in self.jobs:
            if not self._timeline.tracks[name].tries:
                say(_never_started(self._timeline.tracks[name]))
        return complete

    def follow(self, *, writer: Callable[[str], Writer], say: Say, look: Look, wait: Callable[[], None]) -> None:
        """Print what there is and what comes, until the jobs are over or nobody is left to run them."""
        waiting = [name for name in self.jobs if not self._timeline.tracks[name].tries and not self._is_over(name)]
        if waiting and alive(self._reader.home, self._run):
            say(f"waiting for {words.names(waiting)} to start")
        with ExitStack() as stack:
            tails: dict[str, _Tail] = {}
            while True:
                going_on = alive(self._reader.home, self._run)  # asked first: what came before its end is read below
                self._catch_up()
                for name in self.jobs:
                    if name not in tails:
                        tails[name] = stack.enter_context(_Tail(writer(name)))
                    self._advance(self._timeline.tracks[name], tails[name], say, look)
                open_jobs = [name for name in self.jobs if not self._is_over(name)]
                if not open_jobs:
                    break
                if not going_on:
                    say(f"run {self._run} was lost: nobody saw the end of {words.names(open_jobs)}")
                    return
                wait()
        for name in self.jobs:
            if not self._timeline.tracks[name].tries:
                say(_never_started(self._timeline.tracks[name]))

    def document(self) -> dict[str, Any]:
        """The log of the picked attempt, else of the last one, of the only job."""
        (name,) = self.jobs
        found = list(self._found())
        number = found[-1][1].number if found else None
        lines: list[str] = []
        if number is not None:
            with suppress(FileNotFoundError):
                text = self._path(name, number).read_bytes().decode("utf-8", "replace")
                lines = text.removesuffix("\n").split("\n") if text else []
        return {"version": VERSION, "run": self._run, "job": name, "attempt": number, "log": lines}

    def _found(self) -> list[tuple[Track, Try]]:
        tracks = [self._timeline.tracks[name] for name in self.jobs]
        found = [(track, attempt) for track in tracks for attempt in self._chosen(track)]
        if self._attempt is not None and not found:
            raise _no_such_attempt(tracks, self._attempt, run=self._run)
        return found

    def _chosen(self, track: Track) -> list[Try]:
        return [attempt for attempt in track.tries if self._attempt in (None, attempt.number)]

    def _is_over(self, name: str) -> bool:
        track = self._timeline.tracks[name]
        seen = self._attempt is not None and any(attempt.exited for attempt in self._chosen(track))
        return seen or track.finished is not None

    def _catch_up(self) -> None:
        for record in self._reader.records(self._run, after=self._seen):
            self._timeline.apply(record)
            self._seen = record.seq
            if isinstance(record.event, JobExpanded) and record.event.copies:
                self._name_copies(record.event)

    def _name_copies(self, event: JobExpanded) -> None:
        copies = [copy.name for copy in event.copies]
        self.jobs = [name for job in self.jobs for name in (copies if job == event.job else [job])]

    def _advance(self, track: Track, tail: _Tail, say: Say, look: Look) -> None:
        attempts = self._chosen(track)
        for attempt in attempts[tail.done :]:
            if tail.begins(attempt.number) and (len(self.jobs) > 1 or attempt.number > 1):
                say(self._heading(track, attempt, look))
            tail.read(self._path(track.job.name, attempt.number))
            if attempt.exited is None and attempt is attempts[-1] and track.finished is None:
                return
            tail.end()

    def _path(self, job: str, attempt: int) -> Path:
        return self._reader.home.log(self._run, job, attempt)

    def _copy(self, track: Track, attempt: Try, writer: Writer, say: Say) -> bool:
        path = self._path(track.job.name, attempt.number)
        try:
            file = path.open("rb")
        except FileNotFoundError:
            if path.parent.is_dir():  # it printed nothing
                return True
            say(f"the log of {words.clean(track.job.name)} is gone: {path}")
            return False
        with file:
            while chunk := file.read(CHUNK):
                writer.write(chunk)
        writer.end()
        return True

    def _heading(self, track: Track, attempt: Try, look: Look) -> str:
        """`── table-7 · attempt 2 of 3 · 03:00:09 · exit 1 ──`."""
        assert self._timeline.began
        at = (self._timeline.began + timedelta(seconds=attempt.start)).astimezone().strftime("%H:%M:%S")
        name = [words.clean(track.job.name)] if len(self.jobs) > 1 else []
        number = f"attempt {attempt.number} of {max(track.job.retry.count + 1, attempt.number)}"
        rule = look.glyphs.rest * 2
        text = f" {look.glyphs.dot} ".join([*name, number, at, attempt_words(track, attempt)])
        return f"{rule} {text} {rule}"


class _Tail:
    """Reads the logs of one job's attempts, one after the other, as far as they are written. `done` are complete."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._file: BinaryIO | None = None
        self._begun = 0
        self.done = 0

    def begins(self, attempt: int) -> bool:
        """Whether this attempt is met for the first time."""
        is_new = attempt != self._begun
        self._begun = attempt
        return is_new

    def read(self, path: Path) -> None:
        """Pass on what was written since the last time."""
        if self._file is None:
            try:
                self._file = path.open("rb")
            except FileNotFoundError:  # not made yet
                return
        while chunk := self._file.read(CHUNK):
            self._writer.write(chunk)

    def end(self) -> None:
        self.__exit__()
        self.done += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.end()
        if self._file:
            self._file.close()
        self._file = None


def wait_for_more(fd: int) -> None:
    """A moment's rest; BrokenPipeError if nobody reads `fd` any more."""
    watch = select.poll()
    watch.register(fd, 0)  # errors and hang-ups only
    if watch.poll(POLL_SECONDS * 1000):
        raise BrokenPipeError


def _never_started(track: Track) -> str:
    name = words.clean(track.job.name)
    if track.finished is None:
        return f"{name} has not started yet: follow it with -f"
    return f"{name} never started: {words.ending_words(track.job, track.finished)}"


def _no_such_attempt(tracks: Sequence[Track], attempt: int, *, run: int) -> UsageError:
    had = max((track.tries[-1].number for track in tracks if track.tries), default=0)
    name = words.names(track.job.name for track in tracks)
    return UsageError(
        f"{name} had no attempt {attempt} in run {run}",
        hint=f"there {'was' if had == 1 else 'were'} {words.count(had, 'attempt')}",
    )
