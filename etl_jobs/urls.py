"""URLs of databases that are divided by their password: who reads them tells a part of it as the name of a host."""

from __future__ import annotations

import re

from etl_jobs.errors import MisconfiguredError

_URL = re.compile("postgres(?:ql)?://(?:[^@/]*@)?([^/?]*)")
_HOST = re.compile(r"(\[[^\]]*\]|[^@:\[\]]*)(:\d*)?")


def refuse_divided(url: str, *, called: str) -> None:
    """Raise MisconfiguredError where libpq would divide the URL within user or password (libpq, "Connection URIs")."""
    found = _URL.match(url)
    if found and not all(map(_HOST.fullmatch, found[1].split(","))):
        raise divided(called)


def divided(called: str) -> MisconfiguredError:
    """What is said of such a URL: nothing that is in it."""
    return MisconfiguredError(
        f"{called} cannot be read: its user or password holds a character that divides a URL",
        hint='write "@" as %40, "/" as %2F, ":" as %3A',
    )
