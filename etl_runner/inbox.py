"""What happened and the runner has not looked at yet."""

from __future__ import annotations

import asyncio

from etl_runner.events import DeadlinePassed, Stimulus


class Inbox:
    """Stimuli in the order in which they came. Whoever has one puts it in; the runner takes all there are."""

    def __init__(self) -> None:
        self._arrived: list[Stimulus] = []
        self._wake = asyncio.Event()
        self._bug: BaseException | None = None

    def put(self, stimulus: Stimulus) -> None:
        self._arrived.append(stimulus)
        self._wake.set()

    def fail(self, bug: BaseException) -> None:
        """Have `take` raise this, now or the next time; the first one counts."""
        self._bug = self._bug or bug
        self._wake.set()

    async def take(self, *, deadline: float | None) -> list[Stimulus]:
        """Wait for something to happen, or for `deadline` on the loop's clock: DeadlinePassed stands last, then."""
        loop = asyncio.get_running_loop()
        timer = loop.call_at(deadline, self._wake.set) if deadline is not None else None
        await self._wake.wait()
        self._wake.clear()
        if timer:
            timer.cancel()
        if self._bug:
            raise self._bug
        arrived, self._arrived = self._arrived, []
        if deadline is not None and loop.time() >= deadline:
            arrived.append(DeadlinePassed())
        return arrived
