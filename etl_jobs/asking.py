"""Asking SQL checks about rows one by one, where some of them cannot be asked."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from psycopg import sql

from etl_jobs.tables import Check
from etl_jobs.warehouse import Session

ASKED = sql.Identifier("pg_temp", "etl: asked")  # a function: rows with place, nth check, state, said
_BODY = """
#variable_conflict use_column
<<"etl: asking">>
DECLARE "etl: found" bigint := 0;
BEGIN
    FOR place IN SELECT ctid FROM {staging} LOOP
        BEGIN
            {asks}
        EXCEPTION
            WHEN data_exception OR integrity_constraint_violation OR raise_exception
                OR syntax_error_or_access_rule_violation THEN
            state := SQLSTATE;
            said := SQLERRM;
            RETURN NEXT;
            "etl: found" := "etl: found" + 1;
            EXIT "etl: asking" WHEN "etl: found" > {limit};
        END;
    END LOOP;
END
"""
_ASK = '"etl: asked".nth := {nth}; PERFORM ({check}) FROM {staging} AS own WHERE own.ctid = "etl: asked".place;'


@contextlib.contextmanager
def asked_one_by_one(
    session: Session, staging: sql.Composable, checks: Sequence[Check], *, limit: int
) -> Iterator[None]:
    """While this lasts, `ASKED` finds the rows, one more than `limit`, that one of the checks cannot be asked about."""
    asks = sql.SQL(" ").join(
        sql.SQL(_ASK).format(nth=sql.Literal(n), check=sql.SQL(check.sql), staging=staging)
        for n, check in enumerate(checks)
        if check.sql
    )
    body = sql.SQL(_BODY).format(staging=staging, asks=asks, limit=sql.Literal(limit)).as_string(session)
    session.execute(
        sql.SQL(
            "CREATE FUNCTION {}() RETURNS TABLE (place tid, nth integer, state text, said text) LANGUAGE plpgsql AS {}"
        ).format(ASKED, sql.Literal(body))
    )
    yield
    session.execute(sql.SQL("DROP FUNCTION {}()").format(ASKED))
