"""Making, starting and stopping one cluster; every function here wants the gate held."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from etl_runner.errors import WarehouseError
from etl_runner.postgres.account import give, run_as
from etl_runner.postgres.binaries import Binaries, find_binaries, reachable
from etl_runner.postgres.complaint import check, complaint
from etl_runner.postgres.locks import is_free, open_lock, take
from etl_runner.postgres.place import (
    DATABASE,
    PORT,
    ROLE,
    SOCKET_NAME,
    Place,
    check_reach,
    make_socket_folder,
    socket_folder,
    write_new,
)
from etl_runner.postgres.process import postmaster, signal_all, signal_postmaster
from etl_runner.postgres.settings import configuration

RECOVERY_SECONDS = 3600.0
SILENCE_SECONDS = 60.0
STOP_SECONDS = 600.0
HEADLESS_SECONDS = 2.0
LARGEST_LOG = 10 << 20


def ensure_running(place: Place, env: Mapping[str, str], *, gate: int) -> None:
    """Make the server answer: join the running one, or start it, creating its data first if there is none."""
    if not is_free(place.alive, place.account):
        binaries = find_binaries(env, major=data_version(place))
        if _wait_until_ready(place, binaries):
            return
    check_reach(place)
    version = data_version(place)
    binaries = reachable(find_binaries(env, major=version), place.account, env)
    if version is None:
        _create(place, binaries, gate=gate)
    _start(place, binaries)


def data_version(place: Place) -> str | None:
    """The major version of the data, None if there is no data yet."""
    try:
        return (place.data / "PG_VERSION").read_text(encoding="ascii").strip()
    except FileNotFoundError:
        if not place.data.exists():
            return None
    except PermissionError:
        raise WarehouseError(
            f"{place.data} cannot be read by this user", hint="run as the owner of the warehouse, or set DATABASE_URL"
        ) from None
    raise WarehouseError(
        f"{place.data} is no PostgreSQL data folder (it has no PG_VERSION)",
        hint="move it away; a new warehouse is then made in its place",
    )


def stop_server(place: Place) -> bool:
    """Stop the server in its orderly way, and come back when none of its processes is left.

    False if it goes on, because it was started where we cannot see it (another container).
    """
    deadline = time.monotonic() + STOP_SECONDS
    signalled = None
    for headless in _while_alive(place):
        now = time.monotonic()
        # A "fast" shutdown: sessions are ended, nothing is lost. Said again, as one just starting may not hear it.
        if (signalled is None or now > signalled + 1) and signal_postmaster(place, signal.SIGINT):
            signalled = now
        if now > deadline:
            raise WarehouseError(
                f"the warehouse's server in {place.base} does not stop", hint=f"its log is {place.log}"
            )
        if headless >= HEADLESS_SECONDS:
            if signalled is None and _listens(place):
                return False
            signal_all(place, signal.SIGQUIT)
    return True


def _create(place: Place, binaries: Binaries, *, gate: int) -> None:
    """Make a cluster beside its place and rename it: `data` is whole or not there.

    The programs hold the gate with us: if we are killed, nobody touches the draft before they are gone.
    """
    if place.draft.exists():
        shutil.rmtree(place.draft)
    place.draft.mkdir(mode=0o700)
    give(place.draft, place.account)
    message = f"cannot create the warehouse in {place.base}"
    initdb: list[str | Path] = [binaries.program("initdb"), "-D", place.draft, *_initdb_options(binaries)]
    check(run_as(place.account, initdb, keep=[gate]), message)
    single: list[str | Path] = [
        binaries.program("postgres"),
        "--single",
        "-D",
        place.draft,
        "-c",
        "shared_buffers=16MB",
        "postgres",
    ]
    check(run_as(place.account, single, given=f"CREATE DATABASE {DATABASE}\n".encode(), keep=[gate]), message)
    place.draft.rename(place.data)
    _sync_folder(place.base)


def _initdb_options(binaries: Binaries) -> list[str]:
    """Trust rests on the socket's private folder; text sorts the same on every machine."""
    options = ["-U", ROLE, "--auth-local=trust", "--auth-host=reject", "-E", "UTF8", "--locale=C"]
    if int(binaries.major) >= 17:  # then upper() and lower() know more than ASCII
        options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    return options


