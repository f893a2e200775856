"""What is played inside a namespace: a run, and what happens to it. Each scene says what was seen."""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Any

from tests.faults.place import Place, keeper, kill, processes, shims, until, wait_for_nobody

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
    """The keeper sees the end of both in the same moment."""
    (above,) = keeper(running)
    os.kill(above, signal.SIGSTOP)
    dying = shims(running)
    kill([*dying, running.pid])
    until(lambda: not set(dying) & set(processes()))
    os.kill(above, signal.SIGCONT)


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


def to_its_end(place: Place, **surroundings: Any) -> dict[str, Any]:
    """A run that nobody touches."""
    return place.seen(begin(place, **surroundings).wait(30))


def signalled(place: Place, *, number: int, goes_on: bool, **surroundings: Any) -> dict[str, Any]:
    """A run that gets a signal while its job is `up`. If it shall go on nevertheless, its job may `go` then."""
    running = begin(place, **surroundings)
    place.wait_for("up")
    if number:
        running.send_signal(number)
    if goes_on:
        place.touch("go")
    return place.seen(running.wait(30))


def begin(
    place: Place,
    *,
    ignored: Sequence[int] = (),
    blocked: Sequence[int] = (),
    files: int | None = None,
    hard: bool = False,
    env: dict[str, str] | None = None,
) -> Running:
    """A run as somebody starts it who ignores or blocks signals, or allows it few open files."""

    def prepare() -> None:
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
        if files:
            most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files if hard else most))

    return place.start(preexec_fn=prepare, **({} if env is None else {"env": env}))


def keeper_replaced(place: Place) -> dict[str, Any]:
    """The keeper and its whole group are killed while a job runs, which others wait for."""
    running = place.start()
    place.wait_for("up")
    os.killpg(*keeper(running), signal.SIGKILL)
    place.touch("go")
    return place.seen(running.wait(30))


def interrupted_early(place: Place, *, after: Sequence[float]) -> dict[str, Any]:
    """Many runs, each of which gets a Ctrl+C so many seconds after its start."""
    seen = {}
    for number, seconds in enumerate(after, 1):
        running = place.start(number=number)
        time.sleep(seconds)
        running.send_signal(signal.SIGINT)
        seen[seconds] = (running.wait(30), place.errors(number))
        wait_for_nobody()
    past = json.loads(place.ask("history", "-o", "json"))
    return {"runs": list(seen.values()), "remembered": [run["state"] for run in past["runs"]]}


def interrupted_at_birth(place: Place, *, rounds: int) -> dict[str, Any]:
    """Runs that get a Ctrl+C in the moment they have a number, when nobody handles it yet."""
    statuses = []
    for number in range(1, rounds + 1):
        running = place.start(number=number)
        lock = place.folder / ".etl" / "runs" / str(number) / "lock"
        limit = time.monotonic() + 30
        while not lock.exists() and time.monotonic() < limit:
            pass
        running.send_signal(signal.SIGINT)
        statuses.append(running.wait(30))
    past = json.loads(place.ask("history", "-o", "json"))
    return {"statuses": statuses, "remembered": [run["state"] for run in past["runs"]]}


def frozen(place: Place, *, killed: bool) -> dict[str, Any]:
    """The runner is stopped; its job ends meanwhile. Then the runner goes on, or is killed."""
    running = place.start()
    place.wait_for("up")
    running.send_signal(signal.SIGSTOP)
    place.touch("go")
    until(lambda: not jobs(running))
    running.send_signal(signal.SIGKILL if killed else signal.SIGCONT)
    return {**place.seen(running.wait(30)), "results": results(place)}


def killed(place: Place) -> dict[str, Any]:
    """The runner is killed while its job runs."""
    running = place.start()
    place.wait_for("up")
    running.kill()
    return {**place.seen(running.wait(30)), "results": results(place)}


def shim_killed_without_keeper(place: Place) -> dict[str, Any]:
    """The keeper is killed, then the shim of one of two jobs: the one whose number is in the file `up`."""
    running = place.start()
    place.wait_for("up", "beside")
    above = shims(running)
    kill(keeper(running))
    kill([pid for pid in above if pid == int((place.folder / "up").read_text())])
    until(lambda: place.told("attempt_exited"))
    place.touch("go")
    return place.seen(running.wait(30))


def supervisors_told(place: Place, *, numbers: Sequence[int]) -> dict[str, Any]:
    """Somebody sends signals to keeper and shims."""
    running = place.start()
    place.wait_for("up")
    for pid in (*keeper(running), *shims(running)):
        for number in numbers:
            os.kill(pid, number)
    place.touch("go")
    return place.seen(running.wait(30))


def keeper_late(place: Place) -> dict[str, Any]:
    """The keeper is stopped, and cannot end when the run does. Is the runner there as long as the keeper is?"""
    running = place.start()
    place.wait_for("up")
    (above,) = keeper(running)
    os.kill(above, signal.SIGSTOP)
    place.touch("go")
    until(lambda: place.told("run_finished"))
    pidfd = os.pidfd_open(running.pid)
    ended, _, _ = select.select([pidfd], [], [], 0.5)
    os.kill(above, signal.SIGCONT)
    return {**place.seen(running.wait(30)), "too_early": bool(ended)}


def again_and_again(place: Place, *, rounds: int) -> dict[str, Any]:
    """Runs, one after the other. Who is there in the moment after each."""
    seen = []
    for number in range(rounds):
        running = place.start(number=number)
        pidfd = os.pidfd_open(running.pid)
        select.select([pidfd], [], [])
        seen.append((list(processes().values()), running.wait()))
        os.close(pidfd)
    return {"rounds": seen}


def results(place: Place) -> dict[str, Any]:
    """What supervisors wrote down of the first run."""
    folder = place.folder / ".etl" / "runs" / "1" / "results"
    return {path.name: json.loads(path.read_text())["ended"] for path in folder.glob("*")}


def jobs(running: Running) -> list[int]:
    """Everybody but the runner and its supervisors."""
    supervisors = {running.pid, *keeper(running), *shims(running)}
    return [pid for pid in processes() if pid not in supervisors]


def started_again(place: Place) -> dict[str, Any]:
    """The runner is killed, and started again: while its job is still being stopped, and when that is over."""
    first = place.start()
    place.wait_for("up")
    first.kill()
    first.wait()
    second = place.start(number=2).wait(30)
    busy = bool(jobs(first))
    wait_for_nobody()
    third = place.start(number=3).wait(30)
    seen = place.seen(third, run=2, number=3)
    return {**seen, "second": second, "said": place.errors(2), "busy": busy, "first": place.seen(-9)["run"]}


def two_at_once(place: Place, *, rounds: int) -> dict[str, Any]:
    """Two runs are started at the same moment, again and again. The statuses of each pair."""
    pairs = []
    for number in range(rounds):
        both = [place.start(number=2 * number + which) for which in (1, 2)]
        pairs.append(sorted(running.wait(30) for running in both))
    return {"pairs": pairs}


SCENES: dict[str, Callable[..., dict[str, Any]]] = {
    "ended by": ended_by,
    "to its end": to_its_end,
    "signalled": signalled,
    "keeper replaced": keeper_replaced,
    "interrupted early": interrupted_early,
    "interrupted at birth": interrupted_at_birth,
    "shim killed without keeper": shim_killed_without_keeper,
    "supervisors told": supervisors_told,
    "keeper late": keeper_late,
    "again and again": again_and_again,
    "frozen": frozen,
    "killed": killed,
    "started again": started_again,
    "two at once": two_at_once,
}
