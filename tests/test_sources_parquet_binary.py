"""Parquet files in the binary format: what arrives is what arrives as text, for every pair of types that goes so."""

# ruff: noqa: F401, F811
from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql
from pyarrow import parquet

from etl_jobs.copying import Copy, copy_text, send
from etl_jobs.errors import DataRejectedError, NotBinaryError
from etl_jobs.sources.arrow_types import sent_as
from etl_jobs.sources.parquet import ParquetSource
from etl_jobs.tables import SourceSettings, Table
from etl_jobs.target import columns_of
from etl_jobs.warehouse import Session
from tests.support.jobs import query
from tests.support.servers import database, warehouse
from tests.support.sources import Load

UTC = dt.UTC
TEXTS = ["", "a", 'a,"b"\n\\.', "ü€𝄞", " "]
BYTES = [b"", b"\x00\xff", b"sixteen bytes...", b"\n"]
MOMENTS = [
    dt.datetime.fromisoformat(text)
    for text in ("0001-01-01", "1999-12-31 23:59:59.999999", "2000-01-01", "9999-12-31 23:59:59.999999")
]
FLOATS = [0.0, -0.0, 1.5, float("inf"), float("-inf"), float("nan")]
DECIMALS = [Decimal(n).scaleb(-4) for n in (0, 1, -1, 9999, 10000, -123456789, 10**15)]


def whole(bits: int, *, signed: bool = True) -> list[int]:
    return [0, 1, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1] if signed else [0, 1, 2**bits - 1]


KINDS: dict[pa.DataType, Sequence[Any]] = {
    pa.int8(): whole(8), pa.int16(): whole(16), pa.int32(): whole(32), pa.int64(): whole(64),
    pa.uint8(): whole(8, signed=False), pa.uint16(): whole(16, signed=False),
    pa.uint32(): whole(32, signed=False), pa.uint64(): whole(64, signed=False),
    pa.float16(): FLOATS, pa.float32(): [*FLOATS, 3.4028234663852886e38, 1e-45],
    pa.float64(): [*FLOATS, 5e-324, 0.1 + 0.2, 1e308],
    pa.decimal128(19, 4): DECIMALS, pa.decimal128(38, 0): [10**37, -(10**38) + 1, 0],
    pa.decimal32(9, 4): DECIMALS[:-1], pa.decimal64(18, 4): DECIMALS,
    pa.bool_(): [True, False],
    pa.date32(): [moment.date() for moment in MOMENTS], pa.date64(): [moment.date() for moment in MOMENTS],
    pa.time32("ms"): [dt.time(0), dt.time(23, 59, 59, 999000)],
    pa.time64("us"): [dt.time(0), dt.time(23, 59, 59, 999999)],
    pa.time64("ns"): [dt.time(0), dt.time(23, 59, 59, 999999)],
    pa.timestamp("s"): [m.replace(microsecond=0) for m in MOMENTS], pa.timestamp("us"): MOMENTS,
    pa.timestamp("ns"): MOMENTS[1:3],
    pa.timestamp("us", "UTC"): [m.replace(tzinfo=UTC) for m in MOMENTS],
    pa.timestamp("ms", "Europe/Berlin"): [dt.datetime(2026, month, 1, tzinfo=UTC) for month in (1, 7)],
    pa.string(): TEXTS, pa.large_string(): TEXTS, pa.string_view(): TEXTS,
    pa.dictionary(pa.int32(), pa.string()): TEXTS,
    pa.json_(): ['{"a": [1, null]}', "1"],
    pa.binary(): BYTES, pa.large_binary(): BYTES, pa.binary(16): BYTES[2:3],
    pa.uuid(): [uuid.UUID(int=0), uuid.UUID(int=2**128 - 1)],
    pa.list_(pa.int32()): [[], [1, None, -1]], pa.list_(pa.string()): [[], ["", None, 'a,"b"\\']],
    pa.large_list(pa.date32()): [[dt.date(2000, 1, 1)]], pa.list_(pa.float64(), 2): [[1.5, None]],
    pa.list_(pa.timestamp("us", "UTC")): [[m.replace(tzinfo=UTC) for m in MOMENTS]], pa.list_(pa.bool_()): [[True]],
    pa.list_(pa.binary(16)): [BYTES[2:3]], pa.list_(pa.decimal128(9, 2)): [[Decimal("1.25"), None]],
    pa.list_(pa.list_(pa.int64())): [[[1, 2], [3, None]]],
    pa.struct({"a": pa.int32()}): [{"a": 1}, {"a": None}],
}  # fmt: skip
DECLARED = (
    "smallint", "integer", "bigint", "numeric", "numeric(60,4)", "real", "double precision", "boolean", "date", "time",
    "timestamp", "timestamptz", "text", "varchar", "bytea", "uuid", "json", "jsonb", "interval", "integer[]",
    "bigint[]", "text[]", "date[]", "char(1)", "timestamp(3)", "varchar[]", "char(1)[]", "timestamptz[]", "bytea[]",
    "numeric[]", "double precision[]", "boolean[]", "uuid[]",
)  # fmt: skip
SENT = [(kind, declared) for kind in KINDS for declared in DECLARED if sent_as(kind, declared) is not None]


