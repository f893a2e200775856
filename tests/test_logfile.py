"""The log of an attempt: whole within its limit, beginning and end beyond it, and never in the job's way."""

from __future__ import annotations

import asyncio
import os
import tempfile
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from etl_runner.control import Control
from etl_runner.executors.keeper import KeeperExecutor
from etl_runner.executors.local import LocalExecutor
from etl_runner.executors.logfile import LogFile
from etl_runner.executors.pipe import QUIET_SECONDS, OutputPipe
from etl_runner.masking import Masker
from etl_runner.model import Order


def written(folder: Path, chunks: list[bytes], *, limit: int) -> tuple[bytes, bool]:
    """What is in the file after these chunks, and whether it is flagged."""
    log = LogFile(str(folder / "a.log"), limit=limit)
    for chunk in chunks:
        log.write(chunk)
    log.close()
    if not any(chunks):
        assert list(folder.iterdir()) == []
        return b"", log.truncated
    assert [path.name for path in folder.iterdir()] == ["a.log"]
    return (folder / "a.log").read_bytes(), log.truncated


def new_order(folder: Path, script: str) -> Order:
    return Order(
        run=1,
        job="a",
        attempt=1,
        argv=("sh", "-c", script),
        cwd=str(folder),
        env=dict(os.environ),
        log=str(folder / "a.log"),
        output=str(folder / "a.jsonl"),
        result=str(folder / "result"),
        grace=1.0,
    )


@given(st.lists(st.integers(0, 90), max_size=40), st.integers(1, 300))
def test_of_a_long_log_the_first_and_the_last_half_of_the_limit_are_kept(sizes: list[int], limit: int) -> None:
    text = b"".join(b"%05d" % n for n in range(1000))[: sum(sizes)]
    ends = [sum(sizes[:n]) for n in range(len(sizes) + 1)]
    chunks = [text[a:b] for a, b in pairwise(ends)]
    with tempfile.TemporaryDirectory() as folder:
        kept, truncated = written(Path(folder), chunks, limit=limit)

    over = len(text) - limit
    if over <= 0:
        assert (kept, truncated) == (text, False)
        return
    count = "1 byte" if over == 1 else f"{over:,} bytes"
    line = f"\netl-run: {count} left out here, over the limit of {limit} B (log_limit)\n".encode()
    assert (kept, truncated) == (text[: limit // 2] + line + text[len(text) - (limit - limit // 2) :], True)


def test_the_file_is_made_when_there_is_something_to_be_written_or_it_is_wanted(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.log"
    log = LogFile(str(path))

    seen = [path.parent.exists(), path.exists()]
    log.make()
    seen.append(path.exists())

    assert seen == [True, False, True]
    log.close()


@pytest.mark.parametrize("supervised", [True, False])
@pytest.mark.parametrize(("script", "is_there"), [("true", False), ("echo", True), ("exit 3", True), ("kill $$", True)])
async def test_only_what_failed_has_a_log_without_a_word(
    tmp_path: Path, script: str, is_there: bool, supervised: bool
) -> None:
    executor = KeeperExecutor(trouble=tmp_path / "trouble") if supervised else LocalExecutor()
    order = new_order(tmp_path, script)
    control = Control(started=lambda pid: None, reported=lambda metrics: None, output=lambda chunk: None)

    await executor.run(order, control)

    assert Path(order.log).exists() == is_there
    if isinstance(executor, KeeperExecutor):
        executor.close()


def test_without_a_limit_everything_is_kept(tmp_path: Path) -> None:
    assert written(tmp_path, [b"x" * 1000] * 50, limit=0) == (b"x" * 50_000, False)


def test_until_it_is_closed_a_log_over_its_limit_says_that_its_end_is_to_come(tmp_path: Path) -> None:
    log = LogFile(str(tmp_path / "a.log"), limit=10)
    for _ in range(9):
        log.write(b"abc\n")

    meanwhile = (tmp_path / "a.log").read_text()
    log.close()

    assert (
        meanwhile == "abc\nabc\nab\netl-run: the log is over its limit of 10 B: its end follows when the job is over\n"
    )


def test_what_collects_the_end_stays_small(tmp_path: Path) -> None:
    log = LogFile(str(tmp_path / "a.log"), limit=1000)
    for _ in range(1000):
        log.write(b"x" * 700)

    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    log.close()

    assert max(sizes.values()) < 1200
    assert set(sizes) == {"a.log", "a.log.end-0", "a.log.end-1"}


def test_where_the_end_cannot_be_collected_the_beginning_stays(tmp_path: Path) -> None:
    (tmp_path / "a.log.end-0").mkdir()
    log = LogFile(str(tmp_path / "a.log"), limit=10)

    for _ in range(9):
        log.write(b"abc\n")
    log.close()

    assert log.truncated
    assert (tmp_path / "a.log").read_bytes().startswith(b"abc\nabc\nab\netl-run:")


@pytest.mark.parametrize("path", ["/dev/full", "/proc/nowhere/a.log", "/dev/null/a.log"])
def test_a_log_that_cannot_be_written_is_flagged(path: str) -> None:
    log = LogFile(path, limit=10)
    for _ in range(9):
        log.write(b"abc\n")
    log.close()

    assert log.truncated


async def test_what_is_held_back_by_the_mask_comes_after_a_moment_of_quiet_and_at_the_end() -> None:
    told: list[bytes] = []
    more = asyncio.Event()
    pipe = OutputPipe(told.append, lambda chunk: more.set(), masker=Masker(["hunter2"]))

    async def write(data: bytes) -> None:
        more.clear()
        os.write(pipe.write_end, data)
        await asyncio.wait_for(more.wait(), QUIET_SECONDS * 50)

    await write(b"say h")
    assert told == [b"say "]
    more.clear()
    await asyncio.wait_for(more.wait(), QUIET_SECONDS * 50)
    assert told == [b"say ", b"h"]
    await write(b"unter2, hunt")
    assert told[2:] == [b"***, "]
    pipe.close_write_end()
    pipe.drain()

    assert told[3:] == [b"hunt"]


@pytest.mark.parametrize("kind", ["local", "keeper"])
async def test_both_executors_mask_and_limit_what_is_logged(tmp_path: Path, kind: str) -> None:
    masker = Masker(["hunter2"])
    executor = (
        LocalExecutor(masker=masker) if kind == "local" else KeeperExecutor(trouble=tmp_path / "trouble", masker=masker)
    )
    order = replace(new_order(tmp_path, "yes hunter2 | head -c 80000"), log_limit=1000)
    other = replace(order, argv=("no-hunter2",), log=str(tmp_path / "b.log"))
    said: list[bytes] = []
    control = Control(started=lambda pid: None, reported=lambda metrics: None, output=said.append)

    exited = await executor.run(order, control)
    await executor.run(other, control)
    if isinstance(executor, KeeperExecutor):
        executor.close()

    assert exited.log_truncated
    assert (
        Path(order.log)
        .read_bytes()
        .startswith(b"***\n" * 125 + b"\netl-run: 39,000 bytes left out here, over the limit of 1.0 kB")
    )
    assert b"".join(said) == b"***\n" * 10_000
    assert Path(other.log).read_text() == "etl-run: no such program: 'no-***' (not in PATH)\n"


async def test_without_secrets_chunks_pass_as_they_are() -> None:
    told: list[bytes] = []
    pipe = OutputPipe(told.append, masker=Masker())
    chunk = os.urandom(5000)

    os.write(pipe.write_end, chunk)
    pipe.close_write_end()
    pipe.drain()

    assert told == [chunk]
