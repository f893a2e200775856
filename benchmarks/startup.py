"""What it costs to say hello: `--help` and `plan` of the default pipeline against a bare interpreter."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from benchmarks.commands import BARE, ROOT, environment, etl_run
from benchmarks.measure import Result, Rounds, run

ROUNDS = 41


def bench(folder: Path, *, rounds: int | None) -> Result:
    """All three of the same interpreter; the pipeline has no past yet."""
    env = environment(ETL_HOME=str(folder / "home"))
    cases = {
        "python -c pass": partial(run, BARE, cwd=ROOT, env=env),
        "help": partial(run, etl_run("--help"), cwd=ROOT, env=env),
        "plan": partial(run, etl_run("plan"), cwd=ROOT, env=env),
    }
    measured = Rounds(cases, rounds=rounds or ROUNDS)
    return Result(
        rows=[
            measured.row("etl-run --help", "help", "python -c pass", target=5.0),
            measured.row("etl-run plan (25 jobs)", "plan", "python -c pass", target=9.0),
        ]
    )
