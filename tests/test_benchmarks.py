"""The benchmarks' harness: what it would call a result is one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.__main__ import table
from benchmarks.commands import ROOT
from benchmarks.measure import BenchmarkError, Rounds, Row, Spent, run
from benchmarks.shape import CLEANUP, FINAL, PRE, TABLE, TABLES, best_makespan, simple_bound


def makespan_of_list(*, workers: int, pre_at: int) -> float:
    """The shape run by a list: the tables, with `pre` as the one number `pre_at`; each takes the first free worker."""
    free = [0.0] * workers
    pre_end = tables_end = 0.0
    for place in range(TABLES + 1):
        worker = free.index(min(free))
        free[worker] += PRE if place == pre_at else TABLE
        if place == pre_at:
            pre_end = free[worker]
        else:
            tables_end = max(tables_end, free[worker])
    return max(pre_end, tables_end + CLEANUP) + FINAL


@pytest.mark.parametrize("workers", [3, 4, 5, 6, 7, 10, 20])
def test_the_best_schedule_is_no_worse_than_any_list_and_no_better_than_the_bound(workers: int) -> None:
    lists = [makespan_of_list(workers=workers, pre_at=place) for place in range(TABLES + 1)]

    best = best_makespan(workers)

    assert simple_bound(workers) - 1e-9 <= best <= min(lists) + 1e-9


def test_the_best_schedules_of_the_documented_worker_counts() -> None:
    assert [round(best_makespan(workers), 3) for workers in (3, 5, 10)] == [2.3, 1.45, 0.85]


def test_rounds_interleave_and_compare_what_ran_beside_each_other() -> None:
    order: list[str] = []
    seconds = {"ours": iter([9.0, 1.0, 2.0, 30.0]), "peer": iter([9.0, 1.0, 1.0, 10.0])}

    def case(name: str) -> Spent:
        order.append(name)
        return Spent(seconds=next(seconds[name]))

    rounds = Rounds({name: lambda name=name: case(name) for name in seconds}, rounds=3)  # type: ignore[misc]

    assert order == ["ours", "peer", "ours", "peer", "peer", "ours", "ours", "peer"]
    assert rounds.ratio("ours", "peer") == 2.0
    assert (rounds.seconds("ours"), rounds.seconds("peer")) == (2.0, 1.0)


def test_a_command_that_fails_is_no_measurement() -> None:
    with pytest.raises(BenchmarkError, match="exit 3"):
        run([sys.executable, "-c", "raise SystemExit(3)"])


def test_memory_is_the_process_s_own_peak() -> None:
    # from a process as small as the benchmarks': the kernel's figure starts from what the one that forks has
    code = "import sys; from benchmarks.measure import run; print(run([sys.executable, '-c', sys.argv[1]]).memory)"
    words = [sys.executable, "-c", code, "x = b'x' * 50_000_000"]

    memory = int(subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout)

    assert 50_000_000 < memory < 150_000_000


def test_the_table_shows_ratio_target_and_verdict() -> None:
    rows = [
        Row(what="a", ours=1.5, peer="p", theirs=0.01, ratio=1.5, target=2.0),
        Row(what="b", ours=1.5, peer="p", theirs=0.01, ratio=2.5, target=2.0),
        Row(what="c", ours=0.0005, peer="p", theirs=0.01, ratio=0.05),
    ]

    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table(rows).splitlines()]

    assert lines[2:] == [
        ["a", "1.50 s", "p", "10 ms", "1.50", "≤ 2", "ok"],
        ["b", "1.50 s", "p", "10 ms", "2.50", "≤ 2", "MISSED"],
        ["c", "0.5 ms", "p", "10 ms", "0.05", "", ""],
    ]
