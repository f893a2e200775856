"""What supervising a running job costs in memory: 100 jobs at once that do nothing, against one."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

from benchmarks.commands import children, environment, etl_run
from benchmarks.measure import BenchmarkError, Result

JOBS = 100
TARGET = 1.0  # MB (10^6 bytes) for each running job
PATIENCE = 60.0

PIPELINE = f"""\
[pipeline]
name = "memory"

[jobs.first]
run = "sleep 0.1"
matrix = {{ id = "1..{JOBS}" }}

[jobs.wait]
run = "sleep 1000"
matrix = {{ id = "1..{JOBS}" }}
needs = ["first"]
"""


def bench(folder: Path, *, rounds: int | None) -> Result:  # noqa: ARG001 - one round says it all
    """All that is ours, with 100 jobs running less that with one, by the jobs that are more.

    Each process counts with what it has alone and its share of what it shares (proportional set size, proc(5)).
    """
    (folder / "etl.toml").write_text(PIPELINE, encoding="utf-8")
    one = _measured(folder, "wait-1")
    many = _measured(folder, "wait")
    again = _measured(folder, "first", "wait")
    supervisors, runner = (_each(many, one, part) for part in ("supervisors", "runner"))
    verdict = "ok" if supervisors <= TARGET else "MISSED"
    return Result(
        rows=[],
        notes=[
            f"memory: {supervisors:.2f} MB of keeper and shims for each running job (target ≤ {TARGET:g}: {verdict}), "
            f"{_each(again, one, 'supervisors'):.2f} MB where the shim has had a job before; "
            f"{runner:.2f} MB of the runner; {sum(many.values()) / 1e6:.0f} MB in all with {JOBS} running"
        ],
    )


def _each(many: dict[str, int], one: dict[str, int], part: str) -> float:
    return (many[part] - one[part]) / (JOBS - 1) / 1e6


def _measured(folder: Path, *jobs: str) -> dict[str, int]:
    """Bytes of the runner and of its supervisors while all jobs named last are running."""
    running = JOBS if jobs[-1] == "wait" else 1
    only = [word for job in jobs for word in ("--only", job)]
    runner = subprocess.Popen(etl_run("all", "-q", "-w", str(JOBS), *only), cwd=folder, env=environment())
    try:
        supervisors = _supervisors(runner, running)
        return {
            "runner": _proportional(runner.pid),
            "supervisors": sum(map(_proportional, supervisors)),
        }
    finally:
        runner.send_signal(signal.SIGINT)
        runner.wait()


def _supervisors(runner: subprocess.Popen[bytes], running: int) -> list[int]:
    """Keeper and shims, when so many jobs are running; raises BenchmarkError if that does not come to be."""
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit:
        keepers = children(runner.pid)
        shims = [shim for keeper in keepers for shim in children(keeper)]
        if sum(_sleeps_long(job) for shim in shims for job in children(shim)) == running:
            return [*keepers, *shims]
        time.sleep(0.05)
    raise BenchmarkError(f"{running} jobs were not running after {PATIENCE:g} s")


def _sleeps_long(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\x001000\x00"
    except OSError:
        return False


def _proportional(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024
