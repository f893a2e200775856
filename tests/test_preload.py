"""Preloading: `python -m …` jobs that start from an interpreter with their modules imported."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from etl_runner.control import Control
from etl_runner.environment import base_environment
from etl_runner.events import AttemptExited
from etl_runner.executors.keeper import KeeperExecutor
from etl_runner.model import Order

WHO = """
import json, os, sys
print(json.dumps({
    "argv": sys.argv[1:], "name": __name__, "cwd": os.getcwd(), "path0": sys.path[0], "env": os.environ["ETL_JOB"],
    "sid": os.getsid(0) == os.getpid(), "fds": sorted(os.listdir("/proc/self/fd"))[:-1],
    "stock": "stock" in sys.modules,
    "exec": open("/proc/self/cmdline").read().split("\\0")[1:3] == ["-m", "work"], "path": sys.path,
}))
"""


class Bench:
    """A project folder with modules, and an executor that preloads some."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._executors: list[KeeperExecutor] = []
        self.write("stock", "")

    def write(self, module: str, code: str) -> Path:
        path = self.folder / f"{module}.py"
        path.write_text(code)
        return path

    def executor(self, *preload: str) -> KeeperExecutor:
        executor = KeeperExecutor(
            trouble=self.folder / "trouble", preload=preload, root=str(self.folder), env=base_environment(os.environ)
        )
        self._executors.append(executor)
        return executor

    def order(self, *argv: str, **env: str) -> Order:
        return Order(
            run=1, job="j", attempt=1, argv=argv, cwd=str(self.folder), grace=5.0,
            env={**base_environment(os.environ), "ETL_JOB": "j", **env},
            log=str(self.folder / "log"), output=str(self.folder / "out"), result=str(self.folder / "result"),
        )  # fmt: skip

    async def run(self, executor: KeeperExecutor, *argv: str, **env: str) -> AttemptExited:
        (self.folder / "log").unlink(missing_ok=True)
        control = Control(started=lambda pid: None, reported=lambda metrics: None, output=lambda chunk: None)
        return await executor.run(self.order(*argv, **env), control)

    @property
    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""

    def close(self) -> None:
        for executor in self._executors:
            executor.close()


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()
    trouble = tmp_path / "trouble"
    assert not trouble.exists() or trouble.read_text() == ""


async def test_a_module_runs_as_by_python_m_but_without_a_new_python(bench: Bench) -> None:
    bench.write("work", WHO)
    cold = await bench.run(bench.executor(), "python", "-m", "work", "a", "b c")
    seen_cold = eval(bench.log.replace("true", "True").replace("false", "False"))

    warm = await bench.run(bench.executor("stock"), "python", "-m", "work", "a", "b c")

    seen_warm = eval(bench.log.replace("true", "True").replace("false", "False"))
    assert (cold.exit, warm.exit, warm.warnings) == (0, 0, ())
    assert (seen_cold.pop("exec"), seen_warm.pop("exec")) == (True, False)
    assert (seen_cold.pop("stock"), seen_warm.pop("stock")) == (False, True)
    assert seen_warm == seen_cold


