"""What the warehouse remembers of its loads: one record per load, in the transaction of its rows."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import md5

import psycopg
from psycopg import sql

from etl_jobs.ancestors import ancestors, judged
from etl_jobs.errors import MisconfiguredError
from etl_jobs.names import whole_name
from etl_jobs.sources import open_source
from etl_jobs.staging import identifiers
from etl_jobs.tables import Catalogue, Table
from etl_jobs.warehouse import Session, server_version

RECORDED = {c: c for c in ("inserted", "updated", "deleted", "duplicates", "orphans", "rejected", "warnings")} | {
    "rows": "rows_in"
}
_REACHING = frozenset(("headers", "password", "timeout", "tries", "rate", "longest_wait", "size"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """Who loads: `run` is None for a load started by hand, else `run_started` says when it began, if it is known.

    Runs of other ledgers have the same numbers: of a machine that is made anew every night, or of a second one.
    """

    run: int | None
    run_started: datetime | None = None
    job: str
    number: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """How many rows the whole target has after a load, and their checksum over `columns`."""

    rows: int
    checksum: int
    columns: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What a load did. `recorded` means that an earlier attempt of the same job had done it already.

    `cached` says in words why nothing had to be done, `load` is the number of the load record that holds. `warned`
    are the warnings themselves.
    """

    rows: int
    inserted: int
    updated: int
    deleted: int
    duplicates: int
    orphans: int
    rejected: int = 0
    warnings: int = 0
    bytes: int = 0
    copy_seconds: float = 0.0
    check_seconds: float = 0.0
    load_seconds: float = 0.0
    recorded: bool = False
    cached: str = ""
    load: int | None = None
    warned: tuple[str, ...] = ()


def target_name(catalogue: Catalogue, table: Table) -> str:
    """What locks and load records call the target."""
    return whole_name(catalogue.schema, table.name)


def refuse_full_interval(table: Table) -> None:
    """What grows would be made equal to all that the source has, which is one interval."""
    if table.interval and table.strategy in {"incremental", "append"}:
        raise MisconfiguredError(
            f"table {table.name!r}: --full-refresh would leave one interval of it, {table.interval}",
            hint="leave it out: an interval is read as a whole in any case",
        )


def recorded_load(
    session: Session, name: str, attempt: Attempt, *, fingerprint: str, declared: str = ""
) -> Loaded | None:
    """What an earlier attempt of this job committed without living to say so.

    Only if it is the target's last load, and source and catalogue are still the same: then the target holds it.
    """
    if attempt.run is None or not fingerprint:
        return None
    statement = sql.SQL(
        "SELECT id, {} FROM etl.load AS l"
        " WHERE target = %(target)s AND run = %(run)s AND job = %(job)s AND attempt < %(attempt)s"
        " AND fingerprint = %(fingerprint)s AND %(declared)s IN ('', split_part(declared, ' ', 1))"
        " AND run_started IS NOT DISTINCT FROM %(run_started)s"
        " AND NOT EXISTS (SELECT FROM etl.load AS later WHERE later.target = l.target AND later.id > l.id)"
    ).format(identifiers(RECORDED.values()))
    values = {
        "target": name,
        "run": attempt.run,
        "run_started": attempt.run_started,
        "job": attempt.job,
        "attempt": attempt.number,
        "fingerprint": fingerprint,
        "declared": declared.partition(" ")[0],
    }
    row = session.execute(statement, values).fetchone()
    return Loaded(load=row[0], **dict(zip(RECORDED, row[1:], strict=True)), recorded=True) if row else None


def declaration(catalogue: Catalogue, table: Table) -> str:
    """What decides what a load makes of its source: the catalogue's part, and the parents' fingerprints.

    That is the table's and how its source is written, not how it is reached.
    """
    parents, source = _parents_fingerprints(catalogue, table), catalogue.source
    own = replace(table, fresh_for="", skip_unchanged=False, comment="", id=0)
    dialect = sorted((key, repr(value)) for key, value in source.options.items() if key not in _REACHING)
    return f"{md5(repr((own, dialect)).encode()).hexdigest()} {md5(repr(tuple(parents)).encode()).hexdigest()}"


def _parents_fingerprints(catalogue: Catalogue, table: Table) -> list[str]:
    """What decides which parents there are. Of no use, so not asked for, where nothing is ever found unchanged."""
    if not table.skip_unchanged:
        return []
    parents = [catalogue.named(name) for group in ancestors(catalogue, table) for name in group]
    prints = [open_source(catalogue, parent).fingerprint() for parent in parents]
    said = [repr(replace(parent, comment="", id=0)) for parent in parents if judged(parent)]  # which rows are kept
    return [known or f"unknown at {time.time_ns()}" for known in prints] + said


