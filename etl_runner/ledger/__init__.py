"""What is remembered: every event of every run, in one SQLite file."""

from etl_runner.ledger.locks import Holder, PipelineLock, alive, hold_pipeline_lock, hold_run_lock
from etl_runner.ledger.past import JobEnd, JobPast, matches
from etl_runner.ledger.reader import LedgerReader
from etl_runner.ledger.retention import prune
from etl_runner.ledger.run import Run, RunState
from etl_runner.ledger.writer import Ledger

__all__ = [
    "Holder",
    "JobEnd",
    "JobPast",
    "Ledger",
    "LedgerReader",
    "PipelineLock",
    "Run",
    "RunState",
    "alive",
    "hold_pipeline_lock",
    "hold_run_lock",
    "matches",
    "prune",
]
