"""Another PostgreSQL as source: a table or a query, piped from COPY to COPY, as text or in the binary format."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat

import psycopg
from psycopg import pq, sql
from psycopg.conninfo import conninfo_to_dict

from etl_jobs.errors import JobError, MisconfiguredError, UnavailableError
from etl_jobs.refusals import CURES_ITSELF, has_no_entry, words_of
from etl_jobs.sources.excerpts import UNTOLD, Excerpts
from etl_jobs.sources.trail import RecordSource
from etl_jobs.sources.types import check_types
from etl_jobs.tables import SourceSettings, Table
from etl_jobs.urls import refuse_divided
from etl_jobs.warehouse import Session

_BLOCK = 16 * 1024  # fits into both sockets: with larger ones the two servers take turns instead of working at once
# What these are in the binary format does not depend on the server or its settings.
_SAME_EVERYWHERE = {
    "bigint", "boolean", "bytea", "character", "character varying", "cidr", "date", "double precision", "inet",
    "integer", "interval", "json", "jsonb", "macaddr", "macaddr8", "numeric", "real", "smallint", "text",
    "time with time zone", "time without time zone", "timestamp with time zone", "timestamp without time zone", "uuid",
}  # fmt: skip
# One round trip. What a COPY sends is what was described just before: in one transaction, whose locks keep a table as
# it is. Each statement sees the rows of its own time, for a lock may have been waited for.
_BEGIN = """
    BEGIN ISOLATION LEVEL READ COMMITTED, READ ONLY;
    SET LOCAL client_encoding = 'UTF8'; SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO, YMD';
    SET LOCAL IntervalStyle = 'postgres'; SET LOCAL bytea_output = 'hex'; SET LOCAL extra_float_digits = 1;
    SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0
