"""The embedded server: started once, shared, stopped by its last user."""
# ruff: noqa: F401, F811 - fixtures are imported and then named as arguments

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from etl_runner.errors import WarehouseError
from etl_runner.postgres import EmbeddedPostgres, ping
from tests.support.holder import holder
from tests.support.servers import database, is_running, open_folder, warehouse


def ask(url: str, question: str) -> str:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(question).fetchone()
    assert row
    return str(row[0])


def test_the_first_hold_makes_a_server_and_its_end_stops_it(open_folder: Path) -> None:
    embedded = EmbeddedPostgres(open_folder / ".etl" / "pg")

    with embedded.hold() as server:
        assert ask(server.url, "SELECT current_database()") == "warehouse"
        assert int(ping(server.url).split(".")[0]) >= 15
        assert is_running(open_folder / ".etl" / "pg")

    assert not is_running(open_folder / ".etl" / "pg")


def test_data_is_there_again_at_the_next_start(open_folder: Path) -> None:
    embedded = EmbeddedPostgres(open_folder / "pg")
    with embedded.hold() as server, psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")

    with embedded.hold() as server:
        assert ask(server.url, "SELECT answer FROM kept") == "42"


def test_holds_within_a_process_share_one_server(open_folder: Path) -> None:
    embedded = EmbeddedPostgres(open_folder / "pg")

    with embedded.hold() as outer:
        with EmbeddedPostgres(open_folder / "pg").hold() as inner:
            assert inner.url == outer.url
        assert ask(outer.url, "SELECT 1") == "1"

    assert not is_running(open_folder / "pg")


def test_twenty_processes_race_for_the_first_start_and_get_one_postmaster(open_folder: Path) -> None:
    with ExitStack() as stack:
        holders = [stack.enter_context(holder(open_folder / "pg")) for _ in range(20)]
        for each in holders:
            each.tell()

        postmasters = {each.hear()["postmaster"] for each in holders}
        left = [each.leave() for each in holders]

    assert len(postmasters) == 1
    assert left == [{"left": True}] * 20
    assert not is_running(open_folder / "pg")


def test_the_last_user_stops_the_server_and_no_other(open_folder: Path) -> None:
    with holder(open_folder / "pg") as first, holder(open_folder / "pg") as second:
        url = first.hold()["url"]
        second.hold()
        first.leave()
        assert ask(url, "SELECT 1") == "1"
        second.leave()
        assert not is_running(open_folder / "pg")


def test_a_pinned_server_goes_on_until_it_is_stopped(open_folder: Path) -> None:
    embedded = EmbeddedPostgres(open_folder / "pg")

    url = embedded.url()
    with embedded.hold() as server:
        assert server.url == url
    assert ask(url, "SELECT 1") == "1"

    assert embedded.stop()
    assert not is_running(open_folder / "pg")
    assert not embedded.stop()
    with embedded.hold():
        pass
    assert not is_running(open_folder / "pg")  # the pin ended with its server


def test_stop_is_refused_while_the_server_is_held(open_folder: Path) -> None:
    embedded = EmbeddedPostgres(open_folder / "pg")

    with holder(open_folder / "pg") as other:
        url = other.hold()["url"]
        with pytest.raises(WarehouseError, match=rf"in use by process {other.process.pid}") as caught:
            embedded.stop()
        assert "--force" in caught.value.hint
        assert ask(url, "SELECT 1") == "1"


def test_a_forced_stop_ends_sessions_and_holders_leave_in_peace(open_folder: Path) -> None:
    embedded = EmbeddedPostgres(open_folder / "pg")

    with embedded.hold() as server, psycopg.connect(server.url, autocommit=True) as connection:
        assert embedded.stop(force=True)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")

    assert not is_running(open_folder / "pg")


def test_stop_of_a_server_that_never_was_makes_nothing(open_folder: Path) -> None:
    assert not EmbeddedPostgres(open_folder / "pg").stop()
    assert list(open_folder.iterdir()) == []


def test_hold_and_stop_at_the_same_time_leave_a_working_server(open_folder: Path) -> None:
    embedded = EmbeddedPostgres(open_folder / "pg")

    def use(_: int) -> str:
        with embedded.hold() as server:
            return ask(server.url, "SELECT 'fine'")

    def stop(_: int) -> bool:
        try:
            return embedded.stop()
        except WarehouseError as error:
            return "in use" not in error.message

    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(use, each) for each in range(12)]
        stops = [pool.submit(stop, each) for each in range(12)]
        assert {each.result() for each in answers} == {"fine"}
        assert not any(each.exception() for each in stops)
    assert not is_running(open_folder / "pg")


