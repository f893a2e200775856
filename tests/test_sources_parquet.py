"""Parquet files as source. They are written by DuckDB, and read as anybody's."""

# ruff: noqa: F401, F811
from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from etl_jobs.sources import TypedSource
from etl_jobs.sources.parquet import ParquetSource
from etl_jobs.tables import SourceSettings, Table
from tests.support.jobs import query, rows
from tests.support.servers import database, warehouse
from tests.support.sources import Load


@pytest.fixture
def load(tmp_path: Path, database: str) -> Load:
    return Load(tmp_path, database, kind="parquet", top='folder = "."')


def write(path: Path, select: str, options: str = "") -> None:
    path.parent.mkdir(exist_ok=True)
    with duckdb.connect() as session:
        session.execute(f"COPY ({select}) TO '{path}' (FORMAT parquet{options})")


VALUES = {
    "tiny": ("(-3)::TINYINT", "smallint", "-3"),
    "big": ("9223372036854775807", "bigint", "9223372036854775807"),
    "huge": ("18446744073709551615::UBIGINT", "numeric", "18446744073709551615"),
    "exact": ("12345678901234.56::DECIMAL(16,2)", "numeric(16,2)", "12345678901234.56"),
    "double": ("0.1::DOUBLE + 0.2", "double precision", "0.30000000000000004"),
    "float": ("0.1::FLOAT", "real", "0.1"),
    "nan": ("'nan'::DOUBLE", "double precision", "NaN"),
    "whole double": ("42.0::DOUBLE", "integer", "42"),
    "yes": ("true", "boolean", "true"),
    "text": ("'a,\"b\"' || chr(10) || '\\.'", "text", 'a,"b"\n\\.'),
    "empty": ("''", "text", ""),
    "null": ("NULL::VARCHAR", "text", None),
    "day": ("DATE '1999-12-31'", "date", "1999-12-31"),
    "time": ("TIME '01:02:03.4'", "time", "01:02:03.4"),
    "local": ("TIMESTAMP '2026-01-02 03:04:05.678901'", "timestamp", "2026-01-02 03:04:05.678901"),
    "instant": ("TIMESTAMPTZ '2026-01-02 03:04:05+02'", "timestamptz", "2026-01-02 01:04:05+00"),
    "nanos": ("TIMESTAMP_NS '2026-01-02 03:04:05.678901000'", "timestamp", "2026-01-02 03:04:05.678901"),
    "bytes": ("'\\x00\\xFF'::BLOB", "bytea", "\\x00ff"),
    "uuid": ("'00000000-0000-0000-0000-00000000000a'::UUID", "uuid", "00000000-0000-0000-0000-00000000000a"),
    "span": ("INTERVAL '1 month 2 days 3.5 seconds'", "interval", "1 mon 2 days 00:00:03.5"),
    "list": ("['a,b', NULL, '\"x\\', '']", "text[]", '{"a,b",NULL,"\\"x\\\\",""}'),
    "no list": ("[]::INTEGER[]", "integer[]", "{}"),
    "lists": ("[[1, 2], [NULL, 4]]", "integer[]", "{{1,2},{NULL,4}}"),
    "struct": ("{'a': 1, 'b': ['x']}", "jsonb", '{"a": 1, "b": ["x"]}'),
    "list as json": ("[1, NULL]", "jsonb", "[1, null]"),
    "map": ("MAP {'k': 1.5}", "jsonb", '{"k": 1.5}'),
}


NOT_BINARY = {"whole double", "span", "lists", "struct", "list as json", "map"}


@pytest.mark.parametrize("as_text", [True, False])
def test_every_type_arrives_as_it_is(load: Load, as_text: bool) -> None:
    values = {name: value for name, value in VALUES.items() if as_text or name not in NOT_BINARY}
    columns = ", ".join(f'{value} AS "{name}"' for name, (value, _, _) in values.items())
    write(load.folder / "all types.parquet", f"SELECT {columns}")
    load.table("t", {name: kind for name, (_, kind, _) in values.items()}, 'file = "all types.parquet"')

    table = Table(id=0, name="t", files=("all types.parquet",), columns={})
    source = ParquetSource(SourceSettings(kind="parquet", folder=load.folder), table)
    assert (source.binary([kind for _, kind, _ in values.values()]) is None) == as_text

    ended = load.load()

    assert ended.status == 0, ended.stderr
    shown = ", ".join(f'"{name}"::text' for name in values)
    assert dict(zip(values, query(load.dsn, f"SELECT {shown} FROM shop.t")[0], strict=True)) == {
        name: text for name, (_, _, text) in values.items()
    }


def test_the_source_knows_its_types(tmp_path: Path) -> None:
    write(
        tmp_path / "t.parquet",
        "SELECT 1 AS id, 1.5::DECIMAL(9,2) AS price, [1] AS tags, {'a': 1} AS details, NULL::TIME AS t",
    )
    table = Table(id=0, name="t", files=("t.parquet",), columns={}, source={"file_column": "file"})
    source = ParquetSource(SourceSettings(kind="parquet", folder=tmp_path), table)

    assert isinstance(source, TypedSource)
    assert source.types() == {
        "file": "text", "id": "integer", "price": "numeric(9,2)", "tags": "jsonb", "details": "jsonb",
        "t": "time without time zone",
    }  # fmt: skip
    assert source.columns() == tuple(source.types())


