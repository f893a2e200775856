"""Writes runs into a ledger as the runner does, and says what it may rely on: python -m tests.powercut.writer LEDGER

It prints `begun RUN` and `durable RUN NUMBER` when the call returned. Small checkpoints, so that there are many.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from etl_runner.events import AttemptStarted, JobFinished, Record
from etl_runner.ledger import Ledger
from etl_runner.ledger.database import migrations
from etl_runner.model import Outcome, Plan
from tests.powercut.tracer import let_trace
from tests.support.ledgers import plan

LIVES = 4
BATCHES = 25
CHECKPOINT_PAGES = 12


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


def write_runs(path: Path, of: Plan, chance: Random) -> None:
    """Two runs at once, by two writers, and afterwards one run is forgotten."""
    with Ledger.open(path) as first, Ledger.open(path) as second:
        writers = {}
        for ledger in (first, second):
            ledger._connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            writers[ledger.begin(of, datetime.now(UTC))] = ledger
            say(f"begun {max(writers)}")
        written = dict.fromkeys(writers, 0)
        for _ in range(BATCHES):
            run = chance.choice(list(writers))
            number = written[run] + chance.randint(1, 6)
            durable = chance.random() < 0.4
            records = [record(run, seq, chance) for seq in range(written[run] + 1, number + 1)]
            writers[run].append(records, durable=durable)
            written[run] = number
            if durable:
                say(f"durable {run} {number}")


def record(run: int, seq: int, chance: Random) -> Record:
    """Mostly small; now and then one that takes several pages."""
    if chance.random() < 0.1:
        event = JobFinished(job="a", phase="", attempt=1, outcome=Outcome.FAILED, reason="why " * 3000)
        return Record(run=run, seq=seq, at=datetime.now(UTC), event=event)
    return Record(run=run, seq=seq, at=datetime.now(UTC), event=AttemptStarted(job="a", attempt=1, pid=seq))


def main() -> None:
    chance = Random(7)
    of = plan("a", "b")
    migrations()
    let_trace()
    for _ in range(LIVES):
        write_runs(Path(sys.argv[1]), of, chance)


if __name__ == "__main__":
    main()
