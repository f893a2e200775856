"""Where a load begins that reads only what is new, and what may be wrong with that."""

from __future__ import annotations

import psycopg
from psycopg import sql

from etl_jobs.checks import HIDDEN
from etl_jobs.errors import MisconfiguredError
from etl_jobs.records import watermark_less_lag
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
        since = watermark_less_lag(session, name, table)
    except psycopg.DataError as error:
        said = words_of(error, secret=table.watermark in table.secret)
        raise MisconfiguredError(f"table {table.name!r}: the watermark of earlier loads: {said}", hint=_ANEW) from error
    if since in {"infinity", "Infinity", "NaN"} and parse(table.columns[table.watermark]).name != "text":
        raise MisconfiguredError(f"table {table.name!r}: nothing could be newer than the watermark {since}", hint=_ANEW)
    return since


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
