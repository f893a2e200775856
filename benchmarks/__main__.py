"""python -m benchmarks: measure, and print one table of ratios."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import dispatch, loading, memory, preload, shape, startup
from benchmarks.measure import BenchmarkError, Result, Row

BENCHES: dict[str, Callable[..., Result]] = {
    "dispatch": dispatch.bench,
    "shape": shape.bench,
    "copy": loading.bench,
    "startup": startup.bench,
    "preload": preload.bench,
    "memory": memory.bench,
}
HEADER = ("what", "ours", "peer", "theirs", "ratio", "target", "")


def main() -> int:
    options = _arguments()
    rows: list[Row] = []
    notes: list[str] = []
    for name in options.bench or BENCHES:
        print(f"{name} …", file=sys.stderr)
        try:
            with _folder() as folder:
                result = BENCHES[name](folder, rounds=options.rounds)
        except BenchmarkError as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 1
        rows += result.rows
        notes += result.notes
    print(_machine())
    print(table(rows))
    for note in notes:
        print(note)
    return 0


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table that is also good to read as it is."""
    cells = [HEADER, *map(_cells, rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEADER))]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    return "\n".join(f"| {line} |" for line in [lines[0], "-|-".join("-" * width for width in widths), *lines[1:]])


def _cells(row: Row) -> tuple[str, ...]:
    target = f"≤ {row.target:.3g}" if row.target else ""
    return (row.what, _time(row.ours), row.peer, _time(row.theirs), f"{row.ratio:.2f}", target, row.verdict)


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 0.5 else f"{seconds * 1000:.3g} ms"


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
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("bench", nargs="*", metavar="BENCH", help=f"which (default: all): {', '.join(BENCHES)}")
    parser.add_argument("--rounds", type=int, help="rounds that count (default: each bench's own, 5 to 41)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
