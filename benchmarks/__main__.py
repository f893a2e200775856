"""python -m benchmarks: measure, and print one table of ratios."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from benchmarks import (
    copy,
    dispatch,
    flat,
    memory,
    parallel,
    parquet,
    peers,
    preload,
    shape,
    snapshot,
    startup,
    transfer,
)
from benchmarks.measure import BenchmarkError, Result, Row
from etl_runner.errors import EtlError

BENCHES: dict[str, Callable[..., Result]] = {
    "dispatch": dispatch.bench,
    "shape": shape.bench,
    "startup": startup.bench,
    "preload": preload.bench,
    "memory": memory.bench,
}
LOADS: dict[str, Callable[..., Result]] = {
    "copy": copy.bench,
    "parquet": parquet.bench,
    "transfer": transfer.bench,
    "snapshot": snapshot.bench,
    "parallel": parallel.bench,
}
LONG: dict[str, Callable[..., Result]] = {
    "peers": peers.bench,
    "memory-of-loads": flat.bench,
}
HEADER = ("what", "ours", "peer", "theirs", "ratio", "target", "")


def main() -> int:
    """Exit status 0, 1 where a bench could not be measured, 130 where it was stopped; the others are shown anyway."""
    options = _arguments()
    signal.signal(signal.SIGINT, _stop)
    signal.signal(signal.SIGTERM, _stop)
    results: list[Result] = []
    status = 0
    for name in options.bench or [*BENCHES, *LOADS]:
        print(f"{name} …", file=sys.stderr)
        try:
            results.append(_measure(name, options))
        except (BenchmarkError, EtlError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            status = 1
        except KeyboardInterrupt:
            print(f"{name}: stopped", file=sys.stderr)
            status = 130
            break
    if results:
        _show(results)
    return status


def _show(results: Sequence[Result]) -> None:
    print(_machine())
    if rows := [row for result in results for row in result.rows]:
        print(table(rows))
    for result in results:
        for note in result.notes:
            print(note)


def _measure(name: str, options: argparse.Namespace) -> Result:
    with _folder() as folder:
        if name in BENCHES:
            return BENCHES[name](folder, rounds=options.rounds)
        return (LOADS | LONG)[name](folder, rounds=options.rounds, rows=options.rows)


def _stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - as signal(3) wants it
    """Once is enough: what was started is stopped and removed, whoever goes on pressing Ctrl+C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table that is also good to read as it is."""
    cells = [HEADER, *map(_cells, rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEADER))]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    return "\n".join(f"| {line} |" for line in [lines[0], "-|-".join("-" * width for width in widths), *lines[1:]])


def _cells(row: Row) -> tuple[str, ...]:
    target = f"≤ {row.target:.3g}" if row.target else ""
    ours, theirs = (_amount(value, row.unit) for value in (row.ours, row.theirs))
    return (row.what, ours, row.peer, theirs, f"{row.ratio:.2f}", target, row.verdict)


def _amount(value: float, unit: str) -> str:
    if unit == "s" and value < 0.5:
        return f"{value * 1000:.3g} ms"
    return f"{value:.2f} {unit}" if value < 10 else f"{value:.1f} {unit}"


def _machine() -> str:
    now = datetime.now(UTC)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{now:%Y-%m-%d %H:%M} UTC · {os.cpu_count()} cores, load {load:.1f} · {platform.system()} · {python}\n"


@contextmanager
def _folder() -> Iterator[Path]:
    """A temporary folder any account may enter: a PostgreSQL started by root runs as another user."""
    folder = Path(tempfile.mkdtemp(prefix="etl-benchmark-")).resolve()
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _arguments() -> argparse.Namespace:
    names, every = ", ".join([*BENCHES, *LOADS]), {**BENCHES, **LOADS, **LONG}
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    only = f"only where named, for they take long: {', '.join(LONG)}"
    parser.add_argument("bench", nargs="*", metavar="BENCH", help=f"which (default: {names}); {only}")
    parser.add_argument("--rounds", type=_number, help="rounds that count (default: each bench's own, 1 to 41)")
    parser.add_argument(
        "--rows", type=_number, help="rows to load (default: each bench's own); only for benches of loads"
    )
    options = parser.parse_args()
    if unknown := [name for name in options.bench if name not in every]:
        parser.error(f"no benchmark {unknown[0]!r}: choose from {', '.join(every)}")
    return options


def _number(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
