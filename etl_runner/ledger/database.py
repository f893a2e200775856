"""The ledger's SQLite file: opening it, bringing it up to date, and saying clearly what is wrong with it."""

from __future__ import annotations

import fcntl
import os
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import etl_runner
from etl_runner.errors import LedgerError
from etl_runner.ledger.folder import highest_run, make_folder
from etl_runner.ledger.trouble import BUSY_SECONDS, explained

APPLICATION_ID = 0x65746C72  # "etlr"
_STRICT_SINCE = (3, 37, 0)
_MIGRATIONS = Path(__file__).parent / "migrations"


@cache
def migrations() -> tuple[str, ...]:
    """The SQL of every step from an empty file to today's layout, in order."""
    return tuple(p.read_text(encoding="utf-8") for p in sorted(_MIGRATIONS.glob("*.sql")))


def connect(path: Path) -> sqlite3.Connection:
    """A writing connection to an up-to-date ledger; file and folder are created if missing."""
    with explained(path):
        make_folder(path.parent)
        connection = _connect(str(path))
        try:
            prepare(connection, path, steps=migrations())
        except BaseException:
            connection.close()
            raise
        return connection


def prepare(connection: sqlite3.Connection, path: Path, *, steps: Sequence[str]) -> None:
    """Check that the file is a ledger, and add the steps it does not have yet.

    Several processes may come here at once. A lock of our own keeps them in line, because the change to WAL
    mode does not wait for SQLite's own locks.
    """
    connection.execute("PRAGMA foreign_keys = ON")
    if check_version(connection, path, latest=len(steps)) < len(steps) or not _is_wal(connection):
        with setup_lock(path):
            connection.execute("PRAGMA journal_mode = WAL")
            with transaction(connection):
                migrate(connection, path, steps=steps)


def migrate(connection: sqlite3.Connection, path: Path, *, steps: Sequence[str]) -> None:
    """Apply the missing steps; to be called inside a transaction."""
    version = check_version(connection, path, latest=len(steps))
    for number, sql in enumerate(steps[version:], start=version + 1):
        for statement in _statements(sql):
            connection.execute(statement)
        now = instant(datetime.now(UTC))
        connection.execute("INSERT INTO migration VALUES (?, ?, ?)", (number, etl_runner.__version__, now))
        if number == 1:
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute("INSERT INTO sqlite_sequence VALUES ('run', ?)", (highest_run(path.parent),))
        connection.execute(f"PRAGMA user_version = {number}")


def connect_to_read(path: Path) -> sqlite3.Connection:
    """A read-only connection. Where there is no ledger yet it is to an empty one, in memory."""
    with explained(path):
        if not _has_content(path):
            return empty()
        connection = _connect(f"{path.absolute().as_uri()}?mode={_read_mode(path)}", uri=True)
        try:
            version = check_version(connection, path, latest=len(migrations()))
        except BaseException:
            connection.close()
            raise
    if version == len(migrations()):
        return connection
    connection.close()
    if version == 0:
        return empty()
    connect(path).close()
    return connect_to_read(path)


def empty() -> sqlite3.Connection:
    """An empty ledger in memory."""
    connection = _connect(":memory:")
    with transaction(connection):
        migrate(connection, Path(":memory:"), steps=migrations())
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing. The write lock is taken at once: other writers make it wait, never fail half-way."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """All reads see the same moment: the transaction's that is open, or a new one's."""
    if connection.in_transaction:
        yield
        return
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")


def check_version(connection: sqlite3.Connection, path: Path, *, latest: int) -> int:
    """The file's version, 0 for an empty one; LedgerError if it is newer than ours or of another program."""
    with snapshot(connection):  # or a ledger that is being made just now looks like anything
        application = int(connection.execute("PRAGMA application_id").fetchone()[0])
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION_ID and (version or tables):
        raise LedgerError(
            f"{path} is not a ledger of etl-run, but a database of another program",
            hint="move it away, or set ETL_HOME to another folder",
        )
    if version > latest:
        raise _too_new(path, needed=_writer_version(connection, version))
    return version


def _too_new(path: Path, *, needed: str) -> LedgerError:
    return LedgerError(
        f"{path} was written by etl-run {needed}, this is {etl_runner.__version__}",
        hint=f"use etl-run {needed} or newer, or set ETL_HOME to another folder",
    )


def _writer_version(connection: sqlite3.Connection, version: int) -> str:
    try:
        row = connection.execute("SELECT etl_run FROM migration WHERE version = ?", (version,)).fetchone()
    except sqlite3.Error:
        row = None
    return str(row[0]) if row else "of a later version"


def instant(at: datetime) -> str:
    """The ledger's text of an instant."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _connect(database: str, *, uri: bool = False) -> sqlite3.Connection:
    # One thread at a time uses a connection, but not always the one that opened it.
    return sqlite3.connect(database, uri=uri, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)


def _is_wal(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal")


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False


def _read_mode(path: Path) -> str:
    """How to open for reading: in a folder we may not write to, SQLite cannot make its side files."""
    if os.access(path.parent, os.W_OK) or path.with_name(path.name + "-wal").exists():
        return "ro"
    return "ro&immutable=1"


@contextmanager
def setup_lock(path: Path) -> Iterator[None]:
    """One process at a time, for moments only. A file of our own: opening SQLite's would drop its locks."""
    lock = os.open(path.with_name(path.name + "-setup"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _statements(sql: str) -> Iterator[str]:
    """The single statements of a script. (executescript would commit our transaction.)"""
    if sqlite3.sqlite_version_info < _STRICT_SINCE:
        sql = re.sub(r",? STRICT;", ";", sql)
    pending = ""
    for line in sql.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""
