"""Runs attempts under a keeper of process trees (etl_runner.keeper): nothing survives, whatever a job starts. Linux.

One shim is used per attempt, and used again for the next when the kernel said that its tree is gone.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from etl_runner import keeper
from etl_runner.control import STOPPED_BEFORE, Control
from etl_runner.events import AttemptExited
from etl_runner.executors.groups import Groups
from etl_runner.executors.lifeline import Shim
from etl_runner.executors.logfile import LogFile
from etl_runner.executors.orphans import Orphans
from etl_runner.executors.output import REPORT_SECONDS, OutputTail
from etl_runner.executors.pipe import OutputPipe
from etl_runner.executors.starting import folder_trouble, never_started, other_trouble, program_trouble
from etl_runner.executors.supervision import Supervision
from etl_runner.masking import Masker
from etl_runner.model import Order
from etl_runner.ticks import every

PROGRAM = str(Path(keeper.__file__).with_name("__main__.py"))


class KeeperExecutor:
    """Starts each order through a shim; stdin is /dev/null, stdout and stderr go to the order's log file.

    `locks` are descriptors of flocks: the keeper and its shims hold them too, so that they live as long as the last
    process tree. `trouble` is the file for what a supervisor says when it breaks. With `preload`, orders of the form
    `python -m …` start from an interpreter that has these modules imported; `root` is the folder of the project's own,
    `env` the environment to import them in. What `masker` hides is in no log. `groups` is where trees
    get control groups, if they have limits. To be closed at the end.
    """

    def __init__(
        self,
        *,
        trouble: Path,
        locks: Sequence[int] = (),
        preload: Sequence[str] = (),
        root: str = "/",
        env: Mapping[str, str] | None = None,
        masker: Masker | None = None,
        groups: Groups | None = None,
    ) -> None:
        ours: dict[str, Any] = {"locks": locks, "orphans": Orphans(), "trouble": trouble}
        self._cold = Supervision([sys.executable, "-I", "-S", PROGRAM], **ours)
        self._warm = None
        self._python = _python_settings(env or {})
        if preload:
            command = [sys.executable, PROGRAM]
            self._warm = Supervision(command, words=[root, *preload], env=env, **ours)
        self._masker = masker or Masker()
        self._groups = groups
        self._numbers = count(1)

    async def run(self, order: Order, control: Control) -> AttemptExited:
        """Run one attempt to its end: when this returns, its whole process tree is gone and its log complete.

        Every failure to start is an `AttemptExited` with `error`; one whose shim was killed is `lost`.
        """
        if control.stop_requested:
            return never_started(order, STOPPED_BEFORE)
        log = LogFile(order.log, limit=order.log_limit)
        tail = OutputTail(order.output)
        try:
            with every(REPORT_SECONDS, lambda: tail.poll() and control.reported(tail.metrics)):
                message = await self._supervised(order, control, log)
        finally:
            await log.finish()
        tail.finish()
        return _exited(order, message, log, tail)

    async def _supervised(self, order: Order, control: Control, log: LogFile) -> dict[str, Any]:
        """The last word about one attempt, its shim's or ours; why it could not start stands in the log, too."""
        try:
            message = await self._last_word(order, control, log)
        except OSError as error:
            message = {"failed": f"exec {error.errno}"}
        if "failed" in message:
            why = self._masker.text(_why(order, message["failed"]))
            log.write(f"etl-run: {why}\n".encode("utf-8", "backslashreplace"))
        if message.get("ended", {}).get("exit") != 0:
            log.make()  # of a failure the log is named, and may be looked at
        return message

    async def _last_word(self, order: Order, control: Control, log: LogFile) -> dict[str, Any]:
        """The shim's last word about one attempt. Raises OSError if there cannot be a shim."""
        supervision = self._warm if self._warm and self._can_start_warm(order) else self._cold
        pipe = OutputPipe(log.write, control.output, masker=self._masker)
        shim: Shim | None = None
        try:
            try:
                shim = supervision.shim()
                words = {"id": next(self._numbers), "warm": supervision is self._warm, **self._limits(order)}
                if not self._masker:  # what comes when we are gone: nobody hides anything in it
                    words |= {"log": order.log, "log_limit": order.log_limit}
                last = shim.begin(words, order, control, (pipe.write_end, pipe.read_end))
            finally:
                pipe.close_write_end()
            message = await last
            if "lost" in message:
                await supervision.settle(shim)
        except asyncio.CancelledError:
            if shim:
                shim.close()
            raise
        finally:
            pipe.drain()
        supervision.take_back(shim)
        return message

    def _limits(self, order: Order) -> dict[str, Any]:
        """How the shim is to limit the tree: by a control group, else the memory of each process."""
        if order.memory is None and order.pids is None:
            return {}
        can = self._groups.controllers if self._groups else frozenset()
        group = {
            "parent": str(self._groups.folder) if self._groups else "",
            "memory": order.memory if "memory" in can else None,
            "pids": order.pids if "pids" in can else None,
        }
        missing = order.pids is not None and "pids" not in can
        return {
            "group": group if group["memory"] or group["pids"] else None,
            "memory": order.memory if "memory" not in can else None,
            "notes": ["pids is not limited: no control group with that controller can be made here"] * missing,
        }

    def _can_start_warm(self, order: Order) -> bool:
        """Whether it is `python -m …` with our own Python, in an environment that means the same to it."""
        is_module = len(order.argv) > 2 and order.argv[1] == "-m"
        return is_module and _is_our_python(order) and _python_settings(order.env) == self._python

    def prepare(self) -> None:
        """Begin to start what most attempts will need, while the caller does something else."""
        (self._warm or self._cold).prepare()

    def close(self) -> None:
        """End the supervisors, and wait until they have let go of the locks."""
        for supervision in (self._cold, self._warm):
            if supervision:
                supervision.close()
        if self._groups:
            self._groups.close()