@pytest.mark.parametrize(
    ("code", "exit_", "signal_", "said"),
    [
        ("import sys; sys.exit(7)", 7, None, ""),
        ("import sys; sys.exit('no luck')", 1, None, "no luck\n"),
        ("raise ValueError('oops')", 1, None, "ValueError: oops\n"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", None, 15, ""),
        ("import atexit; atexit.register(print, 'tidied')", 0, None, "tidied\n"),
        ("import threading; threading.Timer(0.05, print, ['late']).start()", 0, None, "late\n"),
        ("import os; os._exit(9)", 9, None, ""),
        ("print('x' * 5, end='')", 0, None, "xxxxx"),
    ],
)
@pytest.mark.parametrize("preload", [(), ("stock",)], ids=["cold", "warm"])
async def test_it_ends_as_any_python_does(
    bench: Bench, preload: tuple[str, ...], code: str, exit_: int | None, signal_: int | None, said: str
) -> None:
    bench.write("work", code)

    ended = await bench.run(bench.executor(*preload), "python", "-m", "work")

    assert (ended.exit, ended.signal) == (exit_, signal_)
    assert bench.log.endswith(said)


async def test_jobs_do_not_see_what_others_did_to_their_modules(bench: Bench) -> None:
    bench.write("work", "import stock; print(getattr(stock, 'mark', None)); stock.mark = 1")
    executor = bench.executor("stock")

    logs = []
    for _ in range(3):
        await bench.run(executor, "python", "-m", "work")
        logs.append(bench.log)

    assert logs == ["None\n"] * 3


async def test_random_numbers_differ_between_jobs(bench: Bench) -> None:
    bench.write("work", "import random; print(random.random())")
    executor = bench.executor("random")

    logs = set()
    for _ in range(3):
        await bench.run(executor, "python", "-m", "work")
        logs.add(bench.log)

    assert len(logs) == 3


@pytest.mark.parametrize(
    "argv",
    [("python", "work.py"), ("python", "-c", "import sys; print('stock' in sys.modules)"), ("/usr/bin/env", "true")],
)
async def test_other_commands_start_as_ever(bench: Bench, argv: tuple[str, ...]) -> None:
    bench.write("work", "import sys; print('stock' in sys.modules)")

    ended = await bench.run(bench.executor("stock"), *argv)

    assert (ended.exit, bench.log) in [(0, "False\n"), (0, "")]


async def test_another_python_environment_starts_as_ever(bench: Bench) -> None:
    bench.write("work", "import sys; print('stock' in sys.modules, sys.flags.dev_mode)")

    await bench.run(bench.executor("stock"), "python", "-m", "work", PYTHONDEVMODE="1")

    assert bench.log.startswith("False True")


async def test_a_module_that_starts_a_thread_is_refused_by_name_and_the_rest_is_preloaded(bench: Bench) -> None:
    bench.write("threaded", "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()")
    bench.write("work", "import sys; print('stock' in sys.modules, 'threaded' in sys.modules)")
    executor = bench.executor("threaded", "stock")

    first = await bench.run(executor, "python", "-m", "work")
    second = await bench.run(executor, "python", "-m", "work")

    assert bench.log == "True False\n"
    assert first.warnings == ("not preloaded: threaded starts a thread when it is imported",)
    assert second.warnings == ()


async def test_a_module_that_cannot_be_imported_is_named_and_the_job_runs(bench: Bench) -> None:
    bench.write("work", "print('ran')")

    ended = await bench.run(bench.executor("nowhere"), "python", "-m", "work")

    assert (ended.exit, bench.log) == (0, "ran\n")
    assert ended.warnings == (
        "not preloaded: nowhere cannot be imported: ModuleNotFoundError: No module named 'nowhere'",
    )


async def test_a_change_on_disk_is_noticed_and_the_next_jobs_have_it(bench: Bench) -> None:
    bench.write("work", "import stock; print(stock.VERSION)")
    stock = bench.write("stock", "VERSION = 1")
    executor = bench.executor("stock")
    await bench.run(executor, "python", "-m", "work")
    stock.write_text("VERSION = 'two'")

    changed = await bench.run(executor, "python", "-m", "work")
    said = bench.log
    after = await bench.run(executor, "python", "-m", "work")

    assert (said, bench.log) == ("two\n", "two\n")
    assert changed.warnings == ("not preloaded: stock has changed on disk since it was imported",)
    assert after.warnings == ()


async def test_a_warm_job_is_stopped_like_any_other(bench: Bench) -> None:
    bench.write(
        "work",
        "import subprocess, time\nsubprocess.Popen(['sleep', '77'], start_new_session=True)\n"
        "print('up')\ntime.sleep(60)",
    )
    started: asyncio.Event = asyncio.Event()
    control = Control(started=lambda pid: None, reported=lambda metrics: None, output=lambda chunk: started.set())
    task = asyncio.create_task(bench.executor("stock").run(bench.order("python", "-m", "work"), control))
    await started.wait()

    control.stop(force=False)
    ended = await task

    assert (ended.signal, ended.left_behind) == (15, 1)


async def test_cpu_seconds_and_peak_memory_are_measured(bench: Bench) -> None:
    code = (
        "import subprocess, sys; subprocess.run([sys.executable, '-c', 'x = bytearray(200 << 20); sum(range(10**7))'])"
    )

    ended = await bench.run(bench.executor(), sys.executable, "-c", code)

    assert ended.cpu_seconds is not None
    assert ended.peak_memory is not None
    assert ended.cpu_seconds > 0.1
    assert 200 << 20 < ended.peak_memory < 300 << 20


def test_an_executor_that_ran_nothing_can_be_closed(tmp_path: Path) -> None:
    executor: Callable[[], None] = KeeperExecutor(trouble=tmp_path / "trouble").close

    executor()