@pytest.fixture
def session(database: str) -> Iterator[Session]:
    with psycopg.connect(database, autocommit=True) as session:
        session.execute("SET TimeZone = 'UTC'")
        yield session


def arrived(session: Session, folder: Path, columns: Mapping[str, pa.Array], declared: Sequence[str]) -> None:
    """Load the columns in both ways, and check that it makes no difference: the same rows, or none."""
    parquet.write_table(pa.table(dict(columns)), folder / "t.parquet", row_group_size=5000)
    kinds, lossy = dict(zip(columns, declared, strict=True)), {"lossy": tuple(columns)}
    table = Table(id=0, name="t", files=("t.parquet",), columns=kinds, source=lossy)
    source = ParquetSource(SourceSettings(kind="parquet", folder=folder), table)
    names = source.columns()
    listed = ", ".join(f'"{name}" {kind}' for name, kind in table.columns.items())
    binary, text = sql.Identifier("in binary"), sql.Identifier("as text")
    for made in (binary, text):
        session.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(made))
        session.execute(sql.SQL("CREATE TABLE {} ({})").format(made, sql.SQL(listed)))  # type: ignore[arg-type]

    assert in_binary(session, binary, source, names) == as_text(session, text, source, names)


def in_binary(session: Session, made: sql.Identifier, source: ParquetSource, names: Sequence[str]) -> list[Any]:
    """What has arrived in the table; nothing where the format does not hold it, or the server refuses it."""
    kinds = columns_of(session, made)
    blocks = source.binary([kinds[name] for name in names])
    assert blocks is not None
    with suppress(NotBinaryError, psycopg.DataError):
        send(session, sql.SQL("COPY {} FROM STDIN (FORMAT binary)").format(made), blocks)
    return contents(session, made)


def as_text(session: Session, made: sql.Identifier, source: ParquetSource, names: tuple[str, ...]) -> list[Any]:
    with suppress(DataRejectedError):
        copy_text(Copy(session=session, target=made, source=source, columns=names, secret=()))
    return contents(session, made)


def contents(session: Session, made: sql.Identifier) -> list[Any]:
    return sorted(session.execute(sql.SQL("SELECT row(t.*)::text FROM {} AS t").format(made)).fetchall())


@pytest.mark.parametrize(("kind", "declared"), SENT, ids=[f"{kind} as {declared}" for kind, declared in SENT])
def test_every_value_arrives_as_it_does_as_text(
    session: Session, tmp_path: Path, kind: pa.DataType, declared: str
) -> None:
    for value in (None, *KINDS[kind]):
        arrived(session, tmp_path, {"v": column([value], kind)}, [declared])


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not pa.types.is_nested(kind)], ids=str)
def test_every_type_that_is_not_nested_has_a_column_that_it_goes_to_as_it_is(kind: pa.DataType) -> None:
    assert [declared for sent, declared in SENT if sent == kind] or isinstance(kind, pa.JsonType)


