"""The way to the warehouse: connecting, schemas, one lock per target."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import Connection, sql
from psycopg.rows import TupleRow

from etl_jobs.errors import MisconfiguredError, UnavailableError
from etl_jobs.refusals import has_no_entry
from etl_jobs.urls import refuse_divided

Session = Connection[TupleRow]

_SELECTS_A_SERVER = ("PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGSERVICE")
_PREPARING = 7_314_001  # advisory lock: one session at a time makes schemas
_TARGETS = 7_314_002  # advisory lock class of the targets' locks
_SHORT = 500  # milliseconds: how long to insist on locks that readers wait behind
_SESSION = (
    "SET TimeZone = 'UTC'",
    "SET DateStyle = 'ISO, YMD'",
    "SET IntervalStyle = 'postgres'",
    "SET client_min_messages = 'warning'",
    "SET idle_in_transaction_session_timeout = 0",  # it is the source that lets us wait
)
# Unless somebody has decided otherwise for this user, database or session: no compiling of expressions, which takes
# longer than it saves here; a quarter of the server's buffers for a sort or a join, 64 MB at most. And no join that
# several processes share, but on our own server: its memory is that of /dev/shm, of which containers have next to none.
_ROOM = """
    SELECT set_config(name, CASE name WHEN 'work_mem' THEN greatest(setting::bigint, least(65536,
        (SELECT setting::bigint * 2 FROM pg_settings WHERE name = 'shared_buffers')))::text ELSE 'off' END, false)
    FROM pg_settings WHERE source IN ('default', 'configuration file')
        AND (name IN ('jit', 'work_mem')
            OR name = 'enable_parallel_hash' AND current_setting('cluster_name') <> 'etl-run')
"""
_US = """
    SELECT quote_ident(current_user), quote_ident(current_database()), coalesce((
        SELECT quote_ident(pg_get_userbyid(relowner)) FROM pg_class
        WHERE relnamespace = to_regnamespace('etl') AND relname IN ('load', 'watermark', 'batch')
            AND NOT pg_has_role(relowner, 'USAGE')
        ORDER BY relname = 'load' DESC LIMIT 1), '')
"""


@contextlib.contextmanager
def connect(env: Mapping[str, str] = os.environ) -> Iterator[Session]:
    """A session in autocommit mode on `$DATABASE_URL`, else on what PG* say.

    A statement whose client has died ends within a second: a killed job leaves no work going on behind its back.
    """
    url = env.get("DATABASE_URL", "")
    if not url and not any(env.get(name) for name in _SELECTS_A_SERVER):
        raise MisconfiguredError(
            "no warehouse: neither DATABASE_URL nor PGHOST is set",
            hint="run it through `etl-run job table --id 3`, which brings one, or set DATABASE_URL",
        )
    refuse_divided(url, called="DATABASE_URL")
    # What we send and read is UTF-8, whatever the database holds and whoever decided otherwise for it.
    defaults: dict[str, str | int] = {"fallback_application_name": "etl_jobs", "client_encoding": "UTF8"}
    if not env.get("PGCONNECT_TIMEOUT") and "connect_timeout" not in url:
        defaults["connect_timeout"] = 10
    try:
        session = psycopg.connect(url, autocommit=True, **defaults)  # type: ignore[arg-type]
    except psycopg.ProgrammingError:  # what it says may quote the password
        raise MisconfiguredError(
            "DATABASE_URL is no connection string", hint="it looks like postgresql://user:password@host:5432/database"
        ) from None
    except psycopg.OperationalError as error:
        if has_no_entry(str(error), state=error.sqlstate or ""):
            hint = "check the database, user and password of DATABASE_URL or PG*"
            raise MisconfiguredError(f"cannot enter the warehouse: {error}".strip(), hint=hint) from error
        raise UnavailableError(
            f"cannot reach the warehouse: {error}".strip(), hint="is the server up, and is DATABASE_URL right?"
        ) from error
    with session:
        for statement in _SESSION:
            session.execute(statement)
        session.execute(_ROOM)
        with contextlib.suppress(psycopg.Error):  # not every platform can watch its clients
            session.execute("SET client_connection_check_interval = 1000")
        with contextlib.suppress(psycopg.errors.InsufficientPrivilege):  # for what COPY says to be understood
            session.execute("SET lc_messages = 'C'")
        yield session


def prepare(session: Session, *schemas: str) -> None:
    """Make the schemas and the tables of the load records where they are missing, whoever else does the same.

    Raises MisconfiguredError where we may not: then a person makes them, and gives them to us.
    """
    wanted = ("etl", *schemas)
    if not _missing(session, wanted) and _has_records(session):
        return
    us = _us(session)
    with session.transaction():
        session.execute("SELECT pg_advisory_xact_lock(%s)", [_PREPARING])
        _make_schemas(session, _missing(session, wanted), us)
        if not _has_records(session):
            _make_records(session, us)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Us:
    """The role in force, its database, and whose the load records are if not that role's; as SQL writes them."""

    role: str
    database: str
    owner: str


def _us(session: Session) -> _Us:
    row = session.execute(_US).fetchone()
    assert row is not None
    return _Us(role=row[0], database=row[1], owner=row[2])