"""
_PASSWORDS = ("password", "sslpassword", "oauth_client_secret")
_UNLESS_SAID = {"connect_timeout": 10, "options": ""}  # PGOPTIONS are meant for the warehouse

_OF_NAMES = "42"  # names are known before rows are read; while they are, these errors quote names made of values

_Column = tuple[str, int, int]  # name, type and the type's modifier, as the server numbers them


@dataclass(frozen=True, slots=True)
class _Description:
    """What the server says of the columns. A type is None that not every server has (an enum, an extension's)."""

    columns: tuple[_Column, ...]
    kinds: tuple[str | None, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _, _ in self.columns)

    @property
    def types(self) -> dict[str, str]:
        return {name: kind or "text" for name, kind in zip(self.names, self.kinds, strict=True)}


class PostgresSource(RecordSource):
    """One table or query of another server. What `columns` has found is what is read, or nothing is."""

    def __init__(self, settings: SourceSettings, table: Table) -> None:
        try:
            found = conninfo_to_dict(settings.url)
        except psycopg.Error:  # what it says may quote the password
            raise MisconfiguredError(
                "source.url is no connection string", hint="it looks like postgresql://user@host:5432/database"
            ) from None
        refuse_divided(settings.url, called="source.url")
        self._url, self._table = settings.url, table
        secrets = [str(found[key]) for key in _PASSWORDS if found.get(key)]
        self._excerpts = Excerpts(secrets, quiet=bool(table.secret))
        self._more = {key: value for key, value in _UNLESS_SAID.items() if key not in found}
        self._query: str | None = table.source.get("query")
        self._relation = table.source.get("table", table.name)
        self._schema: str | None = table.source.get("schema")
        shown = "a query" if self._query else ".".join(filter(None, (self._schema, self._relation)))
        server = "/".join(str(found[key]) for key in ("host", "dbname") if found.get(key))
        super().__init__(f"{server or 'postgresql'}: {shown}" + (f" for {table.name}" if self._query else ""))
        self._known: _Description | None = None
        self._is_copying = False

    def columns(self) -> tuple[str, ...]:
        self._known = None
        self._known = known = self._asked()
        lossy = self._table.source.get("lossy", ())
        check_types(known.types, self._table.columns, table=self._table.name, source=self.name, lossy=lossy)
        return known.names

    def types(self) -> dict[str, str]:
        """As `columns` has found them; a type that this server does not have by itself is text."""
        return (self._known or self._asked()).types

    def blocks(self) -> Iterator[bytes]:
        self.trail.begin()
        with self._session() as session:
            yield _header(self._described(session).names)
            yield from self._copied(session, "csv, ENCODING 'UTF8'")

    def binary(self, kinds: Sequence[str]) -> Iterator[bytes] | None:
        blocks = self._binary_blocks(kinds)
        return blocks if next(blocks, None) is not None else None

    def _binary_blocks(self, kinds: Sequence[str]) -> Iterator[bytes]:
        """An empty block once the types have been found to be these, then the rows; else nothing."""
        self.trail.begin()
        with self._session() as session:
            own = self._described(session).kinds
            if own != tuple(kinds) or not all(_plain(kind) in _SAME_EVERYWHERE for kind in kinds):
                return
            yield b""
            yield from self._copied(session, "binary")

    def size(self) -> int | None:
        if self._query:
            return None
        with self._session() as session:
            row = session.execute("SELECT pg_table_size(to_regclass(%s))", [self._named().as_string()]).fetchone()
        return int(row[0]) if row and row[0] is not None else None

    @contextlib.contextmanager
    def _session(self) -> Iterator[Session]:
        """A transaction that reads only; every error in it is said as one of the source, with what had been read."""
        self._is_copying = False
        try:
            with contextlib.closing(psycopg.connect(self._url, autocommit=True, **self._more)) as session:  # type: ignore[arg-type, unused-ignore]
                session.execute(_BEGIN)
                yield session
        except psycopg.Error as error:
            raise self._said(error) from error

    def _said(self, error: psycopg.Error) -> JobError:
        quiet, state = self._excerpts.quiet, error.sqlstate or ""
        words = words_of(error, secret=quiet).strip()
        if quiet and self._is_copying and state.startswith(_OF_NAMES):
            words = f"the server refuses it; {UNTOLD} [{state}]"
        message = self.failed(self._excerpts.hidden(words))
        if has_no_entry(message, state=state):
            return MisconfiguredError(message, hint="check source.url: database, user and password")
        if state.startswith(CURES_ITSELF) or (not state and isinstance(error, psycopg.OperationalError)):
            return UnavailableError(message, hint="the table is as it was")
        hint = "" if quiet else self._excerpts.hidden(error.diag.message_hint or "")
        return MisconfiguredError(message, hint=hint)

    def _asked(self) -> _Description:
        with self._session() as session:
            return self._described(session)

    def _described(self, session: Session) -> _Description:
        """What is there, and stays there for this transaction; raises where it is not what `columns` has found."""
        select = sql.SQL("SELECT * FROM ({}\n) AS q LIMIT 0").format(self._select())
        result = session.execute(select).pgresult
        assert result is not None
        fields = range(result.nfields)
        names = [(result.fname(n) or b"").decode() for n in fields]
        found = tuple((name, result.ftype(n), result.fmod(n)) for n, name in zip(fields, names, strict=True))
        if self._known is None:
            return _Description(found, _kinds(session, found))
        if found != self._known.columns:
            raise UnavailableError(f"{self.name} was changed while it was read", hint="try again")
        return self._known

    def _select(self) -> sql.Composable:
        if self._query:
            return sql.SQL(self._query.strip().rstrip(";"))
        return sql.SQL("SELECT * FROM {}").format(self._named())

    def _named(self) -> sql.Identifier:
        return sql.Identifier(*filter(None, (self._schema, self._relation)))

    def _copied(self, session: Session, form: str) -> Iterator[bytes]:
        """What COPY TO STDOUT sends, in blocks; the trail has them before they are handed on.

        Straight from libpq, which gives every row by itself: this loop is all that happens to a row.
        """
        self._is_copying = True
        statement = sql.SQL("COPY ({}\n) TO STDOUT (FORMAT {})").format(self._select(), sql.SQL(form))
        connection = session.pgconn
        _passed(connection.exec_(statement.as_bytes(session)))
        rows: list[memoryview] = []
        append = rows.append
        length = 0
        for size, row in map(connection.get_copy_data, repeat(0)):
            if size >= 0:
                append(row)
                length += size
            if rows and (length >= _BLOCK or size < 0):
                block = b"".join(rows)
                self.trail.add(block, records=len(rows), text=form != "binary")
                rows.clear()
                length = 0
                yield block
            if size < 0:
                break
        while result := connection.get_result():
            _passed(result)


def _kinds(session: Session, columns: Sequence[_Column]) -> tuple[str | None, ...]:
    rows = session.execute(
        "SELECT CASE WHEN t < 16384 THEN format_type(t, m) END"
        " FROM unnest(%s::oid[], %s::int[]) WITH ORDINALITY AS f(t, m, n) ORDER BY n",
        [[kind for _, kind, _ in columns], [modifier for _, _, modifier in columns]],
    ).fetchall()
    return tuple(kind for (kind,) in rows)


def _header(names: Iterable[str]) -> bytes:
    return (",".join('"' + name.replace('"', '""') + '"' for name in names) + "\n").encode()


def _plain(kind: str) -> str:
    """A type without its modifiers: `timestamp(3) with time zone[]` is `timestamp with time zone`."""
    return re.sub(r"\(.*?\)|(\[\])+$", "", kind)


def _passed(result: pq.abc.PGresult) -> None:
    if result.status not in (pq.ExecStatus.COPY_OUT, pq.ExecStatus.COMMAND_OK):
        raise psycopg.errors.error_from_result(result)
