"""The usual job: a program, and nothing to do for it between fork and exec.

So posix_spawn(3) can start it, which copies no page of the shim: fork and exec from Python are three times the work.
"""

from __future__ import annotations

import errno
import os

from etl_runner.keeper import kernel

TYPE_CHECKING = False  # as typing's, which takes a megabyte and 3 ms to import
if TYPE_CHECKING:
    from typing import Any

_NO_PROCESS = (errno.EAGAIN, errno.ENOMEM)
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR)


class StartError(Exception):
    """The job could not be executed; the text is `exec ERRNO`, `cwd ERRNO` or `value WHY`."""


def spawn(order: dict[str, Any], output: int) -> int:
    """Execute the job in a session of its own, with usual signals, and give its process number.

    Stdin is /dev/null, stdout and stderr are `output`; all else that is open here closes on exec (PEP 446).
    Raises StartError, or OSError if there can be no further process.
    """
    try:
        os.chdir(order["cwd"])
    except OSError as error:
        raise StartError(f"cwd {error.errno or errno.ENOENT}") from error
    try:
        leader = _executed(order["argv"], order["env"], output)
    except ValueError as error:
        raise StartError(f"value {error}") from error
    finally:
        os.chdir("/")  # a shim without a job keeps no folder busy
    kernel.offer_to_oom_killer(leader)
    return leader


def _executed(argv: list[str], env: dict[str, str], output: int) -> int:
    trouble = errno.ENOENT
    for path in _candidates(argv[0], env):
        try:
            return os.posix_spawn(
                path,
                argv,
                env,
                file_actions=(
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, output, 1),
                    (os.POSIX_SPAWN_DUP2, output, 2),
                ),
                setsid=True,
                setsigmask=(),
                setsigdef=kernel.ORDINARY,
            )
        except OSError as error:
            if error.errno in _NO_PROCESS:
                raise
            if trouble in _NOT_THERE:  # what is there and cannot be executed says more than what is not there
                trouble = error.errno or errno.ENOENT
    raise StartError(f"exec {trouble}")


def _candidates(program: str, env: dict[str, str]) -> list[str]:
    """Where the program may be (execvp(3)): those that can be executed, or all if none can, to learn why."""
    if "/" in program:
        return [program]
    folders = env.get("PATH", os.defpath).split(os.pathsep)
    paths = [f"{folder or '.'}/{program}" for folder in folders]
    return [path for path in paths if os.access(path, os.X_OK)] or paths
