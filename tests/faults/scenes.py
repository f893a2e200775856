"""What is played inside a namespace: a run, and what happens to it. Each scene says what was seen."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from typing import Any

from tests.faults.place import Place, keeper, kill, shims, until

Running = subprocess.Popen[bytes]
Act = Callable[[Place, Running], None]


def ended_by(place: Place, *, action: str, ends: bool = False) -> dict[str, Any]:
    """A run whose job is `up` is ended. `ends`: the job's leader ends by itself before that."""
    running = place.start()
    place.wait_for("up")
    if ends:
        until(lambda: place.told("job_finished"))
    ACTIONS[action](place, running)
    return place.seen(running.wait(30))


def nothing(place: Place, running: Running) -> None:
    """Wait: the job's own timeout acts."""


def send(*numbers: int) -> Act:
    """Signals to the runner, the next one when the one before was recorded or had no effect within a moment."""

    def act(place: Place, running: Running) -> None:
        for count, number in enumerate(numbers, 1):
            if running.poll() is not None:
                return
            running.send_signal(number)
            until(lambda count=count: place.told("stop_requested") >= count or running.poll() is not None)

    return act


def kill_group(place: Place, running: Running) -> None:
    os.killpg(running.pid, signal.SIGKILL)


def kill_keeper_then_term(place: Place, running: Running) -> None:
    kill(keeper(running))
    running.send_signal(signal.SIGTERM)


def kill_shims(place: Place, running: Running) -> None:
    kill(shims(running))


def kill_keeper_and_shims(place: Place, running: Running) -> None:
    kill([*keeper(running), *shims(running)])


def kill_runner_and_keeper(place: Place, running: Running) -> None:
    kill([*keeper(running), running.pid])


def kill_runner_and_shims(place: Place, running: Running) -> None:
    kill([*shims(running), running.pid])


ACTIONS: dict[str, Act] = {
    "timeout": nothing,
    "TERM": send(signal.SIGTERM),
    "INT": send(signal.SIGINT),
    "HUP": send(signal.SIGHUP),
    "INT twice": send(signal.SIGINT, signal.SIGINT),
    "TERM thrice": send(signal.SIGTERM, signal.SIGTERM, signal.SIGTERM),
    "KILL": send(signal.SIGKILL),
    "KILL of the group": kill_group,
    "KILL of the keeper, TERM": kill_keeper_then_term,
    "KILL of the shims": kill_shims,
    "KILL of keeper and shims": kill_keeper_and_shims,
    "KILL of runner and keeper": kill_runner_and_keeper,
    "KILL of runner and shims": kill_runner_and_shims,
}

SCENES: dict[str, Callable[..., dict[str, Any]]] = {
    "ended by": ended_by,
}
