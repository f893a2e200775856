"""What the warehouse remembers of its loads: watermarks, and one record per load in the transaction of its rows."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from etl_jobs.checks import Found
from etl_jobs.staging import identifiers
from etl_jobs.tables import Catalogue, Table
from etl_jobs.warehouse import Session

RECORDED = {c: c for c in ("inserted", "updated", "deleted", "duplicates", "orphans")} | {"rows": "rows_in"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """Who loads: `run` is None for a load started by hand."""

    run: int | None
    job: str
    number: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What a load did. `recorded` means that an earlier attempt of the same job had done it already."""

    rows: int
    inserted: int
    updated: int
    deleted: int
    duplicates: int
    orphans: int
    rejected: int = 0
    bytes: int = 0
    copy_seconds: float = 0.0
    check_seconds: float = 0.0
    load_seconds: float = 0.0
    recorded: bool = False


def target_name(catalogue: Catalogue, table: Table) -> str:
    """What locks and load records call the target."""
    return f"{catalogue.schema}.{table.name}"


def watermark_less_lag(session: Session, name: str, table: Table) -> str | None:
    """Where an incremental load begins: the watermark minus the lag; None the first time."""
    if table.strategy != "incremental":
        return None
    lag = sql.SQL(" - interval {}" if isinstance(table.lag, str) else " - {}").format(sql.Literal(table.lag))
    statement = sql.SQL(
        'SELECT (CAST(value AS {}){})::text FROM etl.watermark WHERE target = {} AND "column" = {}'
    ).format(
        sql.SQL(table.columns[table.watermark]),
        lag if table.lag else sql.SQL(""),
        sql.Literal(name),
        sql.Literal(table.watermark),
    )
    row = session.execute(statement).fetchone()
    return str(row[0]) if row else None


def move_watermark(session: Session, name: str, table: Table, found: Found) -> None:
    """Move the watermark with the rows; it never goes back."""
    if table.strategy != "incremental" or found.watermark is None:
        return
    statement = sql.SQL(
        'INSERT INTO etl.watermark AS w (target, "column", value) VALUES (%s, %s, %s)'
        ' ON CONFLICT (target) DO UPDATE SET "column" = excluded."column", value = excluded.value, updated = DEFAULT'
        ' WHERE w."column" <> excluded."column" OR CAST(w.value AS {kind}) < CAST(excluded.value AS {kind})'
    ).format(kind=sql.SQL(table.columns[table.watermark]))
    session.execute(statement, [name, table.watermark, found.watermark])


def recorded_load(session: Session, name: str, attempt: Attempt, *, fingerprint: str) -> Loaded | None:
    """What an earlier attempt of this job committed without living to say so.

    Only if it is the target's last load and its source is still the same: then the target holds it.
    """
    if attempt.run is None:
        return None
    statement = sql.SQL(
        "SELECT {} FROM etl.load AS l"
        " WHERE target = %s AND run = %s AND job = %s AND attempt < %s AND fingerprint = %s"
        " AND NOT EXISTS (SELECT FROM etl.load AS later WHERE later.target = l.target AND later.id > l.id)"
    ).format(identifiers(RECORDED.values()))
    row = session.execute(statement, [name, attempt.run, attempt.job, attempt.number, fingerprint]).fetchone()
    return Loaded(**dict(zip(RECORDED, row, strict=True)), recorded=True) if row else None


def write_record(session: Session, attempt: Attempt, values: dict[str, object]) -> None:
    """Write the load record; one of an earlier run with the same number (a new ledger) gives way."""
    session.execute(
        "DELETE FROM etl.load WHERE run = %s AND job = %s AND target = %s",
        [attempt.run, attempt.job, values["target"]],
    )
    values = {"run": attempt.run, "job": attempt.job, "attempt": attempt.number, **values}
    statement = sql.SQL("INSERT INTO etl.load ({}) VALUES ({})")
    session.execute(statement.format(identifiers(values), sql.SQL(", ").join(map(sql.Placeholder, values))), values)
