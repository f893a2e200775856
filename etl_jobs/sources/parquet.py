"""Parquet files as source: in PostgreSQL's binary format where the types are made for it, else as CSV text."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path

from etl_jobs.errors import DataRejectedError, NotBinaryError
from etl_jobs.names import clip
from etl_jobs.sources.extras import needed
from etl_jobs.sources.files import Stream, find_files, fingerprint_of, size_of
from etl_jobs.sources.framing import LONGEST
from etl_jobs.sources.records import header
from etl_jobs.sources.trail import MadeText
from etl_jobs.sources.types import check_types
from etl_jobs.tables import SourceSettings, Table

# The library's own allocators keep more of what was freed: 30 MiB here, and more the longer a file is.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")

with needed("parquet", "Parquet"):
    import pyarrow as pa
    from pgpq import ArrowToPostgresBinaryEncoder

    from etl_jobs.sources.arrow_text import as_text, rows
    from etl_jobs.sources.arrow_types import converted, sent_as, server_type
    from etl_jobs.sources.parquet_file import Footer, batches, footer_of


_PIECE = 32 * 1024  # of a megabyte or two that are encoded together: the server works on the first ones meanwhile


class ParquetSource(MadeText):
    """One or many files with the same columns. What `columns` has found is what is read, or nothing is."""

    def __init__(self, settings: SourceSettings, table: Table) -> None:
        assert settings.folder is not None
        self._folder, self._table = settings.folder, table
        self._file_column: str | None = table.source.get("file_column")
        self._lossy = frozenset(map(clip, table.source.get("lossy", ())))
        self.name = ", ".join(str(settings.folder / pattern) for pattern in table.files)
        self._known: dict[Path, Footer] = {}

    def columns(self) -> tuple[str, ...]:
        self._known = self._found()
        types = self.types()
        check_types(types, self._table.columns, table=self._table.name, source=self.name, lossy=self._lossy)
        return tuple(field.name for field in self._fields())

    def types(self) -> dict[str, str]:
        return dict(_server_types(self._fields()))

    def blocks(self) -> Iterator[bytes]:
        fields = self._fields()
        names = [clip(field.name) for field in fields]
        declared = [self._table.columns.get(name, "text") for name in names]
        lossy, secret = self._lossy, self._table.secret

        def text(columns: Sequence[pa.Array]) -> bytes:
            read = zip(columns, declared, names, fields, strict=True)
            return rows([as_text(c, kind, name=f.name, lossy=n in lossy, secret=n in secret) for c, kind, n, f in read])

        yield header(field.name for field in fields)
        yield from map(text, self._batches())

    def binary(self, kinds: Sequence[str]) -> Iterator[bytes] | None:
        shapes = {footer.fields: self._with_file(footer) for footer in self._files().values()}.values()
        sent = [[sent_as(f.type, kind) for f, kind in zip(fields, kinds, strict=True)] for fields in shapes]
        known = [[kind for kind in of_file if kind is not None] for of_file in sent]
        return self._encoded(known[0]) if known == sent else None

    def _encoded(self, sent: Sequence[pa.DataType]) -> Iterator[bytes]:
        schema = pa.schema([pa.field(str(number), kind) for number, kind in enumerate(sent)])
        lossy = [clip(field.name) in self._lossy for field in self._fields()]
        encoder = ArrowToPostgresBinaryEncoder(schema)

        def encoded(columns: Sequence[pa.Array]) -> bytes:
            try:
                ready = [converted(c, k, lossy=may) for c, k, may in zip(columns, sent, lossy, strict=True)]
                return encoder.write_batch(pa.RecordBatch.from_arrays(ready, schema=schema))
            except ValueError as error:  # so both libraries say that a value does not fit
                raise NotBinaryError from error

        yield encoder.write_header()
        yield from chain.from_iterable(map(_pieces, map(encoded, self._batches())))
        yield encoder.finish()

    def fingerprint(self) -> str:
        return fingerprint_of(find_files(self._folder, self._table.files))

    def size(self) -> int | None:
        return size_of(find_files(self._folder, self._table.files))

    def place(self, *, record: int | None = None, line: int | None = None) -> str:
        """The file and the row in it; a line is found by reading again."""
        number = record if record is not None else self._record_at(line or 1)
        for path, footer in self._files().items():
            if number <= footer.rows:
                return f"{path} row {number:,}"
            number -= footer.rows
        return f"{self.name} row {number:,}"

    def _record_at(self, line: int) -> int:
        csv.field_size_limit(LONGEST)
        raw = io.BufferedReader(Stream(self.blocks()))
        reader = csv.reader(io.TextIOWrapper(raw, "utf-8", errors="surrogateescape", newline=""))
        return next((number for number, _ in enumerate(reader) if reader.line_num >= line), 0)

    def _files(self) -> dict[Path, Footer]:
        """The files with their ends, as `columns` has found them."""
        self._known = self._known or self._found()
        return self._known

    def _found(self) -> dict[Path, Footer]:
        """The files with their ends, and the same columns in all; one that did not change is not opened again."""
        found: dict[Path, Footer] = {}
        for path in find_files(self._folder, self._table.files):
            footer = self._known.get(path)
            if footer is None or footer.stamp != fingerprint_of([path]):
                footer = footer_of(path, lossy=self._lossy)
            first = next(iter(found.values()), footer)
            found[path] = replace(footer, fields=first.fields) if footer.fields == first.fields else footer
        _refuse_others(found)
        return found

    def _fields(self) -> tuple[pa.Field, ...]:
        """Those of the first file, all others have the like."""
        return self._with_file(next(iter(self._files().values())))

    def _with_file(self, footer: Footer) -> tuple[pa.Field, ...]:
        return (*([pa.field(self._file_column, pa.string())] if self._file_column else []), *footer.fields)

    def _batches(self) -> Iterator[list[pa.Array]]:
        """The columns of all files, some rows at a time. Who reads them keeps none while the next are read."""
        for path, footer in self._files().items():
            found = batches(path, footer, lossy=self._lossy)
            yield from map(partial(_after, self._name(path)), found) if self._file_column else found

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self._folder) if path.is_relative_to(self._folder) else path)


def _pieces(block: bytes) -> Iterator[bytes]:
    for start in range(0, len(block), _PIECE):
        yield block[start : start + _PIECE]


def _after(name: str, columns: list[pa.Array]) -> list[pa.Array]:
    """The columns behind one that has the same name in every row."""
    return [pa.repeat(name, len(columns[0])), *columns]


def _refuse_others(files: dict[Path, Footer]) -> None:
    """Raise DataRejectedError for a file that has not the columns of the first."""
    (first, footer), *others = files.items()
    types = _server_types(footer.fields)
    for path, other in others:
        if other.fields is not footer.fields and (found := _server_types(other.fields)) != types:
            raise DataRejectedError(
                f"{path}: its columns are not those of {first.name}: {_difference(found, types)}",
                hint="the files of a table need the same columns of the same types",
            )


def _server_types(fields: Iterable[pa.Field]) -> list[tuple[str, str]]:
    """The columns with PostgreSQL's types."""
    return [(field.name, server_type(field.type)) for field in fields]


def _difference(found: Sequence[tuple[str, str]], expected: Sequence[tuple[str, str]]) -> str:
    there, wanted = dict(found), dict(expected)
    said = [f"no column {c!r}" for c in wanted if c not in there]
    said += [f"unexpected column {c!r}" for c in there if c not in wanted]
    said += [f"{c!r} is {there[c]}, not {kind}" for c, kind in wanted.items() if c in there and there[c] != kind]
    return "; ".join(said) or f"another order: {', '.join(there)}"
