"""Where the server can live: root, other users, long paths, closed folders, full disks, other versions."""
# ruff: noqa: F401, F811 - fixtures are imported and then named as arguments

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from etl_runner.errors import WarehouseError
from etl_runner.postgres import EmbeddedPostgres, ping
from etl_runner.postgres.binaries import find_binaries
from tests.support.holder import holder
from tests.support.servers import is_running, open_folder

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="shows what root meets")
MAJORS = sorted({folder.parent.name for folder in find_binaries({}).folder.parents[1].glob("pginstall*/bin")})


def owner(path: Path) -> str:
    return pwd.getpwuid(path.stat().st_uid).pw_name


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@contextmanager
def as_nobody() -> Iterator[tuple[str, ...]]:
    """What to put before a command to run it as an unprivileged user who may read our Python."""
    if os.geteuid() != 0:
        yield ()
        return
    if not shutil.which("setpriv"):
        pytest.skip("needs setpriv")
    capabilities = ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]
    yield (
        "setpriv",
        "--reuid=nobody",
        "--regid=nogroup",
        "--clear-groups",
        *capabilities,
        "--bounding-set=-all,+dac_read_search",
    )


def test_an_unprivileged_user_runs_the_server_as_himself(open_folder: Path) -> None:
    with as_nobody() as prefix:
        if prefix:
            shutil.chown(open_folder, "nobody")
        with holder(open_folder / "pg", prefix=prefix) as user:
            said = user.hold()
            assert ping(said["url"])
            assert owner(open_folder / "pg/data") == owner(open_folder)
            assert user.leave() == {"left": True}


def test_a_folder_that_cannot_be_written_is_named_with_a_hint(open_folder: Path) -> None:
    (open_folder / "closed").mkdir(mode=0o555)
    with as_nobody() as prefix, holder(open_folder / "closed" / "pg", prefix=prefix) as user:
        said = user.hold()

    assert f"Permission denied: {open_folder}/closed/pg" in said["error"]
    assert said["hint"]


@as_root
def test_roots_server_runs_under_a_service_account(open_folder: Path) -> None:
    prefix = ("setpriv", "--groups=0,4") if shutil.which("setpriv") else ()
    with holder(open_folder / "pg", prefix=prefix) as root:
        postmaster = root.hold()["postmaster"]
        uid = Path(f"/proc/{postmaster}").stat().st_uid
        groups = Path(f"/proc/{postmaster}/status").read_text().partition("Groups:")[2].splitlines()[0].split()

    assert uid != 0
    assert groups == []


@as_root
def test_root_and_the_owner_of_a_project_share_its_server(open_folder: Path) -> None:
    shutil.chown(open_folder, "nobody")
    embedded = EmbeddedPostgres(open_folder / "pg")

    with as_nobody() as prefix, embedded.hold() as server, holder(open_folder / "pg", prefix=prefix) as user:
        assert user.hold()["url"] == server.url
        assert user.leave() == {"left": True}
        assert owner(open_folder / "pg/data") == "nobody"
        assert ping(server.url)
    with as_nobody() as prefix, holder(open_folder / "pg", prefix=prefix) as user:
        user.hold()
        assert user.leave() == {"left": True}
    assert not is_running(open_folder / "pg")


@as_root
def test_another_users_warehouse_is_refused_with_his_name(open_folder: Path) -> None:
    with EmbeddedPostgres(open_folder / "pg").hold():
        pass

    with as_nobody() as prefix, holder(open_folder / "pg", prefix=prefix) as user:
        said = user.hold()

    assert f"{open_folder}/pg belongs to {owner(open_folder / 'pg')!r}" in said["error"]


