"""pre ‖ 20 tables → two cleanups, then final, at 1/100 of its time, against the best schedule there can be."""

from __future__ import annotations

from functools import partial
from math import ceil
from pathlib import Path

from benchmarks.commands import BARE, environment, etl_run
from benchmarks.measure import Result, Rounds, Row, run

TABLES = 20
PRE, TABLE, CLEANUP, FINAL = 0.10, 0.30, 0.05, 0.15
WORKERS = (3, 5, 10)
ROUNDS = 5
TARGET = 1.10

PIPELINE = f"""\
[pipeline]
name = "shape"

[phases]
pre = {{}}
sub = {{}}
final = {{ needs = ["pre", "sub"] }}

[jobs.pre]
phase = "pre"
run = "sleep {PRE}"

[jobs.table]
phase = "sub"
matrix = {{ id = "0..{TABLES - 1}" }}
run = "sleep {TABLE}"

[jobs.cleanup]
phase = "sub"
needs = ["table"]
matrix = {{ id = "1..2" }}
run = "sleep {CLEANUP}"

[jobs.final]
phase = "final"
run = "sleep {FINAL}"
"""


def bench(folder: Path, *, rounds: int | None) -> Result:
    """`etl-run all -q` at every worker count; the runs before tell it how long the jobs take."""
    cases = {"bare python": partial(run, BARE, env=environment())}
    for workers in WORKERS:
        place = folder / f"workers-{workers}"
        place.mkdir()
        (place / "etl.toml").write_text(PIPELINE, encoding="utf-8")
        cases[f"{workers}"] = partial(run, etl_run("all", "-q", "-w", str(workers)), cwd=place, env=environment())
    measured = Rounds(cases, rounds=rounds or ROUNDS)
    rows, notes = [], []
    for workers in WORKERS:
        ours, start = measured.seconds(f"{workers}"), measured.seconds("bare python")
        floor = best_makespan(workers) + start
        what = f"20-table shape at 1/100, {workers} workers"
        peer = "best schedule + bare python"
        rows.append(Row(what=what, ours=ours, peer=peer, theirs=floor, ratio=ours / floor, target=TARGET))
        loose = ours / (simple_bound(workers) + start)
        notes.append(f"shape, {workers} workers: {loose:.2f} × (max(longest path, work ÷ workers) + bare python)")
    return Result(rows=rows, notes=notes)


def simple_bound(workers: int) -> float:
    """No schedule beats the longest path, nor all the work evenly spread."""
    work = PRE + TABLES * TABLE + 2 * CLEANUP
    return max(TABLE + CLEANUP, work / workers) + FINAL


def best_makespan(workers: int) -> float:
    """The fastest schedule possible, for three workers or more.

    The tables are alike, so all that can be chosen is how many of them share a worker with `pre`, and whether it goes
    before or after them. The cleanups start when the last table ends and find two workers free of `pre`.
    """
    return FINAL + min(
        max(max(beside, own + first) + CLEANUP, own + PRE)
        for tables in range(TABLES + 1)
        for own in [tables * TABLE]
        for beside in [ceil((TABLES - tables) / (workers - 1)) * TABLE]
        for first in (0.0, PRE)
    )
