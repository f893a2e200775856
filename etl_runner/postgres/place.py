"""Where a server lives on disk, and where its socket is."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from msgspec import Struct

from etl_runner.errors import WarehouseError
from etl_runner.postgres.account import Account, account_for, give, name_of, reaches
from etl_runner.postgres.binaries import state_folder

DATABASE = "warehouse"
ROLE = "postgres"
PORT = 5432
SOCKET_NAME = f".s.PGSQL.{PORT}"
# What the kernel takes as the address of a socket, in bytes.
LONGEST_SOCKET_PATH = 103 if sys.platform == "darwin" else 107


class Place(Struct, frozen=True, kw_only=True):
    """One server's folder: data, locks, settings and log side by side, all of them the account's alone.

    Theory: `use` is held shared by every user and its last holder stops the server. `gate` is held alone around
    every start and stop. `alive` is inherited by the server's processes: it is free exactly when none of them is left,
    which no pid file can say.
    """

    base: Path
    account: Account

    @property
    def data(self) -> Path:
        return self.base / "data"

    @property
    def draft(self) -> Path:
        """Where a new cluster is made, before it becomes `data`."""
        return self.base / "data.new"

    @property
    def log(self) -> Path:
        return self.base / "server.log"

    @property
    def settings(self) -> Path:
        return self.base / "postgresql.conf"

    @property
    def socket_note(self) -> Path:
        """A file that says where the socket's folder is."""
        return self.base / "socket-folder"

    @property
    def pinned(self) -> Path:
        """Exists while the server is to go on without users."""
        return self.base / "pinned"

    @property
    def use(self) -> Path:
        return self.base / "use.lock"

    @property
    def gate(self) -> Path:
        return self.base / "gate.lock"

    @property
    def alive(self) -> Path:
        return self.base / "alive.lock"


def prepare(folder: Path, env: Mapping[str, str]) -> Place:
    """Make the folder of a server, or find it.

    As root, where the account cannot enter the folder's parents, the folder becomes a link to one below the state
    folder (`/var/lib/etl-run`): nobody's modes are touched, and the link is the record of where the data is.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    account = account_for(folder)
    if not os.path.lexists(folder):
        _make(folder, account, env)
    if not folder.exists():
        raise WarehouseError(
            f"{folder} is a link to {folder.readlink()}, and that is gone",
            hint=f"bring it back, or remove the link to begin with an empty warehouse: rm {folder}",
        )
    place = Place(base=folder.resolve(), account=account)
    _check_owner(place)
    return place


def find(folder: Path) -> Place | None:
    """The place of a server that was prepared before, or None. Nothing is made."""
    return Place(base=folder.resolve(), account=account_for(folder)) if folder.exists() else None


def check_reach(place: Place) -> None:
    """Raise WarehouseError if the account cannot enter the server's folder."""
    if reaches(place.account, place.base):
        return
    raise WarehouseError(
        f"the account {place.account.name!r}, which runs PostgreSQL for root, cannot enter {place.base}",
        hint=f"move that folder to where it can and leave a link: mv {place.base} /var/lib/etl-run/NAME && "
        f"ln -s /var/lib/etl-run/NAME {place.base}",
    )


def url_of(place: Place) -> str:
    """The DSN of a place's server. It names every part, so that no PG* variable changes its meaning."""
    return f"postgresql:///{DATABASE}?host={quote(os.fsencode(socket_folder(place)))}&port={PORT}&user={ROLE}"


def socket_folder(place: Place) -> Path:
    """The folder of the socket, as noted by the last start."""
    try:
        return Path(os.fsdecode(place.socket_note.read_bytes()))
    except FileNotFoundError:
        return place.base / "run"


def make_socket_folder(place: Place) -> Path:
    """A folder only the account can enter: beside the data, or where that path is too long, a private temporary one.

    Trust authentication rests on it. The temporary one is used again as long as it is still ours, and its name is
    random, so that nobody can be there before us. $XDG_RUNTIME_DIR is not used: it goes away at log-out, and cron
    has none.
    """
    beside = place.base / "run"
    if _fits(beside):
        beside.mkdir(mode=0o700, exist_ok=True)
        give(beside, place.account)
        folder = beside
    else:
        noted = socket_folder(place)
        folder = noted if _fits(noted) and _is_private(noted, place.account) else _temporary_folder(place.account)
    write_new(place.socket_note, os.fsencode(folder), place.account)
    for name in (SOCKET_NAME, f"{SOCKET_NAME}.lock"):
        (folder / name).unlink(missing_ok=True)
    return folder


def write_new(path: Path, content: bytes, account: Account) -> None:
    """Replace a file in one step, following no link that stands in its place."""
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        give(Path(draft), account)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def _make(folder: Path, account: Account, env: Mapping[str, str]) -> None:
    if reaches(account, folder.parent):
        folder.mkdir(mode=0o700, exist_ok=True)
        give(folder, account)
        return
    elsewhere = Path(tempfile.mkdtemp(prefix="pg-", dir=state_folder(env)))
    (elsewhere / "BELONGS-TO").write_bytes(os.fsencode(folder) + b"\n")
    give(elsewhere, account)
    try:
        folder.symlink_to(elsewhere)
    except FileExistsError:  # another process was faster
        shutil.rmtree(elsewhere)


def _check_owner(place: Place) -> None:
    owner = place.base.stat().st_uid
    if owner == place.account.uid:
        return
    if owner == 0 and place.account.borrowed:  # made by another root process, this moment
        give(place.base, place.account)
        return
    raise WarehouseError(
        f"{place.base} belongs to {name_of(owner)}, and PostgreSQL would run as {place.account.name!r}",
        hint="run as the owner of the warehouse, give the folder to this user, or set DATABASE_URL",
    )


def _fits(folder: Path) -> bool:
    # A comma would be read as a list of hosts.
    return len(os.fsencode(folder / SOCKET_NAME)) <= LONGEST_SOCKET_PATH and "," not in str(folder)


def _is_private(folder: Path, account: Account) -> bool:
    with suppress(OSError):
        found = folder.lstat()
        return stat.S_ISDIR(found.st_mode) and found.st_uid == account.uid and not stat.S_IMODE(found.st_mode) & 0o077
    return False


def _temporary_folder(account: Account) -> Path:
    for parent in dict.fromkeys((Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp"))):
        if not (_fits(parent / "etl-run-12345678") and parent.is_dir() and reaches(account, parent)):
            continue
        with suppress(OSError):
            folder = Path(tempfile.mkdtemp(prefix="etl-run-", dir=parent))
            give(folder, account)
            return folder
    raise WarehouseError(
        "no folder for the server's socket: the path of the warehouse is too long, and /tmp cannot be used",
        hint="move the project to a shorter path, or set ETL_HOME or TMPDIR to one",
    )
