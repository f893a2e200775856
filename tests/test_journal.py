"""The journal between runner, ledger and sinks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pytest

from etl_runner.errors import LedgerError
from etl_runner.events import AttemptStarted, Event, Record
from etl_runner.journal import Journal, Sinks

NOW = datetime(2026, 11, 21, tzinfo=UTC)


class Memory:
    """Remembers what it was given in each write; `gate` holds writes up, `errors` come one for each write."""

    def __init__(self, *errors: Exception | None) -> None:
        self.writes: list[tuple[list[int], bool]] = []
        self.gate = threading.Event()
        self.gate.set()
        self._errors = list(errors)

    def append(self, records: Sequence[Record], *, durable: bool) -> None:
        assert self.gate.wait(10)
        if records:
            self.writes.append(([record.seq for record in records], durable))
        if self._errors and (error := self._errors.pop(0)):
            raise error


class Heard:
    """A sink that keeps the numbers of what it was told."""

    def __init__(self) -> None:
        self.seqs: list[int] = []

    def tell(self, record: Record) -> None:
        self.seqs.append(record.seq)

    def output(self, job: str, chunk: bytes) -> None: ...
    def refresh(self) -> None: ...
    def close(self) -> None: ...


def event(attempt: int = 1) -> Event:
    return AttemptStarted(job="a", attempt=attempt, pid=1)


def journal(memory: Memory, heard: Heard) -> Journal:
    return Journal(memory, Sinks([heard]), run=1, clock=lambda: NOW)


async def until(fact: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not fact():
            await asyncio.sleep(0)


async def test_what_comes_while_a_write_goes_on_is_written_together_in_order() -> None:
    memory, heard = Memory(), Heard()
    taken = journal(memory, heard)
    memory.gate.clear()

    for _ in range(4):
        await taken.take([event()], durable=False)
        await asyncio.sleep(0)
    memory.gate.set()
    await taken.take([event()], durable=True)

    assert memory.writes == [([1], False), ([2, 3, 4, 5], True)]
    assert heard.seqs == [1, 2, 3, 4, 5]
    taken.close()


async def test_a_durable_take_returns_after_its_write_and_the_sinks_hear_only_then() -> None:
    memory, heard = Memory(), Heard()
    taken = journal(memory, heard)
    memory.gate.clear()
    taking = asyncio.ensure_future(taken.take([event()], durable=True))

    await asyncio.wait([taking], timeout=0.05)

    assert (taking.done(), heard.seqs) == (False, [])
    memory.gate.set()
    await taking
    assert (memory.writes, heard.seqs) == ([([1], True)], [1])
    taken.close()


async def test_a_take_of_nothing_waits_for_what_is_being_written() -> None:
    memory, heard = Memory(), Heard()
    taken = journal(memory, heard)
    memory.gate.clear()
    await taken.take([event()], durable=False)
    taking = asyncio.ensure_future(taken.take([], durable=True))
    await asyncio.wait([taking], timeout=0.05)

    assert not taking.done()

    memory.gate.set()
    await taking
    assert memory.writes == [([1], False)]
    taken.close()


@pytest.mark.parametrize("error", [LedgerError("disk full"), ValueError("a bug")])
async def test_the_error_of_a_write_nobody_waited_for_is_raised_by_the_next_take(error: Exception) -> None:
    memory, heard = Memory(error), Heard()
    taken = journal(memory, heard)
    await taken.take([event()], durable=False)
    await until(lambda: heard.seqs == [1])

    with pytest.raises(type(error)):
        await taken.take([event()], durable=False)

    await taken.take([event()], durable=True)
    assert heard.seqs == [1, 2, 3]
    taken.close()


async def test_what_could_not_be_written_is_written_with_what_comes_next() -> None:
    memory, heard = Memory(LedgerError("disk full"), LedgerError("disk full")), Heard()
    taken = journal(memory, heard)
    for _ in range(2):
        with pytest.raises(LedgerError):
            await taken.take([event()], durable=True)

    await taken.take([event()], durable=True)

    assert memory.writes[-1] == ([1, 2, 3], True)
    assert heard.seqs == [1, 2, 3]
    taken.close()


async def test_closing_tries_once_more_to_write_what_could_not_be_written() -> None:
    memory, heard = Memory(LedgerError("disk full")), Heard()
    taken = journal(memory, heard)
    with pytest.raises(LedgerError):
        await taken.take([event()], durable=True)

    taken.close()

    assert memory.writes[-1] == ([1], True)


async def test_closing_writes_what_still_waits() -> None:
    memory, heard = Memory(), Heard()
    taken = journal(memory, heard)
    memory.gate.clear()
    await taken.take([event()], durable=False)
    await asyncio.sleep(0)
    await taken.take([event()], durable=False)

    memory.gate.set()
    taken.close()

    assert memory.writes == [([1], False), ([2], True)]
