"""Any SQL database as source, through SQLAlchemy and the driver its URL names: a table or a query, streamed."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from etl_jobs.errors import DataRejectedError, JobError, MisconfiguredError, UnavailableError
from etl_jobs.sources.drivers import may_pass, told
from etl_jobs.sources.excerpts import Excerpts, secrets_in_parameters
from etl_jobs.sources.extras import needed
from etl_jobs.sources.records import are_arrays, header, lines
from etl_jobs.sources.sqlite_values import Check, checks_of, holding
from etl_jobs.sources.trail import RecordSource
from etl_jobs.sources.types import HOW_TO_ALLOW, check_types
from etl_jobs.tables import SourceSettings, Table
from etl_jobs.urls import divided

with needed("sql", "this source"):
    import sqlalchemy
    from sqlalchemy.dialects import postgresql

_ROWS_PER_BLOCK = 2_000


class DatabaseSource(RecordSource):
    """One table or query. The columns that are read are those that `columns` has found, or nothing is."""

    def __init__(self, settings: SourceSettings, table: Table) -> None:
        try:
            self._url = sqlalchemy.make_url(settings.url)
        except (sqlalchemy.exc.ArgumentError, ValueError):  # what it says may quote the password
            raise MisconfiguredError(
                "source.url is no URL of a database", hint="it looks like mysql+pymysql://user:password@host/database"
            ) from None
        if "@" in (self._url.host or ""):
            raise divided("source.url")
        secrets = {self._url.password or "", *secrets_in_parameters(self._url.query)}
        self._excerpts = Excerpts(secrets, quiet=bool(table.secret))
        self._table = table
        self._query: str | None = table.source.get("query")
        self._schema: str | None = table.source.get("schema")
        self._relation: str = table.source.get("table", table.name)
        shown = "a query" if self._query else ".".join(filter(None, (self._schema, self._relation)))
        where = "/".join(filter(None, (self._url.host, self._url.database)))
        more = f" for {table.name}" if self._query else ""
        super().__init__(f"{self._url.get_backend_name()} {where}: {shown}{more}")
        self._known: tuple[tuple[str, ...], dict[str, str]] | None = None

    def columns(self) -> tuple[str, ...]:
        self.trail.begin()
        self._known = None
        self._known = names, types = self._asked()
        lossy = self._table.source.get("lossy", ())
        check_types(types, self._table.columns, table=self._table.name, source=self.name, lossy=lossy)
        return names

    def types(self) -> dict[str, str]:
        """As `columns` has found them; SQLite's as wide as what they may hold, where no declared type says which."""
        _, types = self._known or self._asked()
        if not self._is_sqlite:
            return types
        return {name: kind if name in self._table.columns else holding(kind) for name, kind in types.items()}

    def blocks(self) -> Iterator[bytes]:
        self.trail.begin()
        with self._connected() as connection:
            with self._driving():
                result = self._run(connection)
            names = tuple(result.keys())
            if same := [name for name, count in Counter(names).items() if count > 1]:
                raise DataRejectedError(
                    f"{self.name} has several columns called {', '.join(map(repr, same))}",
                    hint="name them apart: … AS …",
                )
            if self._known and names != self._known[0]:
                raise UnavailableError(f"{self.name} was changed while it was read", hint="try again")
            arrays = are_arrays({name: self._table.columns.get(name, "") for name in names})
            checks = self._checks(names)
            yield header(names)
            for rows in self._partitions(result):
                self._refuse_losses(rows, names, checks)
                block = lines(rows, arrays)
                self.trail.add(block, records=len(rows))
                yield block

    def _partitions(self, result: sqlalchemy.CursorResult[Any]) -> Iterator[Sequence[sqlalchemy.Row[Any]]]:
        partitions = result.partitions(_ROWS_PER_BLOCK)
        while True:
            with self._driving():
                rows = next(partitions, None)
            if rows is None:
                return
            yield rows

    @contextlib.contextmanager
    def _driving(self) -> Iterator[None]:
        """Whatever a driver raises at a value that it does not understand is an error of the source."""
        try:
            yield
        except sqlalchemy.exc.SQLAlchemyError:
            raise
        except Exception as error:  # of the driver's own code, which may be anybody's
            raise DataRejectedError(self._told(error)) from error

    @property
    def _is_sqlite(self) -> bool:
        return self._url.get_backend_name() == "sqlite"

    def _checks(self, names: Sequence[str]) -> list[tuple[int, Check]]:
        """Types are kept by every database but SQLite."""
        lossy = self._table.source.get("lossy", ())
        exact = {column: kind for column, kind in self._table.columns.items() if column not in lossy}
        return checks_of(exact, names) if self._is_sqlite else []

    def _refuse_losses(
        self, rows: Sequence[Sequence[Any]], names: Sequence[str], checks: Sequence[tuple[int, Check]]
    ) -> None:
        """Raise DataRejectedError for a value of which the server would drop a part without a word."""
        for place, check in checks:
            for number, row in enumerate(rows, start=self.trail.records + 1):
                if lost := check(row[place]):
                    column = names[place]
                    shown = "" if column in self._table.secret else f", value {str(row[place])!r}"
                    raise DataRejectedError(
                        f"{self.place(record=number)}, column {column!r}{shown}: {lost}", hint=HOW_TO_ALLOW
                    )

    @contextlib.contextmanager
    def _connected(self) -> Iterator[sqlalchemy.Connection]:
        """A connection of its own; every error in it is said as one of the source, with what had been read."""
        try:
            with self._opened().execution_options(stream_results=True, max_row_buffer=_ROWS_PER_BLOCK) as connection:
                yield connection
        except sqlalchemy.exc.SQLAlchemyError as error:
            raise self._said(error) from error

    def _opened(self) -> sqlalchemy.Connection:
        self._must_exist()
        try:
            return sqlalchemy.create_engine(self._url, poolclass=sqlalchemy.NullPool).connect()
        except ModuleNotFoundError as error:
            said = f"{self._url.drivername} needs {error.name}, which is not installed"
            raise MisconfiguredError(said, hint=f"pip install {error.name}") from error
        except sqlalchemy.exc.NoSuchModuleError:
            raise MisconfiguredError(
                f"there is no database called {self._url.drivername!r}",
                hint="SQLAlchemy's dialects are listed in its manual",
            ) from None
        except (TypeError, ValueError) as error:  # of a driver that does not understand the URL's parameters
            raise MisconfiguredError(self._told(error), hint="see source.url") from error

    def _said(self, error: sqlalchemy.exc.SQLAlchemyError) -> JobError:
        if may_pass(error, backend=self._url.get_backend_name()):
            return UnavailableError(self._told(error), hint="the table is as it was")
        return MisconfiguredError(self._told(error))

    def _told(self, error: Exception) -> str:
        """The message of it."""
        names = self._known[0] if self._known else tuple(self._table.columns)
        backend = self._url.get_backend_name()
        return self.failed(told(error, backend=backend, excerpts=self._excerpts, columns=names))

    def _must_exist(self) -> None:
        """SQLite would make a file that is not there."""
        path = self._url.database or ""
        is_file = self._is_sqlite and path and not path.startswith((":", "file:"))
        if is_file and not Path(path).is_file():
            raise MisconfiguredError(f"the source {path} does not exist", hint="see source.url")

    def _run(self, connection: sqlalchemy.Connection, *, nothing: bool = False) -> sqlalchemy.CursorResult[Any]:
        """The rows; with `nothing` none of them, for their columns' names."""
        if self._query:
            query = self._query.strip().rstrip(";")
            return connection.exec_driver_sql(f"SELECT * FROM ({query}\n) q WHERE 1 = 0" if nothing else query)
        select = sqlalchemy.select(sqlalchemy.text("*")).select_from(
            sqlalchemy.table(self._relation, schema=self._schema)
        )
        return connection.execute(select.where(sqlalchemy.text("1 = 0")) if nothing else select)

    def _asked(self) -> tuple[tuple[str, ...], dict[str, str]]:
        """The names of the columns, and their types. Of a query's columns nothing is known: they are text."""
        with self._connected() as connection:
            names = tuple(self._run(connection, nothing=True).keys())
            return names, dict.fromkeys(names, "text") if self._query else self._types(connection)

    def _types(self, connection: sqlalchemy.Connection) -> dict[str, str]:
        """A table's columns with their types in PostgreSQL's words, as far as they have any."""
        described = sqlalchemy.inspect(connection).get_columns(self._relation, schema=self._schema)
        return {str(column["name"]): _server_type(column["type"]) for column in described}


def _server_type(kind: sqlalchemy.types.TypeEngine[Any]) -> str:
    try:
        dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
        return str(kind.as_generic().compile(dialect=dialect)).lower()
    except (NotImplementedError, sqlalchemy.exc.CompileError):
        return "text"
