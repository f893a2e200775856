"""python -m benchmarks.soak: tens of thousands of mixed jobs in one run, and whether anything is wrong, grows or stays.

It plays in a PID namespace of its own (unshare(1)), so that "nobody is left" is what the kernel says.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAMESPACE = ("unshare", "-Urpf", "--kill-child", "--mount-proc")
SAMPLE_SECONDS = 0.5
OUTPUT_BYTES = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A sort of job: its share of all (in percent), its lines in the pipeline file, and how each of them must end."""

    share: int
    script: str
    settings: str = ""
    ends: dict[str, Any]
    left: int = 0
    log: int | None = None


OK = {"outcome": "succeeded", "exit": 0, "attempt": 1}
KINDS = {
    "true": Kind(share=38, script="true", ends=OK),
    "failing": Kind(share=14, script="exit 3", ends={"outcome": "failed", "exit": 3}),
    "crashing": Kind(share=5, script="kill -SEGV $$", ends={"outcome": "failed", "signal": 11}),
    "tree": Kind(share=12, script="sh -c 'sleep 0.02 | cat'; true", ends=OK),
    "daemon": Kind(share=12, script="x=$(setsid sh -c 'exec sleep 1000 >/dev/null' &)", ends=OK, left=1),
    "slow": Kind(share=3, script="sleep 1000; true", settings='timeout = "0.2s"', ends={"outcome": "timed-out"}),
    "stubborn": Kind(
        share=2,
        script="trap '' TERM; setsid sleep 1000 & sleep 1000; sleep 1000",
        settings='timeout = "0.2s"\ngrace = "0.1s"',
        ends={"outcome": "timed-out"},
    ),
    "retried": Kind(share=4, script="test $ETL_ATTEMPT = 3", settings="retries = 2", ends={**OK, "attempt": 3}),
    "talking": Kind(share=10, script=f"head -c {OUTPUT_BYTES} /dev/urandom", ends=OK, log=OUTPUT_BYTES),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What runner, keeper and shims hold at one moment: open files of the fullest of each, memory of all (PSS)."""

    files: tuple[int, int, int]
    memory: tuple[int, int, int]


def main() -> int:
    options = _arguments()
    if not options.inside:
        again = [sys.executable, "-m", "benchmarks.soak", "--inside", *sys.argv[1:]]
        return subprocess.run([*NAMESPACE, *again], check=False).returncode
    with tempfile.TemporaryDirectory(prefix="etl-soak-") as name:
        folder = Path(name)
        jobs = _write_pipeline(folder, options.jobs)
        begun = time.monotonic()
        samples, status = _run(folder, options.at_once)
        seconds = time.monotonic() - begun
        left = _wait_for_nobody()
        wrong = [*_wrong_ends(folder), *_wrong_logs(folder)]
    print(_report(jobs, options.at_once, seconds, samples))
    for line in wrong[:20]:
        print(f"wrong: {line}")
    print(
        f"wrong outcomes {len(wrong)}, processes left {len(left)}, exit status {status} (1: some jobs fail by design)"
    )
    return 0 if not wrong and not left and status == 1 else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--jobs", type=int, default=50_000)
    parser.add_argument("--at-once", type=int, default=20)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _write_pipeline(folder: Path, jobs: int) -> int:
    """The pipeline file, and how many jobs it has."""
    lines = ["[pipeline]", 'name = "soak"', "[defaults]", "shell = true"]
    for name, kind in KINDS.items():
        count = jobs * kind.share // 100
        lines += [
            f"[jobs.{name}]",
            f"run = {json.dumps(kind.script)}",
            f'matrix = {{ id = "1..{count}" }}',
            kind.settings,
        ]
    (folder / "etl.toml").write_text("\n".join(lines), encoding="utf-8")
    return sum(jobs * kind.share // 100 for kind in KINDS.values())


def _run(folder: Path, at_once: int) -> tuple[list[Sample], int]:
    """Run it all, looking at the supervisors again and again."""
    command = [sys.executable, "-m", "etl_runner", "all", "-o", "json", "-w", str(at_once)]
    samples = []
    with (folder / "events").open("wb") as events:
        running = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=events)
        while running.poll() is None:
            if sample := _sample(running.pid):
                samples.append(sample)
            time.sleep(SAMPLE_SECONDS)
    return samples, running.returncode


def _sample(runner: int) -> Sample | None:
    keepers = [pid for pid in _supervisors() if _parent(pid) == runner]
    shims = [pid for pid in _supervisors() if _parent(pid) in keepers]
    if not shims:
        return None
    groups = [runner], keepers, shims
    return Sample(
        files=tuple(max(map(_files, pids)) for pids in groups),  # type: ignore[arg-type]
        memory=tuple(sum(map(_memory, pids)) for pids in groups),  # type: ignore[arg-type]
    )


def _processes() -> Iterator[int]:
    return (int(path.name) for path in Path("/proc").glob("[0-9]*") if int(path.name) != os.getpid())


def _supervisors() -> list[int]:
    return [pid for pid in _processes() if b"keeper/__main__.py" in _read(pid, "cmdline")]


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:  # it has just ended
        return b""


def _parent(pid: int) -> int:
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    return int(fields[1]) if fields else -1


def _files(pid: int) -> int:
    try:
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except OSError:
        return 0


def _memory(pid: int) -> int:
    """Its proportional share of memory in bytes: what is shared with others counts once for all of them."""
    for line in _read(pid, "smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def _wait_for_nobody() -> list[int]:
    limit = time.monotonic() + 10
    while (left := list(_processes())) and time.monotonic() < limit:
        time.sleep(0.05)
    return left


def _wrong_ends(folder: Path) -> Iterator[str]:
    """Jobs that ended otherwise than they must, or not once."""
    ends: dict[str, list[dict[str, Any]]] = {}
    left: dict[str, int] = {}
    for line in (folder / "events").read_text().splitlines():
        event = json.loads(line)
        if event["event"] == "job_finished":
            ends.setdefault(event["job"], []).append(event)
        if event["event"] == "attempt_exited":
            left[event["job"]] = event.get("left_behind", 0)
    for job in _names(folder):
        kind = KINDS[job.rpartition("-")[0]]
        seen = [{key: end.get(key) for key in kind.ends} for end in ends.get(job, [])]
        if seen != [kind.ends]:
            yield f"{job}: {seen}, expected {kind.ends}"
        elif left[job] < kind.left:
            yield f"{job}: {left[job]} left behind, expected {kind.left}"


def _wrong_logs(folder: Path) -> Iterator[str]:
    for job in _names(folder):
        expected = KINDS[job.rpartition("-")[0]].log
        log = folder / ".etl" / "runs" / "1" / "logs" / f"{job}.1.log"
        if expected is not None and log.stat().st_size != expected:
            yield f"{job}: a log of {log.stat().st_size} bytes, expected {expected}"


def _names(folder: Path) -> list[str]:
    command = [sys.executable, "-m", "etl_runner", "plan", "-o", "json"]
    shown = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return [job["name"] for job in json.loads(shown.stdout)["jobs"]]


def _report(jobs: int, at_once: int, seconds: float, samples: Sequence[Sample]) -> str:
    """The samples as a table: once all shims are there, half-way, at the end."""
    calm = samples[len(samples) // 10 :]
    moments = {"start": calm[0], "half-way": calm[len(calm) // 2], "end": calm[-1]}
    lines = [
        f"{jobs:,} jobs, {at_once} at once: {seconds:.0f} s, {jobs / seconds:.0f} jobs/s",
        "| | " + " | ".join(moments) + " | most |",
        "|---|" + "--:|" * (len(moments) + 1),
    ]
    for number, name in enumerate(("runner", "keeper", "fullest shim")):
        counts = [moment.files[number] for moment in (*moments.values(), *calm)]
        lines.append(f"| open files, {name} | {_row([*counts[:3], max(counts)])} |")
    for number, name in enumerate(("runner", "keeper", "all shims")):
        sizes = [moment.memory[number] / 2**20 for moment in (*moments.values(), *calm)]
        lines.append(f"| memory (MiB), {name} | {_row([round(size, 1) for size in (*sizes[:3], max(sizes))])} |")
    return "\n".join(lines)


def _row(values: Sequence[float]) -> str:
    return " | ".join(map(str, values))


if __name__ == "__main__":
    sys.exit(main())
