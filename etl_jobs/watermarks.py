"""Where a load begins that reads only what is new, what may be wrong with that, and how the watermark moves."""

from __future__ import annotations

import psycopg
from psycopg import sql

from etl_jobs.checks import HIDDEN, Found
from etl_jobs.errors import MisconfiguredError
from etl_jobs.refusals import words_of
from etl_jobs.sources.types import parse
from etl_jobs.tables import Table
from etl_jobs.warehouse import Session

_ANEW = "--full-refresh reads the source from its beginning, and sets it anew"


def beginning(session: Session, name: str, table: Table) -> str | None:
    """The watermark of the target, less the lag; None where there is none.

    Raises MisconfiguredError where it is no value of its column's type any more, or nothing could be newer.
    """
    try:
        since = _watermark_less_lag(session, name, table)
    except psycopg.DataError as error:
        said = words_of(error, secret=table.watermark in table.secret)
        raise MisconfiguredError(f"table {table.name!r}: the watermark of earlier loads: {said}", hint=_ANEW) from error
    if since in {"infinity", "Infinity", "NaN"} and parse(table.columns[table.watermark]).name != "text":
        raise MisconfiguredError(f"table {table.name!r}: nothing could be newer than the watermark {since}", hint=_ANEW)
    return since


def _watermark_less_lag(session: Session, name: str, table: Table) -> str | None:
    """Where an incremental load begins: the watermark minus the lag; None the first time, and in an interval."""
    if not table.goes_on or loaded_otherwise(session, name, table):
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


def warning_of(session: Session, table: Table, *, since: str | None) -> list[str]:
    """That a load which begins at `since` reads nothing for long; empty where it does not."""
    kind = table.columns.get(table.watermark, "")
    if since is None or not parse(kind).name.startswith(("date", "timestamp")):
        return []
    statement = sql.SQL("SELECT CAST({} AS {}) > now() + interval '1 day'").format(sql.Literal(since), sql.SQL(kind))  # type: ignore[arg-type, unused-ignore]
    row = session.execute(statement).fetchone()
    if not (row and row[0]):
        return []
    shown = HIDDEN if table.watermark in table.secret else since
    return [f"table {table.name!r}: rows are read from {shown} on only, more than a day ahead: {_ANEW}"]


def loaded_otherwise(session: Session, name: str, table: Table) -> bool:
    """Whether the target's last load was of another strategy, to which a watermark meant something else, or nothing."""
    statement = "SELECT strategy FROM etl.load WHERE target = %s ORDER BY id DESC LIMIT 1"
    row = session.execute(statement, [name]).fetchone()
    return row is not None and row[0] != table.strategy


def move_watermark(session: Session, name: str, table: Table, found: Found) -> None:
    """Move the watermark with the rows; it never goes back, and an interval does not move it."""
    if not table.goes_on or found.watermark is None:
        return
    statement = sql.SQL(
        'INSERT INTO etl.watermark AS w (target, "column", value) VALUES (%s, %s, %s)'
        ' ON CONFLICT (target) DO UPDATE SET "column" = excluded."column", value = excluded.value, updated = DEFAULT'
        ' WHERE w."column" <> excluded."column" OR CAST(w.value AS {kind}) < CAST(excluded.value AS {kind})'
    ).format(kind=sql.SQL(table.columns[table.watermark]))
    session.execute(statement, [name, table.watermark, found.watermark])


def forget_watermark(session: Session, name: str) -> None:
    """Of a table that is made anew, or is no longer read from there on."""
    session.execute("DELETE FROM etl.watermark WHERE target = %s", [name])
