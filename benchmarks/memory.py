"""What supervising a running job costs in memory: 100 jobs at once that do nothing."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

from benchmarks.commands import environment, etl_run
from benchmarks.measure import BenchmarkError, Result

JOBS = 100
TARGET = 1.0  # MiB for each running job
PATIENCE = 60.0

PIPELINE = f"""\
[pipeline]
name = "memory"

[jobs.wait]
run = "sleep 1000"
matrix = {{ id = "1..{JOBS}" }}
"""


def bench(folder: Path, *, rounds: int | None) -> Result:  # noqa: ARG001 - one round says it all
    """The supervisors' own share of memory (proportional set size, proc(5)) while all jobs are running."""
    (folder / "etl.toml").write_text(PIPELINE, encoding="utf-8")
    runner = subprocess.Popen(etl_run("all", "-q", "-w", str(JOBS)), cwd=folder, env=environment())
    try:
        shims = _shims(runner)
        each = sum(map(_proportional, shims)) / len(shims) / 2**20
        whole = (_proportional(runner.pid) + sum(map(_proportional, [_parent(shims[0]), *shims]))) / 2**20
    finally:
        runner.send_signal(signal.SIGINT)
        runner.wait()
    verdict = "ok" if each <= TARGET else "MISSED"
    return Result(
        rows=[],
        notes=[
            f"memory: {each:.2f} MiB for each running job (target ≤ {TARGET:g}: {verdict}); "
            f"{whole:.0f} MiB in all with {JOBS} running"
        ],
    )


def _shims(runner: subprocess.Popen[bytes]) -> list[int]:
    """The supervisors that have a job each; raises BenchmarkError if not all of them come to be."""
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit:
        found = [shim for keeper in _children(runner.pid) for shim in _children(keeper) if _children(shim)]
        if len(found) == JOBS:
            return found
        time.sleep(0.05)
    raise BenchmarkError(f"not all of {JOBS} jobs were running after {PATIENCE:g} s")


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def _proportional(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024
