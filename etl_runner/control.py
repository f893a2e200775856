"""The line between the runner and one attempt: news come up, stop requests go down."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from etl_runner.model import Metric

STOPPED_BEFORE = "stopped before it started"  # the error of an attempt for which the stop came first


class Control:
    """What an executor gets with an order.

    `started(pid)`, `reported(metrics)` and `output(chunk)` are the executor's to call; it names with `on_stop` what is
    to be done when the attempt shall end: `handler(force)` is called at once if a stop was asked for before.
    """

    def __init__(
        self,
        *,
        started: Callable[[int], None],
        reported: Callable[[Mapping[str, Metric]], None],
        output: Callable[[bytes], None],
    ) -> None:
        self.started = started
        self.reported = reported
        self.output = output
        self.stop_requested = False
        self._force = False
        self._handler: Callable[[bool], None] | None = None

    def on_stop(self, handler: Callable[[bool], None]) -> None:
        """Name what ends the attempt: `handler(False)` within its grace, `handler(True)` at once."""
        self._handler = handler
        if self.stop_requested:
            handler(self._force)

    def stop(self, *, force: bool) -> None:
        """Ask for the attempt's end; a second call may only make it more urgent."""
        self.stop_requested = True
        self._force = self._force or force
        if self._handler:
            self._handler(self._force)
