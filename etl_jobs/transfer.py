"""A source's rows into a table: in PostgreSQL's binary format where the source has them so, else as text."""

from __future__ import annotations

from contextlib import suppress

import psycopg

from etl_jobs.copying import Copied, Copy, copy_text, emptied, send, statement
from etl_jobs.errors import NotBinaryError
from etl_jobs.sources import BinarySource
from etl_jobs.target import columns_of


def copy_rows(copy: Copy) -> Copied:
    """Send the source's rows, the quickest way there is; answer and errors are those of `copy_text`."""
    return _copy_binary(copy) or copy_text(copy)


def _copy_binary(copy: Copy) -> Copied | None:
    """Send the source's rows in the binary format.

    None, and nothing was done, where the source does not have it for these types, or where a row is not accepted: the
    text says what is wrong with it, if anything is.
    """
    if not isinstance(copy.source, BinarySource) or copy.session.info.encoding != "utf-8":
        return None
    kinds = columns_of(copy.session, copy.target)
    blocks = copy.source.binary([kinds.get(column, "") for column in copy.columns])
    if blocks is None:
        return None
    with suppress(psycopg.DataError, NotBinaryError), emptied(copy):
        return Copied(bytes=send(copy.session, statement(copy, "binary"), blocks))
    return None
