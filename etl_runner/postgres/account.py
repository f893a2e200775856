"""Who runs the server: PostgreSQL refuses root, so root lends it an unprivileged account."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from etl_runner.errors import WarehouseError

CANDIDATES = ("postgres", "_postgres", "nobody")


class Account(Struct, frozen=True, kw_only=True):
    """An account of this machine; `borrowed` when we are root and must become it."""

    name: str
    uid: int
    gid: int
    borrowed: bool


def account_for(folder: Path) -> Account:
    """The account for a server in `folder`: ourselves, or if we are root the folder's owner or a service account.

    The nearest existing owner decides, so that root and the owner can share one server.
    """
    uid = os.geteuid()
    if uid != 0:
        return _account(_entry(uid), borrowed=False)
    for place in (folder, folder.parent):
        if owner := _owner(place):
            return _account(owner, borrowed=True)
    for name in CANDIDATES:
        try:
            return _account(pwd.getpwnam(name), borrowed=True)
        except KeyError:
            continue
    raise WarehouseError(
        "PostgreSQL does not run as root, and this machine has no account named postgres or nobody",
        hint="run as another user, create an account (useradd --system postgres), or set DATABASE_URL",
    )


def run_as(
    account: Account,
    argv: Sequence[str | Path],
    *,
    given: bytes = b"",
    stdout: int | None = subprocess.PIPE,
    stderr: int | None = subprocess.PIPE,
    keep: Sequence[int] = (),
) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end as the account, away from our terminal, directory, environment and other groups.

    `keep` are descriptors it inherits. Raises OSError if it cannot be started.
    """
    return subprocess.run(
        [os.fspath(part) for part in argv],
        input=given,
        stdout=stdout,
        stderr=stderr,
        cwd="/",
        env=server_environment(os.environ),
        pass_fds=keep,
        start_new_session=True,
        check=False,
        user=account.uid if account.borrowed else None,
        group=account.gid if account.borrowed else None,
        extra_groups=() if account.borrowed else None,
    )


def reaches(account: Account, folder: Path) -> bool:
    """Whether the account can enter a folder: always true for ourselves, asked of the kernel for another."""
    if not account.borrowed:
        return True
    try:
        return run_as(account, ["/bin/sh", "-c", 'cd -- "$1"', "sh", folder]).returncode == 0
    except OSError as error:
        raise WarehouseError(
            f"root cannot run PostgreSQL as the account {account.name!r}: {error.strerror}",
            hint="this container may lack the right to change users: run it as another user, or set DATABASE_URL",
        ) from None


def give(path: Path, account: Account) -> None:
    """Hand a file or folder of ours to the account."""
    if account.borrowed:
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


def name_of(uid: int) -> str:
    """A user's name, for messages."""
    try:
        return repr(pwd.getpwuid(uid).pw_name)
    except KeyError:
        return f"user id {uid}"


def server_environment(env: Mapping[str, str]) -> dict[str, str]:
    """What the server may see of our environment: no secrets, no PG* settings, messages in English."""
    kept = {name: env[name] for name in ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH") if name in env}
    return {"PATH": os.defpath, **kept, "LC_ALL": "C", "TZ": "UTC"}


def _owner(place: Path) -> pwd.struct_passwd | None:
    try:
        uid = place.stat().st_uid
        return pwd.getpwuid(uid) if uid else None
    except (OSError, KeyError):
        return None


def _entry(uid: int) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(uid)
    except KeyError:
        raise WarehouseError(
            f"PostgreSQL needs an account with a name, and user id {uid} has none",
            hint="run as a named user (add it to /etc/passwd of the container), or set DATABASE_URL",
        ) from None


def _account(entry: pwd.struct_passwd, *, borrowed: bool) -> Account:
    return Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid, borrowed=borrowed)
