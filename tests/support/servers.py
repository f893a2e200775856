"""A real PostgreSQL for tests: `database` is the DSN of a fresh database.

Import the fixtures, with those they need, where they are used: `from tests.support.servers import database, warehouse`
(and `# ruff: noqa: F401, F811` at the top of that file).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

import psycopg
import pytest

from etl_runner.postgres import EmbeddedPostgres
from etl_runner.postgres.locks import is_free
from etl_runner.postgres.place import find
from tests.support.folders import entered_by_all


def is_running(folder: Path) -> bool:
    """Whether a process of the embedded server of this folder is alive."""
    place = find(folder.absolute())
    return place is not None and not is_free(place.alive, place.account)


class Warehouse:
    """A running server and databases in it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._numbers = count(1)

    @contextmanager
    def database(self) -> Iterator[str]:
        """The DSN of a database that exists for this block alone."""
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        try:
            yield self.url.replace("/warehouse?", f"/{name}?")
        finally:
            with psycopg.connect(self.url, autocommit=True) as connection:
                connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextmanager
def server_for_tests(env: Mapping[str, str] | None = None) -> Iterator[Warehouse]:
    """A server whose data need not survive a power cut, and whose log does not fill the memory with gigabytes."""
    with entered_by_all() as folder, EmbeddedPostgres(folder / "pg", env=env).hold() as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("ALTER SYSTEM SET max_wal_size = '128MB'")
            connection.execute("SELECT pg_reload_conf()")
        yield Warehouse(server.url)


class _Shared:
    """A server that lives as long as anybody holds it: every module that imports `warehouse` has it as its own."""

    def __init__(self) -> None:
        self._holders = 0
        self._stack = ExitStack()
        self._server: Warehouse | None = None

    def __enter__(self) -> Warehouse:
        self._holders += 1
        if self._server is None:
            self._server = self._stack.enter_context(server_for_tests())
        return self._server

    def __exit__(self, *_: object) -> None:
        self._holders -= 1
        if not self._holders:
            self._server = None
            self._stack.close()


_SHARED = _Shared()


@pytest.fixture(scope="session")
def warehouse() -> Iterator[Warehouse]:
    """One server for all tests of this process."""
    with _SHARED as server:
        yield server


@pytest.fixture
def database(warehouse: Warehouse) -> Iterator[str]:
    """The DSN of a database for this test alone."""
    with warehouse.database() as dsn:
        yield dsn


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A short temporary folder that every account may enter: a place for an embedded server, also for root."""
    with entered_by_all() as folder:
        yield folder
