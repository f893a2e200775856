"""The ledger after a power cut at any moment: what was made durable is there, in order, and it is no ruin.

A real writer is traced; then its writes are done again on a disk that forgets (tests/powercut/disk.py), up to a cut.
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from etl_runner.ledger import Ledger, LedgerReader
from tests.powercut.disk import LOSSES, Disk
from tests.powercut.tracer import Said, Step, Synced, trace
from tests.support.folders import entered_by_all
from tests.support.ledgers import ROOT, plan

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ptrace and its calls are Linux's")

SHARES = 4  # of the cuts, tested side by side
RANDOM_CUTS = 120
FILES = ("ledger.db", "ledger.db-wal")


class Traced(NamedTuple):
    """Where a writer wrote, what it did, and what it left."""

    ledger: Path
    steps: list[Step]
    files: dict[Path, bytes]


@pytest.fixture(scope="module")
def traced() -> Iterator[Traced]:
    """The work of a writer; in memory where that is possible."""
    with entered_by_all() as folder:
        ledger = folder / "home" / ".etl" / "ledger.db"
        ledger.parent.parent.mkdir()
        command = [sys.executable, "-m", "tests.powercut.writer", str(ledger)]
        steps = trace(command, folder, cwd=ROOT, stdout=subprocess.DEVNULL)
        files = {path: path.read_bytes() for path in ledger.parent.iterdir() if path.name in FILES}
        yield Traced(ledger, steps, files)


def test_the_trace_is_all_that_was_done(traced: Traced) -> None:
    disk = Disk()
    for step in traced.steps:
        disk.apply(step)

    assert disk.now() == traced.files
    assert sum(isinstance(step, Synced) for step in traced.steps) > 100


@pytest.mark.parametrize("share", range(SHARES))
def test_after_a_power_cut_all_that_was_durable_is_there(traced: Traced, share: int) -> None:
    ledger, steps, _ = traced
    chance = Random(share)
    disk, told = Disk(), []
    wanted = cuts(steps, share)
    for number, step in enumerate(steps):
        if number in wanted:
            for loss in LOSSES:
                restore(ledger, disk.after_cut(loss, chance))
                check(ledger, told, f"cut before step {number}, {loss.__name__}")
        disk.apply(step)
        told += step.text.split("\n")[:-1] if isinstance(step, Said) else []


def cuts(steps: Sequence[Step], share: int) -> set[int]:
    """Right before and after syncs and promises, and some at random: this share of them."""
    near = [number + more for number, step in enumerate(steps) if isinstance(step, Synced | Said) for more in (0, 1)]
    chance = Random(1000)
    chosen = sorted({*chance.sample(near, min(RANDOM_CUTS, len(near))), *chance.sample(range(len(steps)), RANDOM_CUTS)})
    return set(chosen[share::SHARES])


def restore(ledger: Path, files: dict[Path, bytes]) -> None:
    ledger.parent.mkdir(exist_ok=True)
    for path in ledger.parent.iterdir():
        path.unlink()
    for path, content in files.items():
        path.write_bytes(content)


def check(ledger: Path, told: Sequence[str], case: str) -> None:
    """What was promised is kept, and the next run can begin."""
    promised: dict[int, int] = {}
    for line in told:
        word, run, *number = line.split()
        promised[int(run)] = int(number[0]) if word == "durable" else 0

    with Ledger.open(ledger) as writer, LedgerReader.open(ledger) as reader:
        for run, number in promised.items():
            found = [record.seq for record in reader.records(run)]
            assert reader.run(run).id == run, case
            assert found == list(range(1, len(found) + 1)), f"{case}: a hole in run {run}"
            assert len(found) >= number, f"{case}: run {run} lost what was durable"
        assert writer.begin(plan("a"), datetime.now(UTC)) > max(promised, default=0), case
    with closing(sqlite3.connect(ledger)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)], case
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == [], case
