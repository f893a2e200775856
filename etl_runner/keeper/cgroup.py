"""A control group of one attempt, for limits that hold for a whole process tree (cgroups(7), version 2)."""

from __future__ import annotations

import os

from etl_runner.keeper import kernel


class Group:
    """A group below `parent`, with its limits set. Raises OSError if there cannot be one."""

    def __init__(self, parent: str, *, memory: int | None, pids: int | None) -> None:
        self._path = os.path.join(parent, f"attempt-{os.getpid()}")
        os.mkdir(self._path)
        try:
            if memory is not None:
                self._write("memory.max", str(memory))
                self._try_to_write("memory.swap.max", "0")  # not where there is no swap
                self._write("memory.oom.group", "1")
            if pids is not None:
                self._write("pids.max", str(pids))
        except OSError:
            os.rmdir(self._path)
            raise

    def enter(self) -> None:
        """Move this (single-threaded) process into the group; its children are born there."""
        self._write("cgroup.procs", "0")

    def kill(self) -> None:
        """Kill everybody in the group at once; kernels before 5.14 cannot, and the sweep does it alone."""
        self._try_to_write("cgroup.kill", "1")

    def remove(self) -> tuple[int | None, bool]:
        """Take the empty group away; its peak memory in bytes, where known, and whether it ran out of memory."""
        peak = self._read("memory.peak")
        events = dict(line.split() for line in self._read("memory.events").splitlines())
        try:
            os.rmdir(self._path)
        except OSError:
            pass  # somebody in it could not be killed
        return (int(peak) if peak else None), int(events.get("oom_kill", "0")) > 0

    def _write(self, name: str, text: str) -> None:
        kernel.write(f"{self._path}/{name}", text.encode())

    def _try_to_write(self, name: str, text: str) -> None:
        try:
            self._write(name, text)
        except OSError:
            pass

    def _read(self, name: str) -> str:
        try:
            return kernel.read(f"{self._path}/{name}").decode().strip()
        except OSError:
            return ""
