"""What SQLite and the system say about the ledger's file, told with a cure."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from etl_runner.errors import LedgerError

BUSY_SECONDS = 30.0  # how long one process waits for another's transaction

_UNUSABLE = "make the folder writable for you, or set ETL_HOME to another folder"


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what SQLite and the system say about the file into a LedgerError with a cure."""
    try:
        yield
    except sqlite3.Error as error:
        raise _explain(path, error) from error
    except OSError as error:
        raise LedgerError(f"cannot use the ledger {path}: {error.strerror or error}", hint=_UNUSABLE) from error


def _explain(path: Path, error: sqlite3.Error) -> LedgerError:
    match getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF:
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            return LedgerError(
                f"the ledger {path} is damaged: {error}",
                hint=f"move it away (mv {path} {path}.damaged): the next run starts a new one, logs are kept",
            )
        case sqlite3.SQLITE_FULL:
            return LedgerError(
                f"the ledger {path} cannot be written: the disk is full",
                hint="free some space, or set ETL_HOME to a folder on another disk",
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            return LedgerError(f"cannot use the ledger {path}: {error}", hint=_UNUSABLE)
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return LedgerError(
                f"another process has kept the ledger {path} locked for {BUSY_SECONDS:g}s",
                hint=f"see who it is: fuser -v {path}",
            )
        case _:
            return LedgerError(f"cannot use the ledger {path}: {error}", hint=f"look at the disk of {path.parent}")
