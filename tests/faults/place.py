"""The inside of a PID namespace: runs of etl-run, what they say, and who else is there. The truth is /proc."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.support.cli import ETL_RUN, clean_env

PATIENCE = 30.0


class Place:
    """A project folder in a namespace where this process is init: what escapes becomes its child."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(self, *words: str, number: int = 1, **settings: Any) -> subprocess.Popen[bytes]:
        """`etl-run all` in a group of its own; what it prints goes to `events.NUMBER` and `errors.NUMBER`."""
        with (self.folder / f"events.{number}").open("wb") as out, (self.folder / f"errors.{number}").open("wb") as err:
            return subprocess.Popen(
                [*ETL_RUN, "all", "-o", "json", "-w", "8", *words],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                process_group=0,
                **{"env": clean_env(), **settings},
            )

    def events(self, number: int = 1) -> list[dict[str, Any]]:
        """What a run has printed so far."""
        lines = (self.folder / f"events.{number}").read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def told(self, event: str, number: int = 1) -> int:
        """How many of these events the run has printed."""
        return sum(said["event"] == event for said in self.events(number))

    def errors(self, number: int = 1) -> str:
        return (self.folder / f"errors.{number}").read_text()

    def wait_for(self, *names: str) -> None:
        """Wait for files that jobs touch."""
        until(lambda: all((self.folder / name).exists() for name in names))

    def touch(self, name: str) -> None:
        (self.folder / name).touch()

    def seen(self, status: int, *, run: int = 1, number: int = 1) -> dict[str, Any]:
        """How a run ended, in its own words and in the ledger's."""
        wait_for_nobody()
        shown = json.loads(self.ask("show", str(run), "-o", "json"))
        return {
            "status": status,
            "errors": self.errors(number),
            "run": shown["run"]["state"],
            "jobs": {job["job"]: job["state"] for job in shown["jobs"]},
        }

    def ask(self, *words: str) -> str:
        """What a command of etl-run answers."""
        command = [*ETL_RUN, *words]
        asked = subprocess.run(command, cwd=self.folder, env=clean_env(), capture_output=True, text=True, check=False)
        return asked.stdout


def keeper(running: subprocess.Popen[bytes]) -> list[int]:
    return [pid for pid in supervisors() if parent(pid) == running.pid]


def shims(running: subprocess.Popen[bytes]) -> list[int]:
    return [pid for pid in supervisors() if parent(pid) != running.pid]


def supervisors() -> list[int]:
    return [pid for pid, words in processes().items() if "keeper/__main__.py" in words]


def kill(pids: Sequence[int]) -> None:
    """KILL them all at once: none has the time to see another one's end."""
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            os.kill(pid, number)


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
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return -1


def wait_for_nobody(patience: float = PATIENCE / 2) -> list[str]:
    """The command lines of those who are still there after a while; usually none."""
    limit = time.monotonic() + patience
    while (left := processes()) and time.monotonic() < limit:
        time.sleep(0.01)
    return list(left.values())


def until(fact: Callable[[], object]) -> None:
    limit = time.monotonic() + PATIENCE
    while not fact():
        if time.monotonic() > limit:
            sys.exit("it did not come true")
        time.sleep(0.01)