def _start(place: Place, binaries: Binaries) -> None:
    alive = open_lock(place.alive, place.account)
    try:
        if not take(alive):
            raise WarehouseError(f"another server is starting in {place.base}", hint="try again")
        if postmaster(place) is not None:
            raise WarehouseError(
                f"a PostgreSQL that etl-run did not start runs on {place.data}", hint="stop it with its own pg_ctl"
            )
        # Nobody of this server is alive: what it left cannot be used, and its pid may be a stranger's by now.
        (place.data / "postmaster.pid").unlink(missing_ok=True)
        place.pinned.unlink(missing_ok=True)
        write_new(place.settings, configuration().encode(), place.account)
        logged = _launch(place, binaries, make_socket_folder(place), alive)
    finally:
        os.close(alive)  # from now on it is held by the server's processes alone
    if not _wait_until_ready(place, binaries):
        raise complaint(f"cannot start the warehouse in {place.base}", _log_since(place, logged), log=place.log)


def _launch(place: Place, binaries: Binaries, folder: Path, alive: int) -> int:
    """Start the postmaster as nobody's child; gives the length of the log before it."""
    quoted = str(folder).replace('"', '""')
    postgres: list[str | Path] = [binaries.program("postgres"), "-D", place.data, "-c", f"config_file={place.settings}"]
    sockets = [f'unix_socket_directories="{quoted}"', "unix_socket_permissions=0700", f"port={PORT}"]
    fixed = [word for setting in ("listen_addresses=", *sockets) for word in ("-c", setting)]
    _rotate(place.log)
    log = os.open(place.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        give(place.log, place.account)
        length = os.fstat(log).st_size
        # The shell goes at once and its child stays, in a session of its own: no signal of our terminal reaches it.
        shell = ["/bin/sh", "-c", '"$@" </dev/null &', "sh"]
        run_as(place.account, [*shell, *postgres, *fixed], stdout=log, stderr=log, keep=[alive])
    finally:
        os.close(log)
    return length


def _wait_until_ready(place: Place, binaries: Binaries) -> bool:
    """True as soon as the server answers, False if it is gone. Recovery after a crash may take its time."""
    started = time.monotonic()
    for headless in _while_alive(place):
        match _answer(place, binaries):
            case 0:
                return True
            case 1:
                patience = RECOVERY_SECONDS
            case _:
                patience = SILENCE_SECONDS
        if headless >= HEADLESS_SECONDS:
            signal_all(place, signal.SIGQUIT)  # a crashed postmaster's sessions still hold its memory
        if time.monotonic() - started > patience:
            raise WarehouseError(
                f"the warehouse's server in {place.base} runs, but does not answer",
                hint=f"its log is {place.log}; `etl-run db stop --force` stops it",
            )
    return False


def _while_alive(place: Place) -> Iterator[float]:
    """Come back again and again, more and more slowly, until no process of the server is left.

    Gives the seconds for which there has been no postmaster among them.
    """
    pause = 0.005
    headed = time.monotonic()
    while not is_free(place.alive, place.account):
        if postmaster(place) is not None:
            headed = time.monotonic()
        yield time.monotonic() - headed
        time.sleep(pause)
        pause = min(0.1, pause * 1.5)


def _answer(place: Place, binaries: Binaries) -> int:
    """pg_isready's answer: 0 accepts, 1 rejects (starting, recovering, stopping), else silence."""
    where: list[str | Path] = ["-h", socket_folder(place), "-p", str(PORT), "-U", ROLE, "-d", DATABASE, "-t", "5", "-q"]
    return run_as(place.account, [binaries.program("pg_isready"), *where]).returncode


def _listens(place: Place) -> bool:
    """Whether somebody accepts connections on the socket."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(os.fsencode(socket_folder(place) / SOCKET_NAME)) == 0


def _log_since(place: Place, offset: int) -> str:
    with place.log.open("rb") as file:
        file.seek(offset)
        return file.read(1 << 20).decode(errors="replace")


def _rotate(log: Path) -> None:
    """Keep one old log beside the present one."""
    if log.exists() and log.stat().st_size > LARGEST_LOG:
        log.replace(log.with_name(f"{log.name}.old"))


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
