"""The first row of staging that an SQL expression cannot be asked about."""

from __future__ import annotations

import psycopg
from psycopg import sql

from etl_jobs.refusals import REFUSED_ROWS
from etl_jobs.warehouse import Session


def first_refused(session: Session, staging: sql.Composable, expression: str) -> tuple[int, psycopg.Error] | None:
    """The row's number, from 1, with the error; None where the expression can be asked about every row.

    Staging is read again and again, in halves: nobody minds, as nothing can be loaded anyway.
    """
    row = session.execute(sql.SQL("SELECT count(*) FROM {} AS s").format(staging)).fetchone()
    start, rows = 0, int(row[0]) if row else 0
    error = _refused(session, staging, expression, start=start, rows=rows)
    while error is not None and rows > 1:
        half = rows // 2
        if found := _refused(session, staging, expression, start=start, rows=half):
            error, rows = found, half
        else:
            start, rows = start + half, rows - half
    return (start + 1, error) if error is not None else None


def _refused(
    session: Session, staging: sql.Composable, expression: str, *, start: int, rows: int
) -> psycopg.Error | None:
    statement = sql.SQL(
        "SELECT count(*) FILTER (WHERE ({})) FROM (SELECT * FROM {} AS s OFFSET {} LIMIT {}) AS own"
    ).format(sql.SQL(expression), staging, sql.Literal(start), sql.Literal(rows))  # type: ignore[arg-type, unused-ignore]
    try:
        with session.transaction():
            session.execute("SET LOCAL synchronize_seqscans = off")
            session.execute("SET LOCAL max_parallel_workers_per_gather = 0")
            session.execute(statement)
    except (psycopg.ProgrammingError, *REFUSED_ROWS) as error:
        return error
    return None
