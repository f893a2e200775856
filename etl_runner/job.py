"""What a Python job may use of the runner: report metrics, read what an earlier job reported. Standard library only."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

Value = str | int | float | bool | None
Values = Value | Sequence[str | int]


def report(**metrics: Values) -> None:
    """Add to this attempt's metrics; the last value of a name wins. Does nothing outside a run.

    Lists are not shown, but later jobs can read them, and be made from them: one for each value.

    One line appended in one write: whole lines survive a kill at any moment.
    """
    path = os.environ.get("ETL_OUTPUT")
    if not path or not metrics:
        return
    line = json.dumps(metrics, allow_nan=False) + "\n"
    with Path(path).open("ab", buffering=0) as file:
        file.write(line.encode())


def read_output(job: str) -> dict[str, Values]:
    """All values an earlier job of this run reported, by its last attempt; empty if there are none.

    Lines that are no JSON object (the last one of a killed attempt) are passed over.
    """
    folder = os.environ.get("ETL_RUN_DIR")
    if not folder:
        return {}
    attempts = {
        int(match[1]): path
        for path in Path(folder, "outputs").glob("*.jsonl")
        if (match := re.fullmatch(re.escape(job) + r"\.(\d+)\.jsonl", path.name))
    }
    return values_of(attempts[max(attempts)]) if attempts else {}


def values_of(path: Path, *, errors: str = "replace") -> dict[str, Values]:
    """All values in an ETL_OUTPUT file; empty if there is none. `errors` is what becomes of bytes that are no UTF-8."""
    values: dict[str, Values] = {}
    try:
        text = path.read_text("utf-8", errors=errors)
    except FileNotFoundError:
        return values
    for line in text.split("\n"):
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            values.update(found)
    return values
