"""1,000 × /bin/true, four at a time: what starting a job costs, beside programs that do nothing else."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from benchmarks.commands import environment, etl_run, peer
from benchmarks.measure import Result, Rounds, Row, Spent, run

JOBS = 1000
WORKERS = 4
ROUNDS = 7

PIPELINE = """\
[pipeline]
name = "dispatch"

[phases]
all = {{}}

[jobs.true]
phase = "all"
run = "/bin/true"
matrix = {{ id = "0..{last}" }}
"""

PLAIN_ASYNCIO = f"""\
import asyncio

async def one(gate):
    async with gate:
        process = await asyncio.create_subprocess_exec("/bin/true", stdout=asyncio.subprocess.PIPE)
        await process.communicate()

async def main():
    gate = asyncio.Semaphore({WORKERS})
    await asyncio.gather(*(one(gate) for _ in range({JOBS})))

asyncio.run(main())
"""


def bench(folder: Path, *, rounds: int | None) -> Result:
    """The whole command with its own start, and the price of one more job."""
    ours = {"1,000 jobs": _ours(folder / "many", jobs=JOBS), "1 job": _ours(folder / "one", jobs=1)}
    peers, notes = _peers(folder)
    measured = Rounds({**ours, **peers}, rounds=rounds or ROUNDS)
    rows = [
        measured.row(
            f"{JOBS:,} × /bin/true, {WORKERS} workers", "1,000 jobs", name, target=2.0 if name == "xargs -P4" else None
        )
        for name in peers
    ]
    memory, least = (measured.memory(name) / 2**20 for name in ours)
    notes.append(f"dispatch: peak memory of the runner {memory:.0f} MiB with {JOBS:,} jobs, {least:.0f} MiB with one")
    return Result(rows=[*rows, *_slope(measured)], notes=notes)


def _ours(folder: Path, *, jobs: int) -> partial[Spent]:
    """`etl-run all -q` in its own folder, whose ledger remembers the rounds before."""
    folder.mkdir()
    (folder / "etl.toml").write_text(PIPELINE.format(last=jobs - 1), encoding="utf-8")
    return partial(run, etl_run("all", "-q", "-w", str(WORKERS)), cwd=folder, env=environment())


def _peers(folder: Path) -> tuple[dict[str, partial[Spent]], list[str]]:
    numbers, makefile = folder / "numbers", folder / "Makefile"
    numbers.write_text("".join(f"{n}\n" for n in range(JOBS)), encoding="utf-8")
    names = " ".join(f"j{n}" for n in range(JOBS))
    makefile.write_text(f".PHONY: all {names}\nall: {names}\n{names}:\n\t@/bin/true\n", encoding="utf-8")
    jobs = str(WORKERS)
    wanted = {
        "xargs -P4": ("xargs", "findutils", ["-P", jobs, "-n", "1", "/bin/true"], numbers),
        "make -j4": ("make", "make", ["-s", "-j", jobs, "-f", str(makefile)], None),
        "parallel -j4": ("parallel", "parallel", ["-j", jobs, "/bin/true"], numbers),
    }
    peers, notes = {}, []
    env = environment(TMPDIR=str(folder))  # some leave files there when they are stopped
    for title, (program, package, words, stdin) in wanted.items():
        path, missing = peer(program, package=package)
        if path:
            peers[title] = partial(run, [path, *words], cwd=folder, stdin=stdin, env=env)
        else:
            notes.append(f"dispatch: {missing}")
    peers["plain asyncio"] = partial(run, [sys.executable, "-c", PLAIN_ASYNCIO], env=environment())
    return peers, notes


def _slope(measured: Rounds) -> list[Row]:
    """Our seconds per job without our own start, against xargs's seconds per job."""
    if "xargs -P4" not in measured.spent:
        return []
    pairs = zip(*(measured.spent[name] for name in ("1,000 jobs", "1 job", "xargs -P4")), strict=True)
    ratios = sorted((many.seconds - one.seconds) / (JOBS - 1) / (xargs.seconds / JOBS) for many, one, xargs in pairs)
    return [
        Row(
            what="one more job (without own start)",
            ours=(measured.seconds("1,000 jobs") - measured.seconds("1 job")) / (JOBS - 1),
            peer="xargs -P4",
            theirs=measured.seconds("xargs -P4") / JOBS,
            ratio=ratios[len(ratios) // 2],
        )
    ]
