"""URLs that are divided by their password: who reads them tells a part of it as the name of a host."""

from __future__ import annotations

import re

from etl_jobs.errors import MisconfiguredError

_HOST = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(:\d*)?")


def refuse_unquoted(url: str, *, called: str) -> None:
    """Raise MisconfiguredError, which quotes nothing, where user or password hold what divides a URL (RFC 3986)."""
    _, found, rest = url.partition("://")
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    path = rest[len(authority) :].partition("?")[0]
    hosts = authority.rpartition("@")[2].split(",")
    if found and (authority.count("@") > 1 or "@" in path or not all(map(_HOST.fullmatch, hosts))):
        raise MisconfiguredError(
            f"{called} cannot be read: its user or password holds a character that divides a URL",
            hint='write "@" as %40, ":" as %3A, "/" as %2F, "?" as %3F, "#" as %23',
        )
