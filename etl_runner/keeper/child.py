"""Between fork and exec: the process becomes the job."""

from __future__ import annotations

import errno
import os
import resource
from typing import Any, NoReturn

from etl_runner.keeper import kernel


def become(order: dict[str, Any], *, output: int, failure: int, shim: int) -> NoReturn:
    """Turn this freshly forked process into the job; what goes wrong is written to `failure`, which closes on exec."""
    try:
        os.setsid()
        kernel.die_with_parent(shim)
        _connect(output)
        kernel.reset_signals()
        kernel.offer_to_oom_killer()
        _limit(order.get("memory"))
        _change_folder(order["cwd"], failure)
        env = {os.fsencode(name): os.fsencode(value) for name, value in order["env"].items()}
        argv = [os.fsencode(word) for word in order["argv"]]
        os.execvpe(argv[0], argv, env)
    except OSError as error:
        _fail(failure, f"exec {error.errno}")
    except ValueError as error:
        _fail(failure, f"value {error}")
    os._exit(127)


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
    if memory:
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))


def _fail(failure: int, text: str) -> NoReturn:
    os.write(failure, text.encode("utf-8", "replace"))
    os._exit(127)
