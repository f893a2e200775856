"""Something done again and again while something else goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def every(seconds: float, act: Callable[[], object]) -> Iterator[None]:
    """Call `act` each `seconds` from the running loop, until the block is left."""
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle | None = None

    def tick() -> None:
        nonlocal timer
        timer = loop.call_later(seconds, tick)
        act()

    timer = loop.call_later(seconds, tick)
    try:
        yield
    finally:
        timer.cancel()