def cached_load(session: Session, name: str, table: Table, *, fingerprint: str, declared: str) -> Loaded | None:
    """The last load, if the catalogue says that it still holds: it is fresh, or source and parents are unchanged."""
    row = session.execute(
        "SELECT id, coalesce('run ' || run || ', ', '') || job, to_char(finished, 'YYYY-MM-DD HH24:MI:SS \"UTC\"'),"
        " rows_in, fingerprint, declared FROM etl.load WHERE target = %s ORDER BY id DESC LIMIT 1",
        [name],
    ).fetchone()
    if row is None:
        return None
    number, who, when, rows, last_fingerprint, last_declared = row
    if (last_declared or "").partition(" ")[0] != declared.partition(" ")[0]:
        return None
    ages = any(check.fresh for check in table.checks)  # what is too old today may not have been so yesterday
    if is_fresh(session, name, table):
        why = f"the load of {when} ({who}, load {number}) is fresh for {table.fresh_for}"
    elif (
        table.skip_unchanged
        and fingerprint
        and not ages
        and (last_fingerprint, last_declared) == (fingerprint, declared)
    ):
        why = f"the source is unchanged since the load of {when} ({who}, load {number})"
    else:
        return None
    return Loaded(rows=rows, inserted=0, updated=0, deleted=0, duplicates=0, orphans=0, cached=why, load=number)


def is_held(session: Session, target: sql.Identifier, loaded: Loaded) -> bool:
    """Whether the target, which exists, still has rows if the load left any: somebody may have emptied it since."""
    statement = sql.SQL("SELECT held_rows = 0 OR EXISTS (SELECT FROM {}) FROM etl.load WHERE id = %s").format(target)
    row = session.execute(statement, [loaded.load]).fetchone()
    return bool(row and row[0])


def columns_held(session: Session, table: Table) -> str:
    """What a checksum of the target depends on beside its rows: columns, types, and how the server hashes them."""
    columns = ", ".join(f"{name} {kind}" for name, kind in table.held_columns.items())
    return f"PostgreSQL {server_version(session)}: {columns}"


def held_before(session: Session, name: str) -> Held | None:
    """What the target held after its last load; None where there was none, or its record does not say of what."""
    row = session.execute(
        "SELECT held_rows, held_checksum, held_columns FROM etl.load WHERE target = %s ORDER BY id DESC LIMIT 1",
        [name],
    ).fetchone()
    return Held(rows=row[0], checksum=int(row[1]), columns=row[2]) if row and row[2] else None


def rows_of_last_load(session: Session, name: str) -> int | None:
    """How many rows the last load of all that the source has read, None where there was none."""
    statement = (
        'SELECT rows_in FROM etl.load WHERE target = %s AND since IS NULL AND "interval" IS NULL'
        " ORDER BY id DESC LIMIT 1"
    )
    row = session.execute(statement, [name]).fetchone()
    return int(row[0]) if row else None


def is_fresh(session: Session, name: str, table: Table) -> bool:
    """The target's last load is younger than the catalogue's `fresh_for`."""
    if not table.fresh_for:
        return False
    statement = "SELECT max(finished) > now() - %s::interval FROM etl.load WHERE target = %s"
    try:
        row = session.execute(statement, [table.fresh_for, name]).fetchone()
    except psycopg.DataError as error:
        raise MisconfiguredError(f"table {table.name!r}: fresh_for: {error.diag.message_primary}") from error
    return bool(row and row[0])


def write_record(session: Session, attempt: Attempt, values: dict[str, object]) -> int:
    """Write the load record and say its number; that of an earlier attempt of this job in this run gives way."""
    session.execute(
        "DELETE FROM etl.load WHERE run = %s AND run_started IS NOT DISTINCT FROM %s AND job = %s AND target = %s",
        [attempt.run, attempt.run_started, attempt.job, values["target"]],
    )
    who = {"run": attempt.run, "run_started": attempt.run_started, "job": attempt.job, "attempt": attempt.number}
    values = who | values
    statement = sql.SQL("INSERT INTO etl.load ({}) VALUES ({}) RETURNING id").format(
        identifiers(values), sql.SQL(", ").join(map(sql.Placeholder, values))
    )
    row = session.execute(statement, values).fetchone()
    return int(row[0]) if row else 0
