"""Both executors of this machine, with real processes."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import pytest

from etl_runner.control import Control
from etl_runner.events import AttemptExited
from etl_runner.executors.keeper import KeeperExecutor
from etl_runner.executors.local import LocalExecutor
from etl_runner.model import Metric, Order


class Told:
    """A control that keeps what it is told."""

    def __init__(self) -> None:
        self.pid: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.reports: list[Mapping[str, Metric]] = []
        self.chunks: list[bytes] = []
        self.said = asyncio.Event()
        self.control = Control(
            started=self.pid.set_result,
            reported=lambda metrics: self.reports.append(dict(metrics)),
            output=self._output,
        )

    def _output(self, chunk: bytes) -> None:
        self.chunks.append(chunk)
        self.said.set()


def order(folder: Path, *argv: str, grace: float = 5.0, cwd: str | None = None, log: str | None = None) -> Order:
    return Order(
        run=1,
        job="j",
        attempt=1,
        argv=argv,
        cwd=cwd or str(folder),
        env={**os.environ, "ETL_OUTPUT": str(folder / "out.jsonl")},
        log=log or str(folder / "j.1.log"),
        output=str(folder / "out.jsonl"),
        result=str(folder / "result.json"),
        grace=grace,
    )


def sh(folder: Path, script: str, **settings: object) -> Order:
    return order(folder, "/bin/sh", "-c", script, **settings)  # type: ignore[arg-type]


Run = Callable[..., Awaitable[AttemptExited]]


@pytest.fixture(params=["local", "keeper"])
async def run(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Run]:
    """Runs an order with either executor."""
    executor = LocalExecutor() if request.param == "local" else KeeperExecutor(trouble=tmp_path / "trouble")
    yield lambda order, told=None: executor.run(order, (told or Told()).control)
    if isinstance(executor, KeeperExecutor):
        executor.close()
        assert not (tmp_path / "trouble").exists() or (tmp_path / "trouble").read_text() == ""


def is_alive(pid: int) -> bool:
    """Whether a process (not a zombie) has this number."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def gone(pid: int) -> None:
    """Wait for a process that was killed: the kernel ends it when it gets to it."""
    async with asyncio.timeout(20):
        while is_alive(pid):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("script", "exit_", "signal_"),
    [("exit 0", 0, None), ("exit 7", 7, None), ("kill -KILL $$", None, 9), ("kill -TERM $$", None, 15)],
)
async def test_the_end_of_a_process_is_its_exit_status_or_its_signal(
    run: Run, tmp_path: Path, script: str, exit_: int | None, signal_: int | None
) -> None:
    exited = await run(sh(tmp_path, script))

    assert (exited.exit, exited.signal, exited.error) == (exit_, signal_, "")


async def test_stdout_and_stderr_go_to_the_log_in_the_order_written(run: Run, tmp_path: Path) -> None:
    await run(sh(tmp_path, "echo one; echo two >&2; printf three"))

    assert (tmp_path / "j.1.log").read_bytes() == b"one\ntwo\nthree"


@pytest.mark.parametrize(
    "payload",
    [b"x" * 70_000, b"y" * 10_000_000, bytes(range(256)) * 1000, b"\xff\xfe\x00\x1b[31m\r" * 9],
    ids=["65 KiB line", "10 MB without newline", "binary", "escapes"],
)
async def test_any_bytes_arrive_in_the_log_unchanged(run: Run, tmp_path: Path, payload: bytes) -> None:
    (tmp_path / "payload").write_bytes(payload)

    exited = await run(sh(tmp_path, "cat payload"))

    assert (exited.exit, (tmp_path / "j.1.log").read_bytes()) == (0, payload)


async def test_a_job_reads_nothing_from_stdin(run: Run, tmp_path: Path) -> None:
    exited = await run(sh(tmp_path, 'test -z "$(cat)"'))

    assert exited.exit == 0


async def test_a_job_has_a_session_of_its_own(run: Run, tmp_path: Path) -> None:
    told = Told()

    await run(order(tmp_path, sys.executable, "-c", "import os; print(os.getsid(0))"), told)

    assert int(b"".join(told.chunks)) == await told.pid != os.getsid(0)


