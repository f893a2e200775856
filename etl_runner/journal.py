"""Events on their way into the ledger, and from there to those who listen."""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Protocol

from etl_runner.errors import EtlError
from etl_runner.events import Event, JobFinished, Record
from etl_runner.masking import Masker


class Memory(Protocol):
    """Remembers records; `append` is called from one thread, and raises EtlError."""

    def append(self, records: Sequence[Record], *, durable: bool) -> None: ...


class Sink(Protocol):
    """Somebody who listens to a run. `refresh` is called about four times a second."""

    def tell(self, record: Record) -> None: ...
    def output(self, job: str, chunk: bytes) -> None: ...
    def refresh(self) -> None: ...
    def close(self) -> None: ...


class Journal:
    """Numbers events, has them written by one thread in order, and tells the sinks what is written.

    What comes while a write is going on is written together after it: one transaction, not one for each event. What
    could not be written is written with what comes next, so that what is remembered has no holes. Nobody is told what
    `masker` hides.
    """

    def __init__(
        self, memory: Memory, sinks: Sinks, *, run: int, clock: Callable[[], datetime], masker: Masker | None = None
    ) -> None:
        self._memory = memory
        self._sinks = sinks
        self._run = run
        self._clock = clock
        self._masker = masker or Masker()
        self._seq = 0
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")
        self._waiting: list[Record] = []
        self._unwritten: list[Record] = []
        self._durable = False
        self._unsafe: set[str] = set()  # jobs whose end may not be on the disk yet
        self._writing: asyncio.Task[None] | None = None
        self._error: Exception | None = None

    async def take(self, events: Sequence[Event], *, durable: bool, before: Iterable[str] = ()) -> None:
        """Write events; returns when they are safe if `durable`, else at once.

        Durable it is also where something is about to happen that follows from the end of the jobs `before`, and one of
        these is not on the disk yet. Raises the EtlError of this write, if it waited for it, or of an earlier one.
        """
        self._unsafe.update(event.job for event in events if isinstance(event, JobFinished))
        durable = durable or not self._unsafe.isdisjoint(before)
        if durable and events:  # they are flushed, and all before them
            self._unsafe.clear()
        self._waiting += map(self._record, events)
        self._durable = self._durable or durable
        if self._waiting and (self._writing is None or self._writing.done()):
            self._writing = asyncio.get_running_loop().create_task(self._write())
        if durable and self._writing:
            await self._writing
        error, self._error = self._error, None
        if error:
            raise error

    def close(self) -> None:
        """Write what still waits, where the run was left by an error, and let go of the thread."""
        self._thread.shutdown()
        with suppress(EtlError):
            self._append(self._waiting, durable=True)

    async def _write(self) -> None:
        """Write until nothing waits. The sinks hear of it also where the ledger failed: people look at them."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            records, self._waiting = self._waiting, []
            durable, self._durable = self._durable, False
            try:
                await loop.run_in_executor(self._thread, partial(self._append, records, durable=durable))
            except Exception as error:  # raised by the next `take`, where the runner can act on it
                self._error = self._error or error
            self._sinks.tell(records)

    def _append(self, records: Sequence[Record], *, durable: bool) -> None:
        """In the writing thread: write these, and before them what could not be written so far."""
        self._unwritten += records
        self._memory.append(tuple(self._unwritten), durable=durable)
        self._unwritten.clear()

    def _record(self, event: Event) -> Record:
        self._seq += 1
        return Record(run=self._run, seq=self._seq, at=self._clock(), event=self._masker.struct(event))


class Sinks:
    """All who listen. One that breaks is dropped, and said so: a listener must not end a run."""

    def __init__(self, sinks: Iterable[Sink]) -> None:
        self._sinks = list(sinks)

    def tell(self, records: Sequence[Record]) -> None:
        for record in records:
            self._each(lambda sink, record=record: sink.tell(record))  # type: ignore[misc]

    def output(self, job: str, chunk: bytes) -> None:
        self._each(lambda sink: sink.output(job, chunk))

    def refresh(self) -> None:
        self._each(lambda sink: sink.refresh())

    def close(self) -> None:
        self._each(lambda sink: sink.close())

    def _each(self, act: Callable[[Sink], None]) -> None:
        for sink in list(self._sinks):
            try:
                act(sink)
            except Exception:  # the seam to listeners: whatever they do wrong, the jobs go on
                self._sinks.remove(sink)
                print(f"etl-run: {type(sink).__name__} broke and is off:", file=sys.stderr)
                traceback.print_exc()