def _make_schemas(session: Session, names: Sequence[str], us: _Us) -> None:
    try:
        for name in names:  # not IF NOT EXISTS, which asks for more rights than are needed
            session.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
    except psycopg.errors.InsufficientPrivilege as error:
        raise MisconfiguredError(
            f"cannot make the schemas {', '.join(names)}: {error.diag.message_primary}",
            hint=f"GRANT CREATE ON DATABASE {us.database} TO {us.role}, or make them for it",
        ) from error


def _make_records(session: Session, us: _Us) -> None:
    hint = f"run: GRANT USAGE, CREATE ON SCHEMA etl TO {us.role};"
    if us.owner:
        then = f"GRANT ALL ON ALL TABLES IN SCHEMA etl TO {us.role};"
        hint = f"let {us.owner}, whose they are, load first; then run: {then}"
    try:
        session.execute(Path(__file__).with_name("schema.sql").read_bytes())
    except psycopg.errors.InsufficientPrivilege as error:
        raise MisconfiguredError(
            f"cannot make the tables of the load records as they are to be: {error.diag.message_primary}", hint=hint
        ) from error


def _missing(session: Session, schemas: Sequence[str]) -> list[str]:
    rows = session.execute(
        "SELECT DISTINCT name FROM unnest(%s::text[]) AS name WHERE name NOT IN (SELECT nspname FROM pg_namespace)"
        " ORDER BY name",
        [list(schemas)],
    )
    return [name for (name,) in rows]


def _has_records(session: Session) -> bool:
    """Whether the tables of the load records are there, with all that later versions have added."""
    row = session.execute(
        "SELECT to_regclass('etl.batch') IS NOT NULL AND 4 = (SELECT count(*) FROM pg_attribute"
        " WHERE attrelid = to_regclass('etl.load') AND attname IN ('held_columns', 'interval', 'run_started')"
        " OR attrelid = to_regclass('etl.batch') AND attname = 'file')"
    ).fetchone()
    return bool(row and row[0])


@contextlib.contextmanager
def locked(session: Session, target: str, *, wait: float) -> Iterator[None]:
    """Hold the target for this session; it is free again when the session's server process is gone.

    So a second attempt cannot start while the statement of a killed first one is still being undone.
    Raises UnavailableError that names the holder after `wait` seconds.
    """
    deadline = time.monotonic() + wait
    while not try_lock(session, target):
        if time.monotonic() >= deadline:
            raise UnavailableError(
                f"{target} is being loaded by {_holder(session, target)}", hint="try again when it is over"
            )
        time.sleep(0.1)
    try:
        yield
    finally:
        if not session.closed and not session.broken:
            unlock(session, target)


def try_lock(session: Session, target: str) -> bool:
    """Take the target's lock if it is free."""
    row = session.execute("SELECT pg_try_advisory_lock(%s, hashtext(%s))", [_TARGETS, target]).fetchone()
    return row is not None and bool(row[0])


def unlock(session: Session, target: str) -> None:
    session.execute("SELECT pg_advisory_unlock(%s, hashtext(%s))", [_TARGETS, target])


def _holder(session: Session, target: str) -> str:
    row = session.execute(
        "SELECT coalesce(nullif(a.application_name, ''), 'a session of ' || a.usename)"
        " || ' (server pid ' || a.pid || ')'"
        " FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
        " WHERE l.locktype = 'advisory' AND l.granted AND l.classid = %s AND l.objsubid = 2"
        " AND l.objid::bigint = (hashtext(%s)::bigint & 4294967295)"
        " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        [_TARGETS, target],
    ).fetchone()
    return str(row[0]) if row else "another session"


def lock_alone(session: Session, target: sql.Identifier, *, patience: float, first: Sequence[str] = ()) -> None:
    """Have the relation for this transaction alone. Later readers queue behind us: so we ask in short tries.

    `first` are statements that lock what has to be locked before it: readers of a view lock the view, then its tables.
    """
    deadline = time.monotonic() + patience
    session.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(_SHORT // (1 + len(first)) or 1)))
    while True:
        try:
            with session.transaction():
                for statement in first:
                    session.execute(statement.encode())
                session.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(target))
            break
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
            if time.monotonic() >= deadline:
                shown = target.as_string(session)
                raise UnavailableError(
                    f"{shown} is being read by {holders(session, shown)}", hint="try again when it is over"
                ) from error
            time.sleep(0.1)
    session.execute("SET LOCAL lock_timeout = 0")


def holders(session: Session, relation: str) -> str:
    """Who else holds a lock on the relation, for a message."""
    rows = session.execute(
        "SELECT DISTINCT coalesce(nullif(a.application_name, ''), 'a session of ' || a.usename)"
        " || ' (server pid ' || a.pid || ')' FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
        " WHERE l.relation = to_regclass(%s) AND l.granted AND l.pid <> pg_backend_pid()",
        [relation],
    ).fetchall()
    return ", ".join(name for (name,) in rows) or "another session"


def server_version(session: Session) -> int:
    """The server's major version."""
    return session.info.server_version // 10_000