async def test_a_job_inherits_no_open_files(run: Run, tmp_path: Path) -> None:
    told = Told()
    opened = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(opened, True)
    try:
        await run(order(tmp_path, "ls", "/proc/self/fd"), told)
    finally:
        os.close(opened)

    assert b"".join(told.chunks).split() == [b"0", b"1", b"2", b"3"]  # 3 is the folder that ls reads


async def test_stopping_sends_term_to_the_whole_group(run: Run, tmp_path: Path) -> None:
    told = Told()
    task = asyncio.create_task(run(sh(tmp_path, "sleep 60 & echo $!; wait"), told))
    await told.said.wait()

    told.control.stop(force=False)
    exited = await task

    assert exited.signal == 15
    await gone(int(b"".join(told.chunks)))


async def test_who_ignores_term_is_killed_after_the_grace(run: Run, tmp_path: Path) -> None:
    told = Told()
    task = asyncio.create_task(run(sh(tmp_path, "trap '' TERM; echo; while :; do sleep 1; done", grace=0.2), told))
    await told.said.wait()

    told.control.stop(force=False)
    exited = await task

    assert exited.signal == 9
    assert exited.seconds < 20


async def test_a_forced_stop_does_not_wait_for_the_grace(run: Run, tmp_path: Path) -> None:
    told = Told()
    task = asyncio.create_task(run(sh(tmp_path, "trap '' TERM; echo; while :; do sleep 1; done", grace=90), told))
    await told.said.wait()

    told.control.stop(force=False)
    told.control.stop(force=True)
    exited = await task

    assert exited.signal == 9


async def test_a_process_that_stopped_itself_hears_term(run: Run, tmp_path: Path) -> None:
    told = Told()
    script = "trap 'exit 3' TERM; echo; kill -STOP $$; sleep 60"
    task = asyncio.create_task(run(sh(tmp_path, script, grace=90), told))
    await told.said.wait()

    told.control.stop(force=False)
    exited = await task

    assert exited.exit == 3


async def test_what_the_leader_leaves_in_its_group_is_killed(run: Run, tmp_path: Path) -> None:
    told = Told()

    exited = await run(sh(tmp_path, "sleep 60 & echo $!"), told)

    assert exited.exit == 0
    await gone(int(b"".join(told.chunks)))


async def test_a_stop_before_the_start_starts_nothing(run: Run, tmp_path: Path) -> None:
    told = Told()
    told.control.stop(force=False)

    exited = await run(sh(tmp_path, "touch ran"), told)

    assert exited.error == "stopped before it started"
    assert not (tmp_path / "ran").exists()


def unstartable(folder: Path, kind: str) -> tuple[Sequence[str], str | None, str]:
    script = folder / "script"
    match kind:
        case "missing":
            return ["no-such-program"], None, "no such program: 'no-such-program' (not in PATH)"
        case "missing path":
            return ["./nope"], None, "no such file: './nope'"
        case "not executable":
            script.write_text("#!/bin/sh\n")
            return [str(script)], None, f"not allowed to run '{script}'"
        case "folder":
            (folder / "sub").mkdir()
            return [str(folder / "sub")], None, f"not allowed to run '{folder / 'sub'}'"
        case "bad shebang":
            script.write_text("#!/no/such/interpreter\n")
            script.chmod(0o755)
            return [str(script)], None, "the interpreter named in the first line of"
        case "exec format":
            script.write_bytes(b"\x7fELFnot really")
            script.chmod(0o755)
            return [str(script)], None, f"cannot start '{script}': Exec format error"
        case "argv too big":
            return ["/bin/echo", "x" * 3_000_000], None, "cannot start '/bin/echo': Argument list too long"
        case "NUL":
            return ["/bin/echo", "a\0b"], None, "cannot start '/bin/echo': embedded null byte"
        case _:
            return ["/bin/true"], str(folder / "nowhere"), f"no such folder to run in: '{folder / 'nowhere'}'"