def _is_our_python(order: Order) -> bool:
    if order.argv[0] in ("python", "python3"):
        return order.env.get("PATH", "").split(os.pathsep)[0] == str(Path(sys.executable).parent)
    return order.argv[0] == sys.executable


def _python_settings(env: Mapping[str, str]) -> dict[str, str]:
    """The variables that an interpreter reads at its start, but for the one that says what ours does anyway."""
    return {name: env[name] for name in env if name.startswith("PYTHON") and name != "PYTHONUNBUFFERED"}


def _exited(order: Order, message: dict[str, Any], log: LogFile, tail: OutputTail) -> AttemptExited:
    if "failed" in message:
        return never_started(order, _why(order, message["failed"]))
    ended = message.get("ended", {})
    warnings = [*message.get("notes", ()), *tail.warnings]
    if ended.get("out_of_memory"):
        warnings.append(f"killed: the job needed more than its memory of {order.memory} bytes")
    if ended.get("unkillable"):
        warnings.append(f"could not be killed: processes {', '.join(map(str, ended['unkillable']))}")
    return AttemptExited(
        job=order.job,
        attempt=order.attempt,
        seconds=round(ended.get("seconds", 0.0), 4),
        exit=ended.get("exit"),
        signal=ended.get("signal"),
        error="its supervisor was killed: nobody saw its end" if "lost" in message else "",
        lost="lost" in message,
        cpu_seconds=round(ended["cpu_seconds"], 3) if ended else None,
        peak_memory=ended.get("peak_memory"),
        left_behind=ended.get("left", 0),
        metrics=tail.metrics,
        log_truncated=log.truncated,
        warnings=tuple(warnings),
    )


def _why(order: Order, failure: str) -> str:
    """The shim's `exec ERRNO`, `cwd ERRNO`, `fork ERRNO` or `value WHY`, in words."""
    kind, _, detail = failure.partition(" ")
    match kind:
        case "exec":
            return program_trouble(order, int(detail))
        case "cwd":
            return folder_trouble(order, int(detail))
        case "fork":
            return other_trouble(order, os.strerror(int(detail)))
        case _:
            return other_trouble(order, detail)
