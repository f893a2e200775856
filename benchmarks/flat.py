"""The memory that a load needs, at a hundred thousand rows, a million, ten million."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable
from pathlib import Path

from benchmarks.commands import ROOT, children
from benchmarks.loading import (
    SCHEMA,
    count,
    job_environment,
    job_words,
    psql,
    server_in,
    values,
    write_catalogue,
    write_csv,
)
from benchmarks.measure import Result, Row, check_ended, stopped_with_us
from benchmarks.parquet import MISSING, is_missing, write_parquet
from benchmarks.transfer import make_source
from etl_runner.postgres import Server

ROWS = 10_000_000
TARGET = 1.1
LOOK = 0.05  # seconds between two looks at a process


class Watched:
    """The most memory that a process and the server's processes were seen to have, in bytes.

    `peak` is the kernel's own record of the process (VmHWM); `share` is what it has for itself and its part of what it
    shares (PSS); `server` is what all the server's processes have for themselves alone.
    """

    def __init__(self) -> None:
        self.peak = self.share = self.server = 0

    def look(self, pid: int, postmaster: int) -> None:
        self.peak = max(self.peak, _field(pid, "status", "VmHWM"))
        self.share = max(self.share, _field(pid, "smaps_rollup", "Pss"))
        own = sum(_field(child, "smaps_rollup", "Pss_Anon") for child in children(postmaster))
        self.server = max(self.server, own)


def bench(folder: Path, *, rounds: int | None, rows: int | None) -> Result:  # noqa: ARG001 - one load says it all
    """Whole jobs that fill an empty table, each from its own kind of source."""
    if not Path("/proc/self/smaps_rollup").exists():
        return Result(rows=[], notes=["memory-of-loads: needs Linux's /proc"])
    rows = rows or ROWS
    sizes = [rows // 100, rows // 10, rows]
    found: list[Row] = []
    notes: list[str] = []
    with server_in(folder) as server:
        for kind, prepare in KINDS.items():
            if kind == "Parquet" and is_missing():
                notes.append(MISSING)
                continue
            seen = [_watch(folder, server, prepare(folder, server, size)) for size in sizes]
            found.append(_row(kind, sizes, seen))
            notes.append(_note(kind, sizes, seen))
    return Result(rows=found, notes=notes)


def _csv(folder: Path, server: Server, rows: int) -> Path:
    write_csv(server, folder / "sale.csv", values(rows))
    return write_catalogue(folder, 'kind = "csv"\nfolder = "."', [("sale", "")])


def _parquet(folder: Path, server: Server, rows: int) -> Path:
    write_csv(server, folder / "sale.csv", values(rows))
    write_parquet(folder / "sale.csv", folder / "sale.parquet")
    return write_catalogue(folder, 'kind = "parquet"\nfolder = "."', [("sale", "")])


def _postgresql(folder: Path, server: Server, rows: int) -> Path:
    psql(server, "DROP DATABASE IF EXISTS shop")
    source = make_source(server, rows)
    return write_catalogue(folder, f'kind = "postgresql"\nurl = "{source.url}"', [("sale", "")])


KINDS: dict[str, Callable[[Path, Server, int], Path]] = {
    "CSV": _csv,
    "Parquet": _parquet,
    "PostgreSQL": _postgresql,
}


def _watch(folder: Path, server: Server, catalogue: Path) -> Watched:
    psql(server, f"DROP TABLE IF EXISTS {SCHEMA}.sale")
    postmaster = int(next(folder.rglob("postmaster.pid")).read_text().split()[0])
    said = folder / "stderr"
    with said.open("wb") as stderr:
        process = subprocess.Popen(
            job_words(catalogue),
            cwd=ROOT,
            env=job_environment(server),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
    watched = Watched()
    with stopped_with_us(process):
        while True:
            watched.look(process.pid, postmaster)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(LOOK)
                break
    check_ended(process, said.read_bytes())
    return watched


def _field(pid: int, file: str, name: str) -> int:
    """A line of a file in /proc, in bytes; 0 where the process has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return 0


def _row(kind: str, sizes: list[int], seen: list[Watched]) -> Row:
    most, least = (each.peak / 2**20 for each in (seen[-1], seen[0]))
    what = f"memory to load {count(sizes[-1])} rows from {kind}"
    peer = f"{count(sizes[0])} rows"
    return Row(what=what, ours=most, peer=peer, theirs=least, ratio=most / least, target=TARGET, unit="MiB")


def _note(kind: str, sizes: list[int], seen: list[Watched]) -> str:
    def row(of: Callable[[Watched], int]) -> str:
        return " / ".join(f"{of(each) / 2**20:.0f}" for each in seen)

    return (
        f"memory-of-loads: {kind}, {' / '.join(map(count, sizes))} rows: job's peak {row(lambda s: s.peak)} MiB,"
        f" its share {row(lambda s: s.share)}; the server's processes by themselves {row(lambda s: s.server)}"
    )
