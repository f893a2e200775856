"""Interleaved rounds of timed processes, and what they come to."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

GRACE = 20.0  # seconds for a command to end when the benchmark is stopped: a runner has jobs to stop


class BenchmarkError(Exception):
    """A measurement that cannot be trusted: what was to be timed did not work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What one process cost: wall seconds, and the largest resident set of it and its children in bytes."""

    seconds: float
    memory: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table: `ours` against `peer`, both in `unit`; the ratio is the median of the rounds' ratios."""

    what: str
    ours: float
    peer: str
    theirs: float
    ratio: float
    target: float | None = None
    unit: str = "s"

    @property
    def verdict(self) -> str:
        if self.target is None:
            return ""
        return "ok" if self.ratio <= self.target else "MISSED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A bench's part of the table, and what is to be known about it."""

    rows: Sequence[Row]
    notes: Sequence[str] = ()


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    stdin: Path | None = None,
    env: Mapping[str, str] = os.environ,
) -> Spent:
    """Time a process from its start to its end; raises BenchmarkError if it does not exit with 0."""
    with open(stdin or os.devnull, "rb") as source:  # noqa: PTH123
        begun = time.perf_counter()
        process = subprocess.Popen(
            argv, cwd=cwd, stdin=source, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=env
        )
        with stopped_with_us(process):
            assert process.stderr
            said = process.stderr.read()
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - begun
            process.returncode = os.waitstatus_to_exitcode(status)
        process.stderr.close()
    check_ended(process, said)
    return Spent(seconds=seconds, memory=usage.ru_maxrss * 1024)


def piped(first: Sequence[str | Path], second: Sequence[str | Path], *, env: Mapping[str, str]) -> Spent:
    """Time two processes, the second reading what the first writes, until both have ended with 0."""
    begun = time.perf_counter()
    writer = subprocess.Popen(first, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
    with writer, stopped_with_us(writer):
        reader = subprocess.Popen(
            second, stdin=writer.stdout, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=env
        )
        with reader, stopped_with_us(reader):
            assert writer.stdout and writer.stderr and reader.stderr
            writer.stdout.close()
            said = [process.stderr.read() for process in (reader, writer) if process.stderr]
            reader.wait()
            writer.wait()
            seconds = time.perf_counter() - begun
    for process, words in zip((reader, writer), said, strict=True):
        check_ended(process, words)
    return Spent(seconds=seconds)


@contextlib.contextmanager
def stopped_with_us(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Nothing goes on when the benchmark is stopped: the process is told to end, and killed if it does not."""
    try:
        yield
    except BaseException:
        process.terminate()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        raise


def check_ended(process: subprocess.Popen[bytes], said: bytes) -> None:
    """Raise BenchmarkError with what a process said if it did not end with 0."""
    if process.returncode:
        words = " ".join(map(str, process.args if isinstance(process.args, Sequence) else [process.args]))
        raise BenchmarkError(f"{words}: exit {process.returncode}\n{said.decode(errors='replace')[-1000:]}")


class Rounds:
    """Runs every case once per round, each round beginning with another case, after one round that does not count."""

    def __init__(self, cases: Mapping[str, Callable[[], Spent]], *, rounds: int) -> None:
        names = list(cases)
        for name in names:
            cases[name]()
        self.spent: dict[str, list[Spent]] = {name: [] for name in names}
        for number in range(rounds):
            for name in names[number % len(names) :] + names[: number % len(names)]:
                self.spent[name].append(cases[name]())

    def seconds(self, name: str) -> float:
        return median(spent.seconds for spent in self.spent[name])

    def memory(self, name: str) -> int:
        return max(spent.memory for spent in self.spent[name])

    def ratio(self, ours: str, peer: str) -> float:
        pairs = zip(self.spent[ours], self.spent[peer], strict=True)
        return median(mine.seconds / theirs.seconds for mine, theirs in pairs)

    def row(self, what: str, ours: str, peer: str, *, target: float | None = None) -> Row:
        return Row(
            what=what,
            ours=self.seconds(ours),
            peer=peer,
            theirs=self.seconds(peer),
            ratio=self.ratio(ours, peer),
            target=target,
        )
