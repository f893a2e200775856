"""One embedded PostgreSQL, shared by whoever needs it and gone when nobody does."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from msgspec import Struct

from etl_runner.errors import WarehouseError
from etl_runner.postgres.binaries import find_binaries
from etl_runner.postgres.cluster import data_version, ensure_running, stop_server
from etl_runner.postgres.complaint import complaint
from etl_runner.postgres.locks import drop, holders, is_free, locked, open_lock, share, take
from etl_runner.postgres.place import Place, find, prepare, url_of


class Server(Struct, frozen=True, kw_only=True):
    """A running server: its DSN, for any libpq client, and its psql."""

    url: str
    psql: Path


class EmbeddedPostgres:
    """The PostgreSQL of one folder. Any number of processes and threads may use it at once.

    Every method raises WarehouseError, with the server's own words, when it cannot do its work.
    """

    def __init__(self, folder: Path, *, env: Mapping[str, str] | None = None) -> None:
        self._folder = folder.absolute()
        self._env = os.environ if env is None else env

    @contextmanager
    def hold(self) -> Iterator[Server]:
        """Have the server running while the block runs. The last of all holders stops it, if it is not pinned."""
        try:
            place, use = self._join(pin=False)
            server = self._server(place)
        except OSError as error:
            self._explain(error)
        try:
            yield server
        finally:
            try:
                _leave(place, use)
            except OSError as error:
                self._explain(error)

    def url(self) -> str:
        """Start the server if need be, let it go on until `stop`, and give its DSN."""
        try:
            place, use = self._join(pin=True)
            _leave(place, use)
        except OSError as error:
            self._explain(error)
        return url_of(place)

    def stop(self, *, force: bool = False) -> bool:
        """Stop the server; False if none was running.

        Raises WarehouseError while somebody holds it, unless forced: then its sessions are ended.
        """
        try:
            place = find(self._folder)
            return place is not None and _stop(place, force=force)
        except OSError as error:
            self._explain(error)

    def _join(self, *, pin: bool) -> tuple[Place, int]:
        place = prepare(self._folder, self._env)
        with locked(place.gate, place.account) as gate:
            use = open_lock(place.use, place.account)
            try:
                share(use)
                ensure_running(place, self._env, gate=gate)
                if pin:
                    place.pinned.touch(mode=0o600)
            except BaseException:
                with suppress(WarehouseError, OSError):
                    _let_go(place, use)
                raise
        return place, use

    def _server(self, place: Place) -> Server:
        binaries = find_binaries(self._env, major=data_version(place))
        return Server(url=url_of(place), psql=binaries.program("psql"))

    def _explain(self, error: OSError) -> NoReturn:
        words = f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")
        raise complaint(f"cannot run the warehouse's server in {self._folder}", words) from error


def _leave(place: Place, use: int) -> None:
    with locked(place.gate, place.account):
        _let_go(place, use)


def _let_go(place: Place, use: int) -> None:
    """Give up a use (the gate is held); stop the server if it was the last."""
    try:
        if take(use) and not place.pinned.exists():
            stop_server(place)
    finally:
        drop(use)


def _stop(place: Place, *, force: bool) -> bool:
    with locked(place.gate, place.account):
        if is_free(place.alive, place.account):
            return False
        if not force and not is_free(place.use, place.account):
            pids = ", ".join(map(str, holders(place.use)))
            raise WarehouseError(
                "the warehouse's server is in use" + (f" by process {pids}" if pids else ""),
                hint="wait for the runs to end, or end their sessions too: etl-run db stop --force",
            )
        if not stop_server(place):
            raise WarehouseError(
                f"the server in {place.base} was started in another container and cannot be stopped from here",
                hint="run etl-run db stop there",
            )
        place.pinned.unlink(missing_ok=True)
        return True