def test_many_files_are_one_table(load: Load) -> None:
    write(load.folder / "y=1" / "b.parquet", "SELECT 3 AS id, 'c' AS name")
    write(load.folder / "y=1" / "a.parquet", "SELECT * FROM (VALUES (1, 'a'), (2, 'b''')) AS v(id, name)")
    columns = {"file": "text", "id": "integer", "name": "text"}
    load.table("t", columns, 'file = "*/*.parquet"\nsource.file_column = "file"\nkey = ["id"]')

    ended = load.load()

    assert ended.status == 0, ended.stderr
    assert sorted(rows(load.dsn, "shop", "t")) == [
        ("y=1/a.parquet", 1, "a"), ("y=1/a.parquet", 2, "b'"), ("y=1/b.parquet", 3, "c"),
    ]  # fmt: skip
    assert load.run("pre").status == 0


def test_files_of_other_columns_or_types_are_named(load: Load) -> None:
    write(load.folder / "a.parquet", "SELECT 1 AS id, 'c' AS name")
    write(load.folder / "b.parquet", "SELECT '1' AS id, 'c' AS title")
    load.table("t", {"id": "integer", "name": "text"}, 'file = "*.parquet"')

    ended = load.load()

    assert ended.status == 65
    assert (
        "b.parquet: its columns are not those of a.parquet: no column 'name'; unexpected column 'title';"
        in ended.stderr
    )
    assert "'id' is text, not integer" in ended.stderr


def test_a_bad_value_is_named_with_its_file_and_row(load: Load) -> None:
    write(load.folder / "a.parquet", "SELECT range::VARCHAR AS id, 'two' || chr(10) || 'lines' AS name FROM range(10)")
    write(load.folder / "b.parquet", "SELECT CASE range WHEN 4 THEN 'x' ELSE range::VARCHAR END AS id,"
          " 'two' || chr(10) || 'lines' AS name FROM range(10)")  # fmt: skip
    load.table("t", {"id": "integer", "name": "text"}, 'file = "*.parquet"')

    ended = load.load()

    assert ended.status == 65
    assert "b.parquet row 5, column 'id', value 'x'" in ended.stderr


def test_what_would_be_lost_silently_is_refused(load: Load) -> None:
    write(load.folder / "t.parquet", "SELECT 1.25::DOUBLE AS price, TIMESTAMP_NS '2026-01-01 00:00:00.000000001' AS at")
    kinds = {"price": "numeric(9,1)", "at": "timestamp"}
    load.table("t", kinds, 'file = "t.parquet"')
    load.table("t2", kinds, 'file = "t.parquet"\nsource.lossy = ["price"]')
    load.table("t3", kinds, 'file = "t.parquet"\nsource.lossy = ["price", "at"]')

    first, second, third = (load.load(n) for n in range(3))

    assert (first.status, second.status, third.status) == (78, 65, 0), third.stderr
    assert "'price' is double precision there, numeric(9,1) here: digits would be lost" in first.stderr
    assert "column 'at' has nanoseconds, which would be lost" in second.stderr


def test_a_fraction_is_no_whole_number(load: Load) -> None:
    write(load.folder / "t.parquet", "SELECT unnest([1.0, 2.5])::DOUBLE AS id")
    load.table("t", {"id": "integer"})

    assert "row 2, column 'id', value '2.5'" in load.load().stderr


def test_a_file_that_breaks_in_the_middle_leaves_the_table_and_says_how_far_it_went(load: Load) -> None:
    path = load.folder / "t.parquet"
    load.table("t", {"id": "integer", "name": "text"}, 'key = ["id"]')
    write(path, "SELECT 1 AS id, 'old' AS name")
    assert load.load().status == 0
    write(path, "SELECT range::INTEGER AS id, repeat(range::VARCHAR, 9) AS name FROM range(300000)",
          ", ROW_GROUP_SIZE 20480, COMPRESSION zstd")  # fmt: skip
    content = bytearray(path.read_bytes())
    half = len(content) // 2
    content[half : half + 4096] = b"\xff" * 4096
    path.write_bytes(content)

    ended = load.load()

    assert (ended.status, rows(load.dsn, "shop", "t")) == (65, [(1, "old")])
    assert "t.parquet cannot be read to its end" in ended.stderr
    assert "rows)" in ended.stderr


@pytest.mark.parametrize("content", [b"", b"PAR1 nothing more", b"id,name\n1,a\n"])
def test_what_is_no_parquet_file_is_said(load: Load, content: bytes) -> None:
    (load.folder / "t.parquet").write_bytes(content)
    load.table("t", {"id": "integer"})

    ended = load.load()

    assert ended.status == 65
    assert f"{load.folder}/t.parquet: " in ended.stderr


def open_files() -> list[Path]:
    return [fd.readlink() for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()]


def test_a_reader_that_stops_leaves_no_file_open(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write(path, "SELECT range AS id, md5(range::VARCHAR) AS name FROM range(200000)")
    table = Table(id=0, name="t", files=("t.parquet",), columns={"id": "bigint", "name": "text"})
    blocks = ParquetSource(SourceSettings(kind="parquet", folder=tmp_path), table).blocks()

    assert next(blocks) == b'"id","name"\n'
    assert next(blocks).startswith(b'0,"cfcd208495d565ef66e7dff9f98764da"\n')
    assert path in open_files()
    blocks.close()
    assert path not in open_files()
