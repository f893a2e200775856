"""Another PostgreSQL as source: a table or a query, piped from COPY to COPY, as text or in the binary format."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence

import psycopg
from psycopg import pq, sql
from psycopg.conninfo import conninfo_to_dict

from etl_jobs.errors import JobError, MisconfiguredError, UnavailableError
from etl_jobs.sources.trail import Trail
from etl_jobs.sources.types import check_types
from etl_jobs.tables import SourceSettings, Table
from etl_jobs.warehouse import Session

_BLOCK = 16 * 1024  # fits into both sockets: with larger ones the two servers take turns instead of working at once
# What these are in the binary format does not depend on the server or its settings.
_SAME_EVERYWHERE = {
    "bigint", "boolean", "bytea", "character", "character varying", "cidr", "date", "double precision", "inet",
    "integer", "interval", "json", "jsonb", "macaddr", "macaddr8", "numeric", "real", "smallint", "text",
    "time with time zone", "time without time zone", "timestamp with time zone", "timestamp without time zone", "uuid",
}  # fmt: skip
_SESSION = (
    "SET client_encoding = 'UTF8'",
    "SET default_transaction_read_only = on",
    "SET TimeZone = 'UTC'",
    "SET DateStyle = 'ISO, YMD'",
    "SET IntervalStyle = 'postgres'",
    "SET bytea_output = 'hex'",
    "SET extra_float_digits = 1",
    "SET statement_timeout = 0",
)
_CURES_ITSELF = ("08", "40", "53", "55", "57")


class PostgresSource:
    """One table or query of another server, its rows as CSV text."""

    delimiter, quote, escape, null, encoding = ",", '"', '"', "", "UTF8"

    def __init__(self, settings: SourceSettings, table: Table) -> None:
        try:
            found = conninfo_to_dict(settings.url)
        except psycopg.Error:  # what it says may quote the password
            raise MisconfiguredError(
                "source.url is no connection string", hint="it looks like postgresql://user@host:5432/database"
            ) from None
        self._url, self._table, self._own_options = settings.url, table, "options" in found
        self._query: str | None = table.source.get("query")
        self._relation = table.source.get("table", table.name)
        self._schema: str | None = table.source.get("schema")
        shown = "a query" if self._query else ".".join(filter(None, (self._schema, self._relation)))
        server = "/".join(str(found[key]) for key in ("host", "dbname") if found.get(key))
        self.name = f"{server or 'postgresql'}: {shown}" + (f" for {table.name}" if self._query else "")
        self._trail = Trail()

    def columns(self) -> tuple[str, ...]:
        found = self.types()
        lossy = self._table.source.get("lossy", ())
        check_types(found, self._table.columns, table=self._table.name, source=self.name, lossy=lossy)
        return tuple(found)

    def types(self) -> dict[str, str]:
        """Types that this server has by itself; a column of any other (an enum, an extension's) is text."""
        with self._session() as session:
            return self._types(session)

    def blocks(self) -> Iterator[bytes]:
        self._trail = Trail()
        with self._session() as session:
            statement = sql.SQL("COPY ({}\n) TO STDOUT (FORMAT csv, ENCODING 'UTF8')").format(self._select())
            yield self._header(session)
            yield from _copied(session, statement, self._trail)

    def binary(self, kinds: Sequence[str]) -> Iterator[bytes] | None:
        with self._session() as session:
            own = [kind for _, kind in self._described(session)]
        is_same = own == list(kinds) and all(_plain(kind) in _SAME_EVERYWHERE for kind in kinds)
        return self._binary_blocks() if is_same else None

    def _binary_blocks(self) -> Iterator[bytes]:
        self._trail = Trail()
        with self._session() as session:
            statement = sql.SQL("COPY ({}\n) TO STDOUT (FORMAT binary)").format(self._select())
            yield from _copied(session, statement, self._trail, binary=True)

    def fingerprint(self) -> str:
        return ""

    def size(self) -> int | None:
        if self._query:
            return None
        with self._session() as session:
            row = session.execute("SELECT pg_table_size(to_regclass(%s))", [self._named().as_string()]).fetchone()
        return int(row[0]) if row and row[0] is not None else None

    def place(self, *, record: int | None = None, line: int | None = None) -> str:
        return f"{self.name}, {self._trail.where(record=record, line=line)}"

    @contextlib.contextmanager
    def _session(self) -> Iterator[Session]:
        """A session that reads only; every error in it is said as one of the source, with what had been read."""
        options = {} if self._own_options else {"options": ""}  # PGOPTIONS are meant for the warehouse
        try:
            with psycopg.connect(self._url, autocommit=True, connect_timeout=10, **options) as session:  # type: ignore[arg-type, unused-ignore]
                for statement in _SESSION:
                    session.execute(statement)
                yield session
        except psycopg.Error as error:
            raise self._said(error) from error

    def _said(self, error: psycopg.Error) -> JobError:
        said = (error.diag.message_primary or str(error)).strip()
        read = f" after {self._trail} were read" if self._trail.records else ""
        message, state = f"the source {self.name} failed{read}: {said}", error.sqlstate or ""
        if state.startswith(_CURES_ITSELF) or (not state and isinstance(error, psycopg.OperationalError)):
            return UnavailableError(message, hint="the table is as it was")
        return MisconfiguredError(message, hint=error.diag.message_hint or "")

    def _types(self, session: Session) -> dict[str, str]:
        """Every column with its type as the server writes it."""
        return {name: kind or "text" for name, kind in self._described(session)}

    def _described(self, session: Session) -> list[tuple[str, str | None]]:
        """Every column with its type, None for a type that not every server has."""
        described = session.execute(sql.SQL("SELECT * FROM ({}\n) AS q LIMIT 0").format(self._select()))
        result = described.pgresult
        assert result is not None
        of = [(result.ftype(n), result.fmod(n)) for n in range(result.nfields)]
        rows = session.execute(
            "SELECT CASE WHEN t < 16384 THEN format_type(t, m) END"
            " FROM unnest(%s::oid[], %s::int[]) WITH ORDINALITY AS f(t, m, n) ORDER BY n",
            [[t for t, _ in of], [m for _, m in of]],
        ).fetchall()
        return [(column.name, kind) for column, (kind,) in zip(described.description or (), rows, strict=True)]

    def _header(self, session: Session) -> bytes:
        names = (name.replace('"', '""') for name in self._types(session))
        return (",".join(f'"{name}"' for name in names) + "\n").encode()

    def _select(self) -> sql.Composable:
        if self._query:
            return sql.SQL(self._query.strip().rstrip(";"))
        return sql.SQL("SELECT * FROM {}").format(self._named())

    def _named(self) -> sql.Identifier:
        return sql.Identifier(*filter(None, (self._schema, self._relation)))


def _plain(kind: str) -> str:
    """A type without its modifiers: `timestamp(3) with time zone[]` is `timestamp with time zone`."""
    return re.sub(r"\(.*?\)|(\[\])+$", "", kind)


def _copied(session: Session, statement: sql.Composable, trail: Trail, *, binary: bool = False) -> Iterator[bytes]:
    """What COPY TO STDOUT sends, in blocks; the trail has them before they are handed on.

    Straight from libpq, which gives every row by itself: this loop is all that happens to a row.
    """
    connection = session.pgconn
    try:
        _passed(connection.exec_(statement.as_bytes(session)))
        rows: list[memoryview] = []
        length = size = 0
        get, append = connection.get_copy_data, rows.append
        while size >= 0:
            size, row = get(0)
            append(row)
            length += size
            if length >= _BLOCK or size < 0:
                block = b"".join(rows if size >= 0 else rows[:-1])
                trail.add(block, records=len(rows) - (size < 0), text=not binary)
                rows.clear()
                length = 0
                if block:
                    yield block
        while result := connection.get_result():
            _passed(result)
    except GeneratorExit:  # the session is in the midst of its answer
        session.close()
        raise


def _passed(result: pq.abc.PGresult) -> None:
    if result.status not in (pq.ExecStatus.COPY_OUT, pq.ExecStatus.COMMAND_OK):
        raise psycopg.errors.error_from_result(result)
