"""Jobs that start from an interpreter which has their modules imported: `python -m pkg.mod …` without a new Python.

The process is forked like any other job, with the same session, limits, environment and output; only the exec is left
out. What was imported must not have started a thread (fork(2) copies one thread alone), and must still be on disk as it
was imported.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # as typing's, which takes a megabyte and 3 ms to import
if TYPE_CHECKING:
    from typing import Any, NoReturn


class NotPreloadableError(Exception):
    """A module cannot be preloaded; the text says which and why."""


class Stock:
    """Modules imported ahead of time, and how their files looked then. Raises NotPreloadableError."""

    def __init__(self, modules: list[str]) -> None:
        import runpy  # noqa: F401 - for `run_module`: once, not in every job
        import signal  # noqa: F401

        before = _descriptors()
        for name in modules:
            _import(name)
        self.kept_open = _descriptors() - before
        self._files = {module: stamp for module in list(sys.modules) if (stamp := _stamp(module))}

    def changed(self) -> str | None:
        """The name of a module whose file is not any more what was imported."""
        return next((module for module, stamp in self._files.items() if _stamp(module) != stamp), None)


def run_module(order: dict[str, Any]) -> NoReturn:
    """Be `python -m MODULE ARGS`, with this interpreter's modules; `os.environ`, folder and files are set already."""
    import runpy
    import signal

    module, *arguments = order["argv"][2:]
    sys.argv = [module, *arguments]
    sys.path[0] = order["cwd"]
    _be_an_ordinary_interpreter()
    code = 1
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as ended:
        code = _exit_status(ended)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:  # as the interpreter itself does with what nobody caught
        sys.excepthook(*sys.exc_info())
    _leave(code)


def _be_an_ordinary_interpreter() -> None:
    """What Python does at its start and the supervisor has undone: signals, streams, garbage collection."""
    import gc
    import io
    import signal

    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_IGN)
    at_once = bool(os.environ.get("PYTHONUNBUFFERED"))
    for name, descriptor in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        raw = io.FileIO(descriptor, "r" if descriptor == 0 else "w", closefd=False)
        buffer: Any = io.BufferedReader(raw) if descriptor == 0 else raw if at_once else io.BufferedWriter(raw)
        errors = "backslashreplace" if name == "stderr" else "strict"
        lines = name == "stderr"
        stream = io.TextIOWrapper(buffer, "utf-8", errors, write_through=at_once, line_buffering=lines)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    gc.enable()


def _leave(code: int) -> NoReturn:
    """End as an interpreter does: threads first, then what was registered, then the streams (exit status 120)."""
    import atexit
    import threading

    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        code = code or 120
    os._exit(code)


def _exit_status(ended: SystemExit) -> int:
    if ended.code is None:
        return 0
    if isinstance(ended.code, int):
        return ended.code & 0xFF
    print(ended.code, file=sys.stderr)
    return 1


def _import(name: str) -> None:
    try:
        __import__(name)
    except Exception as error:  # a module may raise anything; without it the job starts like any other
        raise NotPreloadableError(f"{name} cannot be imported: {type(error).__name__}: {error}") from error
    if len(os.listdir("/proc/self/task")) > 1:
        raise NotPreloadableError(f"{name} starts a thread when it is imported")


def _descriptors() -> set[int]:
    return {number for number in map(int, os.listdir("/proc/self/fd")) if _is_open(number)}


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:  # the one the listing itself was read from
        return False
    return True


def _stamp(name: str) -> tuple[int, int] | None:
    module = sys.modules.get(name)
    path = module.__dict__.get("__file__") if isinstance(module, type(sys)) else None
    if not path:
        return None
    try:
        status = os.stat(path)
    except OSError:
        return (0, 0)
    return status.st_mtime_ns, status.st_size
