"""The server's side of jobs that are gone: a killed client does not end its statement (pg_terminate_backend)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from etl_runner.postgres.choice import CONNECT_SECONDS

_WAIT_MS = 5000  # for each backend to be gone: it may have to roll back

_END = """
SELECT pg_terminate_backend(pid, %s) FROM pg_stat_activity
WHERE application_name = ANY(%s) AND pid <> pg_backend_pid()
"""


async def end_backends(url: str, applications: Sequence[str]) -> None:
    """End the sessions with these application names, and wait until they are gone.

    Does nothing where the server cannot be asked: whoever comes next meets it, or does not need it.
    """
    await asyncio.to_thread(_end, url, list(applications))


def _end(url: str, applications: list[str]) -> None:
    import psycopg

    try:
        with psycopg.connect(url, connect_timeout=CONNECT_SECONDS, autocommit=True) as connection:
            connection.execute(_END, (_WAIT_MS, applications))
    except psycopg.Error:
        return