@pytest.mark.parametrize(
    ("kind", "declared"),
    [
          (pa.int64(), "double precision"),
        (pa.float32(), "double precision"), (pa.float64(), "real"),
        (pa.float64(), "numeric"), (pa.int64(), "timestamptz"), (pa.bool_(), "text"), (pa.date32(), "timestamp"),
        (pa.timestamp("us"), "timestamptz"), (pa.timestamp("us", "UTC"), "timestamp"), (pa.timestamp("us"), "date"),
        (pa.string(), "jsonb"), (pa.string(), "uuid"), (pa.string(), "integer"), (pa.string(), "bytea"),
        (pa.binary(16), "uuid"), (pa.binary(), "text"), (pa.decimal256(40, 2), "numeric"),
        (pa.decimal128(9, 2), "integer"), (pa.list_(pa.int32()), "jsonb"),
        (pa.list_(pa.list_(pa.int32())), "integer[]"),
        (pa.int32(), "integer[]"), (pa.string(), "mood"),
    ],
    ids=str,
)  # fmt: skip
def test_what_would_be_read_as_something_else_goes_as_text(kind: pa.DataType, declared: str) -> None:
    assert sent_as(kind, declared) is None


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_rows_of_many_columns_arrive_as_they_do_as_text(session: Session, tmp_path: Path, data: st.DataObject) -> None:
    pairs = data.draw(st.lists(st.sampled_from(SENT), min_size=1, max_size=6))
    size = data.draw(st.sampled_from([0, 1, 7, 4096, 4097, 11000]))
    columns = {}
    for number, (kind, _) in enumerate(pairs):
        seen = data.draw(st.lists(st.sampled_from([None, *KINDS[kind]]), min_size=1, max_size=9))
        columns[f"c {number}"] = column([seen[i % len(seen)] for i in range(size)], kind)

    arrived(session, tmp_path, columns, [declared for _, declared in pairs])


def column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    if isinstance(kind, pa.BaseExtensionType):
        stored = [value.bytes if isinstance(value, uuid.UUID) else value for value in values]
        return pa.ExtensionArray.from_storage(kind, pa.array(stored, kind.storage_type))
    if pa.types.is_float16(kind):
        return pa.array(values, pa.float32()).cast(kind)
    return pa.array(values, kind)


def test_a_load_goes_in_the_binary_format_and_says_what_it_refuses_as_text_does(tmp_path: Path, database: str) -> None:
    load = Load(tmp_path, database, kind="parquet", top='folder = "."')
    load.table("t", {"file": "text", "id": "bigint", "at": "timestamp"}, 'source.file_column = "file"\nkey = ["id"]')
    moments = pa.array([1_000, 2_001, 3_000], pa.timestamp("ns"))
    parquet.write_table(pa.table({"id": pa.array([1, 2, 3]), "at": moments}), tmp_path / "t.parquet")

    refused = load.load()
    parquet.write_table(pa.table({"id": pa.array([1, 2, None]), "at": moments.cast("timestamp[us]", safe=False)}),
                        tmp_path / "t.parquet")  # fmt: skip
    no_key = load.load()
    parquet.write_table(pa.table({"id": pa.array([1, 2, 3]), "at": moments.cast("timestamp[us]", safe=False)}),
                        tmp_path / "t.parquet")  # fmt: skip

    assert (refused.status, no_key.status, load.load().status) == (65, 65, 0), refused.stderr
    assert "column 'at' has nanoseconds, which would be lost" in refused.stderr
    assert "t.parquet row 3" in no_key.stderr
    assert query(database, "SELECT file, id, at::text FROM shop.t ORDER BY id")[1] == (
        "t.parquet", 2, "1970-01-01 00:00:00.000002",
    )  # fmt: skip


def test_files_of_which_one_must_go_as_text_all_do(tmp_path: Path, database: str) -> None:
    load = Load(tmp_path, database, kind="parquet", top='folder = "."')
    load.table("t", {"tags": "integer[]"}, 'file = "*.parquet"')
    flat, deep = pa.list_(pa.int32()), pa.list_(pa.list_(pa.int32()))
    for name, value, kind in (("a", [1, None], flat), ("b", [[1], [2]], deep)):
        parquet.write_table(pa.table({"tags": pa.array([value], kind)}), tmp_path / f"{name}.parquet")

    ended = load.load()

    assert ended.status == 0, ended.stderr
    assert query(database, "SELECT tags::text FROM shop.t") == [("{1,NULL}",), ("{{1},{2}}",)]


def test_long_rows_come_a_few_at_a_time(tmp_path: Path) -> None:
    value = "x" * 1_000_000
    parquet.write_table(pa.table({"v": pa.array([value] * 20)}), tmp_path / "t.parquet", use_dictionary=False)
    table = Table(id=0, name="t", files=("t.parquet",), columns={"v": "text"})

    sizes = [len(block) for block in ParquetSource(SourceSettings(kind="parquet", folder=tmp_path), table).blocks()]

    assert sum(sizes) > 20 * len(value)
    assert max(sizes) < 5 * len(value)