def test_an_error_in_the_block_is_not_changed_and_the_server_is_stopped(open_folder: Path) -> None:
    embedded = EmbeddedPostgres(open_folder / "pg")

    with pytest.raises(FileNotFoundError, match="mine"), embedded.hold():
        raise FileNotFoundError("mine")

    assert not is_running(open_folder / "pg")


def test_the_server_listens_on_its_private_socket_alone(open_folder: Path) -> None:
    with EmbeddedPostgres(open_folder / "pg").hold() as server:
        assert ask(server.url, "SHOW listen_addresses") == ""
        assert (open_folder / "pg" / "run").stat().st_mode & 0o777 == 0o700
        assert (open_folder / "pg" / "data").stat().st_mode & 0o777 == 0o700


def test_the_servers_settings_suit_a_warehouse(open_folder: Path) -> None:
    asked = ("wal_level", "max_wal_senders", "max_wal_size", "checkpoint_timeout", "TimeZone")
    with EmbeddedPostgres(open_folder / "pg").hold() as server:
        found = {name: ask(server.url, f"SHOW {name}") for name in (*asked, "client_connection_check_interval")}

    assert found == {
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "max_wal_size": "4GB",
        "checkpoint_timeout": "15min",
        "TimeZone": "UTC",
        "client_connection_check_interval": "1s",
    }


def test_text_is_utf8_and_sorts_by_code_point(database: str) -> None:
    assert ask(database, "SHOW server_encoding") == "UTF8"
    assert ask(database, "SELECT string_agg(x, '' ORDER BY x) FROM unnest('{b,a,B,ä}'::text[]) x") == "Babä"
    knows = int(ask(database, "SHOW server_version_num")) >= 170_000  # an older one knows the case of ASCII alone
    assert ask(database, "SELECT upper('aé')") == ("AÉ" if knows else "Aé")


def test_pg_variables_around_us_change_neither_the_server_nor_its_dsn(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"PGPORT": "1", "PGDATA": "/nowhere", "PGUSER": "nobody", "PGDATABASE": "x"}.items():
        monkeypatch.setenv(name, value)

    with EmbeddedPostgres(open_folder / "pg").hold() as server:
        answer = subprocess.run([server.psql, server.url, "-tAc", "SELECT 1"], capture_output=True, check=True)

    assert answer.stdout == b"1\n"


def test_the_server_sees_no_secret_of_our_environment(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TOKEN", "secret")

    with EmbeddedPostgres(open_folder / "pg").hold():
        pid = int((open_folder / "pg/data/postmaster.pid").read_text().split()[0])
        assert b"A_TOKEN" not in Path(f"/proc/{pid}/environ").read_bytes()


@pytest.mark.parametrize("name", ["a b", "it's", 'say "x"', "$HOME", "a,b", "100%", "ünï", "-x", "a\\b"])
def test_any_folder_name_will_do(open_folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(open_folder))
    with EmbeddedPostgres(open_folder / name / "pg").hold() as server:
        assert ask(server.url, "SELECT 1") == "1"
        answer = subprocess.run([server.psql, server.url, "-tAc", "SELECT 1"], capture_output=True, check=True)
        assert answer.stdout == b"1\n"

    assert not is_running(open_folder / name / "pg")


def test_a_server_started_with_signals_blocked_can_still_be_stopped(open_folder: Path) -> None:
    embedded = EmbeddedPostgres(open_folder / "pg")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD})
    try:
        with embedded.hold() as server:
            assert ask(server.url, "SELECT 1") == "1"
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    assert not is_running(open_folder / "pg")


def test_a_hold_outlives_the_thread_that_took_it(open_folder: Path) -> None:
    embedded = EmbeddedPostgres(open_folder / "pg")
    stack = ExitStack()
    urls: list[str] = []

    taker = threading.Thread(target=lambda: urls.append(stack.enter_context(embedded.hold()).url))
    taker.start()
    taker.join()

    with stack:
        assert ask(urls[0], "SELECT 1") == "1"
    assert not is_running(open_folder / "pg")


def test_a_fork_that_lives_on_does_not_keep_the_server(open_folder: Path) -> None:
    embedded = EmbeddedPostgres(open_folder / "pg")
    script = (
        "import os, signal, sys; from pathlib import Path; from etl_runner.postgres import EmbeddedPostgres\n"
        "with EmbeddedPostgres(Path(sys.argv[1])).hold():\n"
        "    child = os.fork()\n"
        "    if not child: os.close(1); signal.pause()\n"
        "print(child)\n"
    )

    ended = subprocess.run([sys.executable, "-c", script, open_folder / "pg"], stdout=subprocess.PIPE, check=True)
    try:
        assert not is_running(open_folder / "pg")
        with embedded.hold() as server:
            assert ask(server.url, "SELECT 1") == "1"
    finally:
        os.kill(int(ended.stdout), 9)
