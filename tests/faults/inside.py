"""Runs one case inside a PID namespace of its own, and prints what was seen as JSON.

usage: python -m tests.faults.inside FOLDER ACTION [ends]; "ends" says that the job's leader ends by itself. This process
is the namespace's init: what escapes becomes its child. The truth about survivors is /proc.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.cli import ETL_RUN, clean_env

PATIENCE = 30.0


def main(folder: Path, action: str, *, ends: bool) -> None:
    running = subprocess.Popen(
        [*ETL_RUN, "all", "-o", "json", "-w", "8"],
        cwd=folder,
        env=clean_env(),
        stdin=subprocess.DEVNULL,
        stdout=(folder / "events.jsonl").open("wb"),
        stderr=(folder / "errors.txt").open("wb"),
        process_group=0,
    )
    until((folder / "up").exists)
    if ends:
        until(lambda: told(folder, "job_finished"))
    ACTIONS[action](running, folder)
    status = running.wait(PATIENCE)
    survivors = wait_for_nobody()
    history = subprocess.run(
        [*ETL_RUN, "show", "1", "-o", "json"], cwd=folder, env=clean_env(), capture_output=True, text=True, check=False
    )
    print(json.dumps(seen(status, survivors, history.stdout, (folder / "errors.txt").read_text())))


def seen(status: int, survivors: list[str], shown: str, errors: str) -> dict[str, Any]:
    run = json.loads(shown)
    return {
        "status": status,
        "survivors": survivors,
        "errors": errors,
        "run": run["run"]["state"],
        "jobs": {job["job"]: job["state"] for job in run["jobs"]},
    }


def nothing(running: subprocess.Popen[bytes], folder: Path) -> None:
    """Wait: the job's own timeout acts."""


def send(*numbers: int) -> Callable[[subprocess.Popen[bytes], Path], None]:
    """Signals to the runner, the next one when the one before was recorded or had no effect within a moment."""

    def act(running: subprocess.Popen[bytes], folder: Path) -> None:
        for count, number in enumerate(numbers, 1):
            if running.poll() is not None:
                return
            running.send_signal(number)
            until(lambda count=count: told(folder, "stop_requested") >= count or running.poll() is not None)

    return act


def kill_group(running: subprocess.Popen[bytes], folder: Path) -> None:
    os.killpg(running.pid, signal.SIGKILL)


def kill_supervisors(which: str) -> Callable[[subprocess.Popen[bytes], Path], None]:
    """KILL to the keeper or to all shims."""

    def act(running: subprocess.Popen[bytes], folder: Path) -> None:
        found = [pid for pid, words in processes().items() if "keeper/__main__.py" in words]
        keeper = [pid for pid in found if parent(pid) == running.pid]
        for pid in keeper if which == "keeper" else [pid for pid in found if pid not in keeper]:
            os.kill(pid, signal.SIGKILL)

    return act


ACTIONS: dict[str, Callable[[subprocess.Popen[bytes], Path], None]] = {
    "timeout": nothing,
    "TERM": send(signal.SIGTERM),
    "INT": send(signal.SIGINT),
    "HUP": send(signal.SIGHUP),
    "INT twice": send(signal.SIGINT, signal.SIGINT),
    "TERM thrice": send(signal.SIGTERM, signal.SIGTERM, signal.SIGTERM),
    "KILL": send(signal.SIGKILL),
    "KILL of the group": kill_group,
    "KILL of the keeper": kill_supervisors("keeper"),
    "KILL of the shims": kill_supervisors("shims"),
}


def told(folder: Path, event: str) -> int:
    """How many of these events the run has printed."""
    return (folder / "events.jsonl").read_text().count(f'"{event}"')


def processes() -> dict[int, str]:
    """Everybody in this namespace but ourselves; zombies are not counted."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if entry.joinpath("stat").read_text().rsplit(")", 1)[1].split()[0] != "Z":
                found[int(entry.name)] = entry.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def wait_for_nobody() -> list[str]:
    """The command lines of those who are still there after a while; usually none."""
    limit = time.monotonic() + PATIENCE / 2
    while (left := processes()) and time.monotonic() < limit:
        time.sleep(0.02)
    return list(left.values())


def until(fact: Callable[[], object]) -> None:
    limit = time.monotonic() + PATIENCE
    while not fact():
        if time.monotonic() > limit:
            sys.exit("it did not come true")
        time.sleep(0.01)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], ends=sys.argv[3:] == ["ends"])