@as_root
def test_below_a_folder_only_root_can_enter_the_data_goes_to_the_state_folder(open_folder: Path) -> None:
    with tempfile.TemporaryDirectory() as closed:
        project = Path(closed) / "project"
        project.mkdir()
        folder = project / ".etl" / "pg"
        embedded = EmbeddedPostgres(folder, env={"ETL_PG_STATE": str(open_folder / "state")})
        with embedded.hold() as server, psycopg.connect(server.url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")

        assert folder.is_symlink()
        assert folder.resolve().parent == open_folder / "state"
        assert (folder / "BELONGS-TO").read_text() == f"{folder}\n"
        assert mode(Path(closed)) == 0o700

        moved = project.rename(project.with_name("moved"))
        with EmbeddedPostgres(moved / ".etl" / "pg").hold() as server, psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


@as_root
def test_a_link_to_data_that_is_gone_is_an_error_that_says_so(open_folder: Path) -> None:
    (open_folder / "pg").symlink_to(open_folder / "gone")

    with pytest.raises(WarehouseError, match="gone") as caught, EmbeddedPostgres(open_folder / "pg").hold():
        pass

    assert "rm " in caught.value.hint


@as_root
def test_a_warehouse_whose_parents_were_closed_later_says_how_to_move_it(open_folder: Path) -> None:
    project = open_folder / "project"
    with EmbeddedPostgres(project / "pg").hold():
        pass
    project.chmod(0o700)

    with pytest.raises(WarehouseError, match="cannot enter") as caught, EmbeddedPostgres(project / "pg").hold():
        pass

    assert f"mv {project}/pg" in caught.value.hint
    assert mode(project) == 0o700


@as_root
def test_programs_only_root_can_read_are_copied_once(open_folder: Path) -> None:
    installed = find_binaries({}).folder.parent
    with tempfile.TemporaryDirectory() as closed:
        package = Path(closed) / installed.parent.name
        shutil.copytree(installed, package / installed.name, symlinks=True)
        shutil.copytree(f"{installed.parent}.libs", f"{package}.libs", symlinks=True)
        env = {"ETL_PG_BIN": str(package / installed.name / "bin"), "ETL_PG_STATE": str(open_folder / "state")}

        for _ in range(2):
            with EmbeddedPostgres(open_folder / "pg", env=env).hold() as server:
                assert ping(server.url)

        assert len(list((open_folder / "state").iterdir())) == 1
        assert mode(Path(closed)) == 0o700


def test_a_path_of_120_characters_and_more_moves_the_socket_to_a_private_folder(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(open_folder))
    folder = open_folder / ("x" * 120) / "pg"
    with EmbeddedPostgres(folder).hold() as first:
        socket_folder = Path((folder / "socket-folder").read_text())
        assert ping(first.url)
        assert mode(socket_folder) == 0o700
        assert owner(socket_folder) == owner(folder / "data")
        assert socket_folder.parent == open_folder

    with EmbeddedPostgres(folder).hold() as second:
        assert second.url == first.url

    shutil.rmtree(socket_folder)  # as a reboot does
    with EmbeddedPostgres(folder).hold() as third:
        assert ping(third.url)


def test_a_socket_folder_that_others_opened_is_not_used_again(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(open_folder))
    folder = open_folder / ("x" * 120) / "pg"
    with EmbeddedPostgres(folder).hold() as first:
        opened = Path((folder / "socket-folder").read_text())
    opened.chmod(0o777)

    with EmbeddedPostgres(folder).hold() as second:
        assert second.url != first.url


@pytest.mark.parametrize("length", [105, 106, 107, 108, 109])
def test_around_the_limit_of_a_socket_path_every_length_works(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(open_folder))
    rest = len(os.fsencode(open_folder)) + len("//pg/run/.s.PGSQL.5432")
    folder = open_folder / ("x" * (length - rest)) / "pg"

    with EmbeddedPostgres(folder).hold() as server:
        assert ping(server.url)


def test_data_of_another_major_version_is_left_alone_with_a_clear_error(open_folder: Path) -> None:
    embedded = EmbeddedPostgres(open_folder / "pg")
    with embedded.hold() as server:
        version = ping(server.url).partition(".")[0]
    (open_folder / "pg/data/PG_VERSION").write_text("9\n")

    with pytest.raises(WarehouseError, match="data is of PostgreSQL 9, and here is only") as caught, embedded.hold():
        pass

    assert "ETL_PG_BIN" in caught.value.hint
    (open_folder / "pg/data/PG_VERSION").write_text(f"{version}\n")
    with embedded.hold() as server:
        assert ping(server.url)


@pytest.mark.skipif(len(MAJORS) < 2, reason="needs two versions of PostgreSQL")
def test_existing_data_is_served_by_the_version_that_made_it(open_folder: Path) -> None:
    newest = find_binaries({})
    older = next(each for each in newest.folder.parents[1].glob("pginstall*/bin") if each != newest.folder)
    with EmbeddedPostgres(open_folder / "pg", env={"ETL_PG_BIN": str(older)}).hold() as server:
        made_by = ping(server.url)

    with EmbeddedPostgres(open_folder / "pg").hold() as server:
        assert ping(server.url) == made_by
    with (
        pytest.raises(WarehouseError, match="Nothing was changed"),
        EmbeddedPostgres(open_folder / "pg", env={"ETL_PG_BIN": str(newest.folder)}).hold(),
    ):
        pass
    assert made_by != newest.version


def test_a_folder_named_for_the_programs_that_has_none_is_an_error(open_folder: Path) -> None:
    env = {"ETL_PG_BIN": str(open_folder)}

    with (
        pytest.raises(WarehouseError, match=rf"no PostgreSQL in {open_folder} \(ETL_PG_BIN\)"),
        EmbeddedPostgres(open_folder / "pg", env=env).hold(),
    ):
        pass


def test_a_data_folder_that_is_none_is_left_alone(open_folder: Path) -> None:
    (open_folder / "pg/data").mkdir(parents=True)
    (open_folder / "pg/data/mine.txt").touch()

    with pytest.raises(WarehouseError, match="no PostgreSQL data folder"), EmbeddedPostgres(open_folder / "pg").hold():
        pass

    assert (open_folder / "pg/data/mine.txt").exists()


def test_a_server_that_cannot_start_says_why_in_its_own_words(open_folder: Path) -> None:
    embedded = EmbeddedPostgres(open_folder / "pg")
    with embedded.hold() as server, psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET shared_preload_libraries = 'no_such_library'")

    with (
        pytest.raises(WarehouseError, match='FATAL:  could not access file "no_such_library"') as caught,
        embedded.hold(),
    ):
        pass

    assert "server.log" in caught.value.hint
    assert not is_running(open_folder / "pg")


@as_root
def test_a_full_disk_is_named_and_leaves_nothing_half_made(open_folder: Path) -> None:
    small = open_folder / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m,mode=755", "none", small], check=False).returncode:
        pytest.skip("cannot mount a small disk here")
    try:
        embedded = EmbeddedPostgres(small / "pg")
        with pytest.raises(WarehouseError, match="No space left on device") as caught, embedded.hold():
            pass
        assert "free some space" in caught.value.hint
        assert not (small / "pg/data").exists()
        subprocess.run(["mount", "-o", "remount,size=200m", small], check=True)
        with embedded.hold() as server:
            assert ping(server.url)
    finally:
        subprocess.run(["umount", small], check=True)
