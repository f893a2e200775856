"""Where rows come from: the port that `etl_jobs.load` reads, and the choice of an adapter by `[source] kind`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

from etl_jobs.tables import Catalogue, Table


class Source(Protocol):
    """One table's rows as CSV text, readable any number of times: with the same content where it is a file.

    `name` is what messages call it: a file's path or the like. `delimiter`, `quote`, `escape`, `null` and
    `encoding` are the text's dialect, in PostgreSQL's words.
    """

    name: str
    delimiter: str
    quote: str
    escape: str
    null: str
    encoding: str

    def columns(self) -> tuple[str, ...]:
        """The columns in the order of the text; raises JobError where the source cannot be read."""
        ...

    def blocks(self) -> Iterator[bytes]:
        """The text in pieces of bounded size, header line first."""
        ...

    def fingerprint(self) -> str:
        """A short text that changes when the content may have changed; cheap.

        Empty where only reading everything could tell: such a source must never be taken for unchanged.
        """
        ...

    def size(self) -> int | None:
        """Bytes of the whole text, None where nobody knows before reading it."""
        ...

    def place(self, *, record: int | None = None, line: int | None = None) -> str:
        """Where a person finds the record: given its number (the first is 1) or the line it ends on."""
        ...


@runtime_checkable
class TypedSource(Source, Protocol):
    """A source that knows its columns' types."""

    def types(self) -> dict[str, str]:
        """The columns with PostgreSQL's types that hold all their values; raises JobError as `columns` does."""
        ...


@runtime_checkable
class BinarySource(Source, Protocol):
    """A source that speaks PostgreSQL's binary COPY format (chapter "COPY", "Binary Format")."""

    def binary(self, kinds: Sequence[str]) -> Iterator[bytes] | None:
        """The rows in that format, as these types read it; None where the source has them not.

        The blocks raise NotBinaryError where a value cannot go that way after all.
        """
        ...


def types_of(source: Source) -> dict[str, str]:
    """The types that the source itself knows; empty where it knows none, as text does."""
    return source.types() if isinstance(source, TypedSource) else {}


def open_source(catalogue: Catalogue, table: Table) -> Source:
    """The source of a table, nothing read yet. What a source needs is imported here, where it is chosen."""
    settings = catalogue.source
    match settings.kind:
        case "sample":
            from etl_jobs.sources.sample import SampleSource

            return SampleSource(table.name, scale=settings.scale, seed=settings.seed)
        case "postgresql":
            from etl_jobs.sources.postgresql import PostgresSource

            return PostgresSource(settings, table)
        case "http":
            from etl_jobs.sources.http import HttpSource

            return HttpSource(settings, table)
        case "jsonrpc":
            from etl_jobs.sources.jsonrpc import JsonRpcSource

            return JsonRpcSource(settings, table)
        case "parquet":
            from etl_jobs.sources.parquet import ParquetSource

            return ParquetSource(settings, table)
        case "sql":
            from etl_jobs.sources.database import DatabaseSource

            return DatabaseSource(settings, table)
        case _:
            from etl_jobs.sources.csv import CsvSource

            return CsvSource(settings, table)
