"""Whoever is killed, whenever: the next start recovers, data is whole, no stranger is harmed."""
# ruff: noqa: F401, F811 - fixtures are imported and then named as arguments

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest

from etl_runner.errors import WarehouseError
from etl_runner.postgres import EmbeddedPostgres
from etl_runner.postgres.binaries import find_binaries
from tests.support.holder import holder
from tests.support.servers import is_running, open_folder


def wait_for(fact: Callable[[], object], *, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.001)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def postmaster_of(folder: Path) -> int:
    return int((folder / "data/postmaster.pid").read_bytes().split()[0])


def write_answer(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")


def assert_answer(folder: Path) -> None:
    with EmbeddedPostgres(folder).hold() as server, psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
    assert not is_running(folder)


@contextmanager
def stranger(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the account that runs the server, so that PostgreSQL itself would take its pid for a server's."""
    owner = pwd.getpwuid((folder / "data").stat().st_uid)
    account = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": ()} if os.geteuid() == 0 else {}
    with subprocess.Popen(["/bin/sleep", "1000"], cwd="/", **account) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.kill()


def test_after_a_killed_holder_the_next_one_joins_and_stops_the_server(open_folder: Path) -> None:
    embedded = EmbeddedPostgres(open_folder / "pg")
    with holder(open_folder / "pg") as first:
        postmaster = first.hold()["postmaster"]
        first.kill()
    assert is_running(open_folder / "pg")

    with embedded.hold():
        assert postmaster_of(open_folder / "pg") == postmaster

    assert not is_running(open_folder / "pg")


def test_a_killed_holder_is_not_counted(open_folder: Path) -> None:
    embedded = EmbeddedPostgres(open_folder / "pg")

    with holder(open_folder / "pg") as first, embedded.hold():
        first.hold()
        first.kill()

    assert not is_running(open_folder / "pg")


@pytest.mark.parametrize("with_holder", [False, True])
def test_after_a_killed_postmaster_the_next_start_recovers(open_folder: Path, with_holder: bool) -> None:
    with holder(open_folder / "pg") as first:
        said = first.hold()
        write_answer(said["url"])
        os.kill(said["postmaster"], signal.SIGKILL)
        if with_holder:
            first.kill()
        else:
            assert first.leave() == {"left": True}

    assert_answer(open_folder / "pg")


def test_a_second_holder_revives_a_server_killed_under_the_first(open_folder: Path) -> None:
    embedded = EmbeddedPostgres(open_folder / "pg")
    with holder(open_folder / "pg") as first:
        said = first.hold()
        write_answer(said["url"])
        os.kill(said["postmaster"], signal.SIGKILL)

        with embedded.hold() as server, psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
        assert is_running(open_folder / "pg")  # the first one still holds it
        assert first.leave() == {"left": True}

    assert not is_running(open_folder / "pg")


def test_the_pin_of_a_server_that_crashed_does_not_pin_the_next_one(open_folder: Path) -> None:
    embedded = EmbeddedPostgres(open_folder / "pg")
    write_answer(embedded.url())
    os.kill(postmaster_of(open_folder / "pg"), signal.SIGKILL)
    wait_for(lambda: not is_running(open_folder / "pg"))

    assert_answer(open_folder / "pg")


@pytest.mark.parametrize("leaving", [False, True])
def test_sessions_that_outlive_their_postmaster_are_ended(open_folder: Path, leaving: bool) -> None:
    embedded = EmbeddedPostgres(open_folder / "pg")
    url = embedded.url()
    write_answer(url)
    with ExitStack() as stack:
        if leaving:
            stack.enter_context(embedded.hold())
            (open_folder / "pg/pinned").unlink()
        busy = psycopg.connect(url, autocommit=True)
        busy.execute("SET client_connection_check_interval = 0")  # else it would notice by itself
        busy.pgconn.send_query(b"DO 'BEGIN LOOP END LOOP; END'")
        wait_for(lambda: busy.pgconn.flush() == 0)
        with psycopg.connect(url) as watcher:
            running = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND state = 'active'"
            wait_for(lambda: watcher.execute(running, [busy.info.backend_pid]).fetchone())
        os.kill(postmaster_of(open_folder / "pg"), signal.SIGKILL)

    assert is_running(open_folder / "pg") != leaving
    assert_answer(open_folder / "pg")
    busy.close()


@pytest.mark.parametrize("moment", ["data.new", "data.new/PG_VERSION", "data.new/base/5", "data", "server.log"])
def test_killed_in_the_middle_of_the_first_start(open_folder: Path, moment: str) -> None:
    folder = open_folder / "pg"
    with holder(folder) as first:
        first.tell()
        wait_for((folder / moment).exists)
        first.kill()

    with EmbeddedPostgres(folder).hold() as server:
        write_answer(server.url)
    assert_answer(folder)
    assert not (folder / "data.new").exists()


def test_a_stale_pid_file_naming_a_stranger_neither_hurts_it_nor_stops_us(open_folder: Path) -> None:
    embedded = EmbeddedPostgres(open_folder / "pg")
    with embedded.hold() as server:
        write_answer(server.url)
        os.kill(postmaster_of(open_folder / "pg"), signal.SIGKILL)
        left = (open_folder / "pg/data/postmaster.pid").read_bytes()
    wait_for(lambda: not is_running(open_folder / "pg"))

    with stranger(open_folder / "pg") as process:
        stale = left.replace(left.split()[0], str(process.pid).encode(), 1)
        (open_folder / "pg/data/postmaster.pid").write_bytes(stale)
        assert not embedded.stop(force=True)
        assert_answer(open_folder / "pg")
        assert process.poll() is None


def test_a_stale_pid_file_naming_another_warehouses_server_does_not_touch_that_one(open_folder: Path) -> None:
    ours, theirs = EmbeddedPostgres(open_folder / "ours"), EmbeddedPostgres(open_folder / "theirs")
    with ours.hold() as server:
        write_answer(server.url)

    with theirs.hold() as other:
        (open_folder / "ours/data/postmaster.pid").write_bytes(
            (open_folder / "theirs/data/postmaster.pid").read_bytes()
        )
        assert_answer(open_folder / "ours")
        with psycopg.connect(other.url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_pid_file_overwritten_with_a_strangers_pid_makes_stop_harmless(open_folder: Path) -> None:
    embedded = EmbeddedPostgres(open_folder / "pg")
    embedded.url()
    noted = open_folder / "pg/data/postmaster.pid"
    true_content = noted.read_bytes()
    postmaster = postmaster_of(open_folder / "pg")

    with stranger(open_folder / "pg") as process:
        noted.write_bytes(true_content.replace(str(postmaster).encode(), str(process.pid).encode(), 1))
        with pytest.raises(WarehouseError, match="cannot be stopped"):
            embedded.stop()
        assert process.poll() is None
    noted.write_bytes(true_content)
    assert embedded.stop()


def test_a_server_someone_started_by_hand_is_left_alone(open_folder: Path) -> None:
    embedded = EmbeddedPostgres(open_folder / "pg")
    with embedded.hold():
        pass
    owner = pwd.getpwuid((open_folder / "pg/data").stat().st_uid)
    account = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": ()} if os.geteuid() == 0 else {}
    arguments = ["-D", str(open_folder / "pg/data"), "-c", "listen_addresses=", "-k", str(open_folder / "pg/run")]
    with subprocess.Popen(
        [find_binaries({}).program("postgres"), *arguments], stderr=subprocess.DEVNULL, cwd="/", **account
    ) as by_hand:  # type: ignore[call-overload]
        wait_for((open_folder / "pg/run/.s.PGSQL.5432").exists)

        with pytest.raises(WarehouseError, match="did not start"), embedded.hold():
            pass

        assert by_hand.poll() is None
        assert not embedded.stop(force=True)
        assert (open_folder / "pg/run/.s.PGSQL.5432").exists()
        by_hand.send_signal(signal.SIGINT)


def test_a_terminals_interrupt_does_not_reach_the_server(open_folder: Path) -> None:
    with holder(open_folder / "pg") as first:
        postmaster = first.hold()["postmaster"]

        assert os.getsid(postmaster) != os.getsid(first.process.pid)
        assert os.getpgid(postmaster) != os.getpgid(first.process.pid)
        assert first.leave() == {"left": True}


@pytest.mark.parametrize("moment", ["data.new", "data", "data/postmaster.pid", "run/.s.PGSQL.5432"])
def test_interrupted_in_the_middle_of_the_first_start_nothing_is_left_running(open_folder: Path, moment: str) -> None:
    folder = open_folder / "pg"
    with holder(folder) as first:
        first.tell()
        wait_for((folder / moment).exists)
        first.process.send_signal(signal.SIGINT)
        first.process.wait()

    assert not is_running(folder)
    with EmbeddedPostgres(folder).hold() as server:
        write_answer(server.url)


def test_an_interrupted_holder_stops_the_server_it_started(open_folder: Path) -> None:
    with holder(open_folder / "pg") as first:
        postmaster = first.hold()["postmaster"]
        first.process.send_signal(signal.SIGINT)
        first.process.wait()

    assert not is_running(open_folder / "pg")
    assert not alive(postmaster)
