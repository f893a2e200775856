"""200 jobs that do nothing but import psycopg: each a new Python, against each forked from one that has it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from benchmarks.commands import environment, etl_run
from benchmarks.measure import Result, Rounds, Row, Spent, run

JOBS = 200
WORKERS = 4
ROUNDS = 5
TARGET = 1 / 8

PIPELINE = """\
[pipeline]
name = "preload"
{preload}
[jobs.import]
run = "python -m work"
matrix = {{ id = "0..{last}" }}
"""


def bench(folder: Path, *, rounds: int | None) -> Result:
    """The whole command with its own start, and the price of one job."""
    cases = {
        f"{name}, {jobs}": _case(folder / f"{name}-{jobs}", jobs=jobs, preload=name == "warm")
        for name in ("warm", "cold")
        for jobs in (JOBS, 1)
    }
    measured = Rounds(cases, rounds=rounds or ROUNDS)
    whole = measured.row(f"{JOBS} × import psycopg, preloaded", f"warm, {JOBS}", f"cold, {JOBS}", target=TARGET)
    return Result(rows=[whole, _slope(measured)])


def _case(folder: Path, *, jobs: int, preload: bool) -> partial[Spent]:
    folder.mkdir()
    text = PIPELINE.format(last=jobs - 1, preload='preload = ["psycopg"]' if preload else "")
    (folder / "etl.toml").write_text(text, encoding="utf-8")
    (folder / "work.py").write_text("import psycopg\n", encoding="utf-8")
    return partial(run, etl_run("all", "-q", "-w", str(WORKERS)), cwd=folder, env=environment())


def _slope(measured: Rounds) -> Row:
    """Seconds per job without the command's own start and the one import ahead of all."""
    names = (f"warm, {JOBS}", "warm, 1", f"cold, {JOBS}", "cold, 1")
    rounds = list(zip(*(measured.spent[name] for name in names), strict=True))
    pairs = [((many.seconds - one.seconds), (cold.seconds - single.seconds)) for many, one, cold, single in rounds]
    ratios = sorted(warm / cold for warm, cold in pairs)
    return Row(
        what="one more such job",
        ours=(measured.seconds(names[0]) - measured.seconds(names[1])) / (JOBS - 1),
        peer="without preload",
        theirs=(measured.seconds(names[2]) - measured.seconds(names[3])) / (JOBS - 1),
        ratio=ratios[len(ratios) // 2],
    )
