"""Forgetting old runs: their rows and their folders."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta

from etl_runner.ledger.locks import alive
from etl_runner.ledger.reader import LedgerReader
from etl_runner.ledger.writer import Ledger
from etl_runner.paths import Home

KEEP_RUNS = 50
KEEP_DAYS = 30


def prune(
    home: Home, *, keep_runs: int = KEEP_RUNS, keep_days: int = KEEP_DAYS, now: datetime | None = None
) -> tuple[int, ...]:
    """Delete the runs that are neither among the last `keep_runs` of their pipeline nor of the last days.

    Never a live run. One whose folder cannot be deleted is kept whole. Returns the deleted numbers.
    """
    since = (now or datetime.now(UTC)) - timedelta(days=keep_days)
    with LedgerReader.open(home.ledger) as reader:
        old = [run for run in reader.older_runs(since, beyond=keep_runs) if not alive(home, run)]
    if not old:
        return ()
    with Ledger.open(home.ledger) as ledger:
        gone = tuple(run for run in old if _delete_folder(home, run))
        ledger.remove(gone)
    return gone


def _delete_folder(home: Home, run: int) -> bool:
    folder = home.run(run)
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()
