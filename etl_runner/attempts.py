"""The attempts of a run that are going on, each in a task of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Protocol

from etl_runner.control import Control
from etl_runner.events import AttemptExited, AttemptReported, AttemptStarted
from etl_runner.inbox import Inbox
from etl_runner.model import Metric, Order
from etl_runner.scheduler import Launch, Stop


class Executor(Protocol):
    """Runs one attempt somewhere. Returns when its process tree is gone; failing to start is an outcome too."""

    async def run(self, order: Order, control: Control) -> AttemptExited: ...


class Attempts:
    """Launches attempts and stops them; that they started and how they ended comes into `inbox`.

    `order` says what is to be run for a launch. `before_retry` clears up what earlier attempts of an order may have
    left elsewhere. `reported` and `output` are told what comes from a job while it runs.
    """

    def __init__(
        self,
        executor: Executor,
        *,
        inbox: Inbox,
        order: Callable[[Launch], Order],
        before_retry: Callable[[Order], Awaitable[None]] | None,
        reported: Callable[[AttemptReported], None],
        output: Callable[[str, bytes], None],
    ) -> None:
        self._executor = executor
        self._inbox = inbox
        self._order = order
        self._before_retry = before_retry
        self._reported = reported
        self._output = output
        self._live: dict[tuple[str, int], tuple[Control, asyncio.Task[None]]] = {}

    def launch(self, launch: Launch) -> None:
        """Start the attempt; returns at once."""
        control = Control(
            started=lambda pid: self._inbox.put(AttemptStarted(job=launch.job, attempt=launch.attempt, pid=pid)),
            reported=partial(self._report, launch),
            output=partial(self._output, launch.job),
        )
        task = asyncio.get_running_loop().create_task(self._run(launch, control))
        task.add_done_callback(self._look_for_a_bug)
        self._live[launch.job, launch.attempt] = control, task

    def stop(self, stop: Stop) -> None:
        """Ask for the end of the attempt, if it is still going on."""
        if live := self._live.get((stop.job, stop.attempt)):
            live[0].stop(force=stop.force)

    async def abandon(self) -> None:
        """On the way out of a bug: leave no process behind."""
        tasks = [task for _, task in self._live.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, launch: Launch, control: Control) -> None:
        order = self._order(launch)
        if self._before_retry and launch.attempt > 1:
            await self._before_retry(order)
        exited = await self._executor.run(order, control)
        self._live.pop((launch.job, launch.attempt))
        self._inbox.put(exited)

    def _look_for_a_bug(self, task: asyncio.Task[None]) -> None:
        """An attempt that raises is one nobody would hear of again: the run ends with the error, not never."""
        if not task.cancelled() and (error := task.exception()):
            self._inbox.fail(error)

    def _report(self, launch: Launch, metrics: Mapping[str, Metric]) -> None:
        self._reported(AttemptReported(job=launch.job, attempt=launch.attempt, metrics=dict(metrics)))
