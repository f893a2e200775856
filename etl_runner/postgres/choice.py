"""Which server the environment asks for, and whether a server answers."""

from __future__ import annotations

import re
from collections.abc import Mapping

from etl_runner.errors import WarehouseError

URL_VARIABLE = "DATABASE_URL"
SELECTING_VARIABLES = ("PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGSERVICE")
SCHEMES = ("postgresql", "postgres")
CONNECT_SECONDS = 10
# As libpq divides a URL ("Connection URIs"). What it takes for a host and is none may be a part of the password.
_URL = re.compile("postgres(?:ql)?://(?:[^@/]*@)?([^/?]*)")
_HOST = re.compile(r"(\[[^\]]*\]|[^@:\[\]]*)(:\d*)?")


def environment(env: Mapping[str, str]) -> str | None:
    """The DSN of the server the environment selects, or None: use the embedded one.

    `DATABASE_URL` is given back as it is. Where only PG* variables are set the DSN is the bare `postgresql://`,
    which every libpq client completes from the same variables. Raises WarehouseError if `DATABASE_URL` is of
    another kind of database, or cannot be read.
    """
    url = env.get(URL_VARIABLE, "").strip()
    if url:
        _check(url)
        return url
    return "postgresql://" if any(env.get(name) for name in SELECTING_VARIABLES) else None


def is_selected_by_environment(env: Mapping[str, str]) -> bool:
    """Whether `DATABASE_URL` or one of PGHOST, PGHOSTADDR, PGPORT, PGDATABASE, PGSERVICE names a server."""
    return environment(env) is not None


def ping(url: str) -> str:
    """Connect to a server once and give its version ("18.4"); raises WarehouseError, without the password."""
    import psycopg

    try:
        with psycopg.connect(url, connect_timeout=CONNECT_SECONDS) as connection:
            row = connection.execute("SHOW server_version").fetchone()
    except psycopg.Error as error:
        raise WarehouseError(
            f"the warehouse does not answer: {_masked(str(error).strip() or type(error).__name__)}",
            hint="check DATABASE_URL or the PG* variables, and that the server is running",
        ) from None
    return str(row[0]).split()[0] if row else ""


def _masked(text: str) -> str:
    """libpq quotes a DSN it cannot read, with its password."""
    return re.sub(r"(://[^\s:/@]*:)\S*@|(\bpassword=)[^\s&\"]*", lambda found: f"{found[1] or found[2]}***", text)


def _check(url: str) -> None:
    scheme = re.match(r"([\w+.-]+)://", url)
    if scheme and scheme[1] not in SCHEMES:
        raise WarehouseError(
            f"DATABASE_URL is for {scheme[1]!r}, and the warehouse must be PostgreSQL",
            hint="give a postgresql://… URL, or unset DATABASE_URL for the embedded server",
        )
    hosts = _URL.match(url)
    if hosts and not all(map(_HOST.fullmatch, hosts[1].split(","))):
        raise WarehouseError(
            "DATABASE_URL cannot be read: its user or password holds a character that divides a URL",
            hint='write "@" as %40, "/" as %2F, ":" as %3A',
        )
