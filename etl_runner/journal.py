"""Events on their way into the ledger, and from there to those who listen."""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import Protocol

from etl_runner.events import Event, Record


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
    """Numbers events, has them written by one thread in order, and tells the sinks what is written."""

    def __init__(self, memory: Memory, sinks: Sinks, *, run: int, clock: Callable[[], datetime]) -> None:
        self._memory = memory
        self._sinks = sinks
        self._run = run
        self._clock = clock
        self._seq = 0
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")
        self._last: asyncio.Future[None] | None = None

    async def take(self, events: Sequence[Event], *, durable: bool) -> None:
        """Write events; returns when they are safe if `durable`, else at once.

        Raises the EtlError of this write or of an earlier one.
        """
        before, self._last = self._last, None
        if events:
            records = [self._record(event) for event in events]
            loop = asyncio.get_running_loop()
            self._last = loop.run_in_executor(self._thread, partial(self._memory.append, records, durable=durable))
            self._last.add_done_callback(lambda written: self._written(written, records))
        due = [write for write in (before, self._last) if write and (durable or write.done())]
        for error in await asyncio.gather(*due, return_exceptions=True):
            if error:
                raise error

    def close(self) -> None:
        self._thread.shutdown()

    def _written(self, written: asyncio.Future[None], records: Sequence[Record]) -> None:
        """Tell the sinks; also where the ledger failed, for the people at the screen."""
        if not written.cancelled():
            written.exception()  # whoever awaits the write, or the next one, raises it
            self._sinks.tell(records)

    def _record(self, event: Event) -> Record:
        self._seq += 1
        return Record(run=self._run, seq=self._seq, at=self._clock(), event=event)


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
