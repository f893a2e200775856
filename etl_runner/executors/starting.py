"""Why a process could not be started, in words that name the culprit."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from etl_runner.events import AttemptExited
from etl_runner.model import Order


def never_started(order: Order, why: str) -> AttemptExited:
    """The end of an attempt that did not begin."""
    return AttemptExited(job=order.job, attempt=order.attempt, seconds=0.0, error=why)


def folder_trouble(order: Order, number: int) -> str:
    """The job's folder (`cwd`) cannot be entered."""
    if number == errno.ENOENT:
        return f"no such folder to run in: {order.cwd!r} (cwd)"
    if number == errno.ENOTDIR:
        return f"not a folder to run in: {order.cwd!r} (cwd)"
    return f"cannot run in {order.cwd!r} (cwd): {os.strerror(number)}"


def program_trouble(order: Order, number: int) -> str:
    """The job's program cannot be executed (execve(2))."""
    program = order.argv[0]
    is_path = os.sep in program
    if number == errno.ENOENT and is_path and Path(order.cwd, program).exists():
        return f"the interpreter named in the first line of {program!r} does not exist"
    if number == errno.ENOENT:
        return f"no such file: {program!r}" if is_path else f"no such program: {program!r} (not in PATH)"
    if number == errno.EACCES:
        return f"not allowed to run {program!r}: is it executable?"
    return f"cannot start {program!r}: {os.strerror(number)}"


def other_trouble(order: Order, why: str) -> str:
    """Anything else, such as a NUL byte in an argument."""
    return f"cannot start {order.argv[0]!r}: {why}"
