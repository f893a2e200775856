"""Before a load: are the sources and the warehouse as the catalogue expects them? Changes nothing."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import psycopg

from etl_jobs.command import arguments, catalogue_of, run
from etl_jobs.errors import JobError, MisconfiguredError, UnavailableError
from etl_jobs.sources import open_source
from etl_jobs.staging import check_header
from etl_jobs.tables import Catalogue
from etl_jobs.warehouse import Session, connect, server_version
from etl_runner.job import report

OLDEST_SERVER = 15
_ROOM = 3  # a load holds its rows in staging, in the target and in the server's log
_LEAST_ROOM = 64 * 1024 * 1024
_TABLESPACE = """
    SELECT pg_tablespace_location(coalesce(s.oid, d.dattablespace)) FROM pg_database d
    LEFT JOIN pg_tablespace s ON s.spcname = current_setting('default_tablespace') WHERE d.datname = current_database()
"""
_HERE = ("127.0.0.1", "::1", "localhost")


def main() -> None:
    catalogue = catalogue_of(arguments("Check the sources and the warehouse before a load.").parse_args())
    size = check_sources(catalogue)
    with connect() as session:
        check_server(session, catalogue)
        free = check_room(session, size)
    report(tables=len(catalogue.tables), bytes=size)
    room = "unknown" if free is None else f"{free / 1e9:,.1f} GB free"
    print(f"{len(catalogue.tables)} sources as declared, {size / 1e6:,.1f} MB; warehouse answers, room {room}")


def check_sources(catalogue: Catalogue) -> int:
    """The bytes of all sources together; raises one error that lists every source that is not as declared."""
    size = 0
    failures: list[JobError] = []
    for table in catalogue.tables:
        source = open_source(catalogue, table)
        try:
            check_header(source, table)
            size += source.size() or 0
        except JobError as error:
            failures.append(error)
    if failures:
        raise _together(failures)
    return size


def check_server(session: Session, catalogue: Catalogue) -> None:
    """Refuse a server that is too old, does not store all text, or does not let us write."""
    if server_version(session) < OLDEST_SERVER:
        version = session.info.parameter_status("server_version")
        raise MisconfiguredError(f"the warehouse is PostgreSQL {version}, {OLDEST_SERVER} or newer is needed")
    if session.info.parameter_status("server_encoding") != "UTF8":
        raise MisconfiguredError(
            "the warehouse's database does not store UTF-8", hint="CREATE DATABASE … ENCODING 'UTF8'"
        )
    if session.info.parameter_status("in_hot_standby") == "on":
        raise MisconfiguredError("the warehouse is a read-only replica", hint="point DATABASE_URL at the primary")
    wanted = ["etl", catalogue.schema, catalogue.staging_schema]
    row = session.execute(
        "SELECT has_database_privilege(current_database(), 'CREATE'), current_user, current_database(),"
        " (SELECT count(*) FROM pg_namespace WHERE nspname = ANY(%s) AND has_schema_privilege(oid, 'CREATE'))",
        [wanted],
    ).fetchone()
    if row and not row[0] and row[3] < len(wanted):
        raise MisconfiguredError(
            f"{row[1]} may not make schemas in database {row[2]}",
            hint=f"GRANT CREATE ON DATABASE {row[2]} TO {row[1]}, or make {', '.join(wanted)} for it",
        )


def check_room(session: Session, size: int) -> int | None:
    """Free bytes on the disk where new tables go, None where it is on another machine or keeps that to itself."""
    if not (session.info.host.startswith("/") or session.info.host in _HERE):
        return None
    try:
        folder = _folder_of_tables(session)
        free = shutil.disk_usage(folder).free
    except (psycopg.errors.InsufficientPrivilege, OSError):
        return None
    needed = max(_ROOM * size, _LEAST_ROOM)
    if free < needed:
        raise UnavailableError(
            f"the warehouse's disk has {free / 1e6:,.0f} MB left, this load may take {needed / 1e6:,.0f} MB",
            hint=f"make room on the disk of {folder}",
        )
    return free


def _folder_of_tables(session: Session) -> Path:
    """Where new tables go: the tablespace of the session or the database, else the server's own folder."""
    row = session.execute(_TABLESPACE).fetchone()
    place = Path(row[0] if row else "")
    if place.is_absolute():
        return place
    row = session.execute("SELECT current_setting('data_directory')").fetchone()
    return Path(row[0] if row else "") / place


def _together(failures: Sequence[JobError]) -> JobError:
    """One error of the worst kind; what was said more than once is said once."""
    worst = max(failures, key=lambda error: error.exit_status)
    said = dict.fromkeys(error.message for error in failures)
    hints = dict.fromkeys(error.hint for error in failures if error.hint)
    return type(worst)("\n".join(said), hint=next(iter(hints)) if len(hints) == 1 else "")


if __name__ == "__main__":
    run(main)
