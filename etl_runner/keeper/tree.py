"""One attempt's process tree, seen from its shim: start it, signal it, end it, account for it."""

from __future__ import annotations

import os
import resource
import time

from etl_runner.keeper import child, kernel
from etl_runner.keeper.cgroup import Group
from etl_runner.keeper.program import StartError, spawn
from etl_runner.keeper.warm import Stock

TYPE_CHECKING = False  # as typing's, which takes a megabyte and 3 ms to import
if TYPE_CHECKING:
    from typing import Any

SWEEP_SECONDS = 10.0


class Tree:
    """The leader and everything below it. Only its shim may hold one: it counts on being the tree's subreaper."""

    def __init__(self, order: dict[str, Any], output: int, warm: Stock | None = None) -> None:
        self._begun = time.monotonic()
        wanted = order.get("group")
        self._group = Group(**wanted) if wanted else None
        try:
            if warm or self._group or order.get("memory"):
                self.leader = _fork(order, output, warm, self._group)
            else:
                self.leader = spawn(order, output)
        except BaseException:
            if self._group:
                self._group.remove()
            raise

    def is_leader_over(self) -> bool:
        """Whether the leader has ended; reaps other children that have. The leader stays a zombie."""
        while True:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None:
                return False
            if ended.si_pid == self.leader:
                return True
            os.waitpid(ended.si_pid, 0)

    def signal(self, number: int) -> None:
        """Signal the leader's group; a stopped member hears it, too."""
        try:
            os.killpg(self.leader, number)
            os.killpg(self.leader, kernel.CONT)
        except (ProcessLookupError, PermissionError):
            pass

    def end(self, *, cpu_before: float) -> dict[str, Any]:
        """Kill what is left, reap all, and account for it. The leader must be over.

        `cpu_before` is what this shim's trees before used: the kernel has one sum of all.
        """
        self.signal(kernel.KILL)
        _, status, usage = os.wait4(self.leader, 0)
        code = os.waitstatus_to_exitcode(status)
        if self._group:
            self._group.kill()
        left, unkillable = _sweep()
        peak, out_of_memory = self._group.remove() if self._group else (None, False)
        return {
            "exit": code if code >= 0 else None,
            "signal": -code if code < 0 else None,
            "seconds": time.monotonic() - self._begun,
            "cpu_seconds": _cpu_seconds() - cpu_before,
            "peak_memory": peak or usage.ru_maxrss * 1024,
            "out_of_memory": out_of_memory,
            "left": left,
            "unkillable": unkillable,
        }


def _fork(order: dict[str, Any], output: int, warm: Stock | None, group: Group | None) -> int:
    """Fork and execute the job; returns its process number when it runs. Raises StartError or OSError."""
    reader, writer = os.pipe()
    shim = os.getpid()
    try:
        leader = os.fork()
    except OSError:
        os.close(reader)
        os.close(writer)
        raise
    if leader == 0:
        child.become(order, output=output, failure=writer, shim=shim, warm=warm, group=group)
    os.close(writer)
    with open(reader, "rb") as failure:
        text = failure.read().decode("utf-8", "replace")
    if text:
        os.waitpid(leader, 0)
        raise StartError(text)
    return leader


def _sweep() -> tuple[int, list[int]]:
    """Kill direct children until the kernel says that there are none; orphans become direct children.

    Returns how many were killed, and who could not be (after a while: a process in uninterruptible sleep).
    """
    killed: set[int] = set()
    limit = time.monotonic() + SWEEP_SECONDS
    pause = 0.0005
    while time.monotonic() < limit:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pause = 0.0005
        except ChildProcessError:
            return len(killed), []
        for pid in kernel.children():
            if kernel.kill(pid):
                killed.add(pid)
        time.sleep(pause)
        pause = min(pause * 2, 0.05)
    return len(killed), kernel.children()


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
