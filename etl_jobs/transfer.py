"""A source's rows into a table: in PostgreSQL's binary format where the source has them so, else as text."""

from __future__ import annotations

from collections.abc import Container
from contextlib import suppress

import psycopg
from psycopg import sql

from etl_jobs.complaints import Skipped
from etl_jobs.errors import NotBinaryError
from etl_jobs.sources import BinarySource, Source
from etl_jobs.staging import copy_into, emptied, identifiers, send
from etl_jobs.target import columns_of
from etl_jobs.warehouse import Session


def copy_rows(
    session: Session,
    target: sql.Identifier,
    source: Source,
    columns: tuple[str, ...],
    *,
    secret: Container[str],
    part: sql.Composable | None = None,
    freeze: bool = False,
    skipped: list[Skipped] | None = None,
    limit: int = 0,
) -> int:
    """Send the source's rows, the quickest way there is; arguments, answer and errors are those of `copy_into`."""
    sent = _copy_binary(session, target, source, columns, part=part, freeze=freeze)
    if sent is not None:
        return sent
    return copy_into(
        session, target, source, columns, part=part, freeze=freeze, skipped=skipped, limit=limit, secret=secret
    )


def _copy_binary(
    session: Session,
    target: sql.Identifier,
    source: Source,
    columns: tuple[str, ...],
    *,
    part: sql.Composable | None,
    freeze: bool,
) -> int | None:
    """Send the source's rows in the binary format, keeping those of `part`; returns how many bytes were sent.

    None, and nothing was done, where the source does not have it for these types, or where a row is not accepted: the
    text says what is wrong with it, if anything is.
    """
    if not isinstance(source, BinarySource) or session.info.encoding != "utf-8":
        return None
    kinds = columns_of(session, target)
    blocks = source.binary([kinds.get(column, "") for column in columns])
    if blocks is None:
        return None
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary{})").format(
        target, identifiers(columns), sql.SQL(", FREEZE" if freeze else "")
    )
    if part is not None:
        statement += sql.SQL(" WHERE ") + part
    with suppress(psycopg.DataError, NotBinaryError), emptied(session, target):
        return send(session, statement, blocks)
    return None