@pytest.mark.parametrize(
    "kind",
    [
        "missing", "missing path", "not executable", "folder", "bad shebang", "exec format", "argv too big", "NUL",
        "cwd",
    ],
)  # fmt: skip
async def test_what_cannot_start_says_why_in_event_and_log(run: Run, tmp_path: Path, kind: str) -> None:
    argv, cwd, message = unstartable(tmp_path, kind)

    exited = await run(order(tmp_path, *argv, cwd=cwd))

    assert (exited.exit, exited.signal) == (None, None)
    assert exited.error.startswith(message)
    assert message in (tmp_path / "j.1.log").read_text()


@pytest.mark.parametrize("log", ["/dev/full", "/proc/nowhere/x.log"])
async def test_a_log_that_cannot_be_written_does_not_stop_the_job(run: Run, tmp_path: Path, log: str) -> None:
    exited = await run(sh(tmp_path, "head -c 300000 /dev/zero && touch ran", log=log))

    assert (exited.exit, exited.log_truncated, (tmp_path / "ran").exists()) == (0, True, True)


async def test_metrics_come_from_the_output_file_and_the_last_value_wins(run: Run, tmp_path: Path) -> None:
    lines = ['{"rows": 1, "of": 9}', '{"rows": 2, "note": "a b", "list": [1]}', "seconds=1.5", "name=x y"]
    (tmp_path / "lines").write_text("\n".join(lines))  # the last line has no end: it counts too

    exited = await run(sh(tmp_path, 'cat lines > "$ETL_OUTPUT"'))

    assert exited.metrics == {"rows": 2, "of": 9, "note": "a b", "seconds": 1.5, "name": "x y"}
    assert exited.warnings == ()


async def test_a_malformed_report_is_a_warning_that_shows_it(run: Run, tmp_path: Path) -> None:
    exited = await run(sh(tmp_path, "printf '%s\\n' '{\"rows\": 3}' '{oops' > \"$ETL_OUTPUT\""))

    assert exited.metrics == {"rows": 3}
    assert exited.warnings == ("ETL_OUTPUT has a line that is neither a JSON object nor key=value: '{oops'",)


async def test_a_line_that_is_nested_without_end_is_a_warning(run: Run, tmp_path: Path) -> None:
    (tmp_path / "lines").write_text('{"a":' + "[" * 200_000 + '\n{"rows": 1}\n')

    exited = await run(sh(tmp_path, 'cat lines > "$ETL_OUTPUT"'))

    assert (exited.metrics, len(exited.warnings)) == ({"rows": 1}, 1)


async def test_metrics_are_told_while_the_job_runs(run: Run, tmp_path: Path) -> None:
    told = Told()
    go_on = tmp_path / "go-on"
    script = f'echo rows=1 > "$ETL_OUTPUT"; while [ ! -e {go_on} ]; do sleep 0.02; done'
    task = asyncio.create_task(run(sh(tmp_path, script), told))
    async with asyncio.timeout(20):
        while not told.reports:
            await asyncio.sleep(0.02)

    go_on.touch()
    await task

    assert told.reports == [{"rows": 1}]


async def test_nothing_stays_open_after_many_attempts(run: Run, tmp_path: Path) -> None:
    await run(sh(tmp_path, "echo warm"))
    before = len(os.listdir("/proc/self/fd"))

    for script in ["echo x", "exit 1", "sleep 60 & echo", "kill -9 $$"] * 5:
        await run(sh(tmp_path, script))
    await run(order(tmp_path, "no-such-program"))

    assert len(os.listdir("/proc/self/fd")) == before


async def test_memory_is_limited(tmp_path: Path) -> None:
    executor = KeeperExecutor(trouble=tmp_path / "trouble")
    limited = msgspec.structs.replace(
        order(tmp_path, sys.executable, "-c", "x = bytearray(300 << 20); print('got', 'it')"), memory=100 << 20
    )

    exited = await executor.run(limited, Told().control)

    executor.close()
    assert exited.exit != 0
    assert b"got it" not in (tmp_path / "j.1.log").read_bytes()
