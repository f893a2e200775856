"""The signals that end a run."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    import asyncio  # `--help` needs this module, and not that one

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def hold_signals() -> None:
    """Keep the signals waiting until `handled_signals` takes them: none is lost, none ends us half-way."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


class Interrupted(BaseException):
    """A signal asked for the end while there was nothing to end gracefully yet."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def interrupting_signals() -> Iterator[None]:
    """Let the signals raise Interrupted, so that what was begun is undone on the way out; afterwards they are held.

    An exception that a finalizer has swallowed is raised at the end.
    """
    asked: list[int] = []

    def interrupt(number: int, frame: object) -> NoReturn:  # noqa: ARG001
        asked.append(number)
        raise Interrupted(number)

    with _handler(interrupt):
        try:
            yield
        finally:
            hold_signals()
    if asked:
        raise Interrupted(asked[0])


@contextmanager
def noted_signals() -> Iterator[list[int]]:
    """Note the signals and go on: for loops that look at the list, and raise Interrupted where it is safe."""
    asked: list[int] = []
    with _handler(lambda number, _: asked.append(number)):
        yield asked


@contextmanager
def _handler(act: Callable[[int, object], None]) -> Iterator[None]:
    """Handle the signals, but for those that our parent ignores."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, act)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def handled_signals(loop: asyncio.AbstractEventLoop, handler: Callable[[int], None]) -> Iterator[None]:
    """Have the loop call `handler(number)` for each of them; held ones arrive now.

    One that our parent had ignored stays so for us (nohup, a shell's `&`). It gets a handler of ours all the same:
    an ignored signal would stay ignored in the jobs, a handled one is reset when they are executed (execve(2)).
    """
    for number in SIGNALS:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)
        else:
            loop.add_signal_handler(number, handler, int(number))
    before = signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for number in SIGNALS:
            loop.remove_signal_handler(number)


def die_of(number: int) -> NoReturn:
    """End this process by a signal, as its parent expects (a shell loop stops); PID 1 cannot, and exits 128+n."""
    signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)
    os._exit(128 + number)
