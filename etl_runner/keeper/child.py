"""Between fork and exec: the process becomes the job."""

from __future__ import annotations

import errno
import os
import resource

from etl_runner.keeper import kernel
from etl_runner.keeper.cgroup import Group
from etl_runner.keeper.warm import Stock, run_module

TYPE_CHECKING = False  # as typing's, which takes a megabyte and 3 ms to import
if TYPE_CHECKING:
    from typing import Any, NoReturn


def become(
    order: dict[str, Any], *, output: int, failure: int, shim: int, warm: Stock | None, group: Group | None
) -> NoReturn:
    """Turn this freshly forked process into the job; what goes wrong is written to `failure`, which closes on exec.

    With `warm` nothing is executed: the job starts from the modules that are imported here.
    """
    try:
        os.setsid()
        kernel.die_with_parent(shim)
        if group:
            group.enter()
        _connect(output)
        kernel.reset_signals()
        kernel.offer_to_oom_killer(os.getpid())
        _limit(order.get("memory"))
        _change_folder(order["cwd"], failure)
        if warm:
            _start_warm(order, warm)
        env = {os.fsencode(name): os.fsencode(value) for name, value in order["env"].items()}
        argv = [os.fsencode(word) for word in order["argv"]]
        os.execvpe(argv[0], argv, env)
    except OSError as error:
        _fail(failure, f"exec {error.errno}")
    except ValueError as error:
        _fail(failure, f"value {error}")
    os._exit(127)


def _start_warm(order: dict[str, Any], warm: Stock) -> NoReturn:
    """Leave all that is the supervisor's (an exec would close it, and tell the shim so), and be the module."""
    os.environ.clear()
    os.environ.update(order["env"])
    _close_all_but(warm.kept_open)
    run_module(order)


def _close_all_but(kept: set[int]) -> None:
    low = 3
    for descriptor in sorted(kept):
        os.closerange(low, descriptor)
        low = descriptor + 1
    os.closerange(low, os.sysconf("SC_OPEN_MAX"))


def _connect(output: int) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)


def _change_folder(folder: str, failure: int) -> None:
    try:
        os.chdir(folder)
    except OSError as error:
        _fail(failure, f"cwd {error.errno or errno.ENOENT}")


def _limit(memory: int | None) -> None:
    """Limit the memory of each process, where no control group can limit that of the tree (getrlimit(2))."""
    if memory:
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))


def _fail(failure: int, text: str) -> NoReturn:
    os.write(failure, text.encode("utf-8", "replace"))
    os._exit(127)
