"""Values and files that few Parquet files have: what fits arrives, and what does not is said in one line."""

# ruff: noqa: F401, F811
from __future__ import annotations

import datetime as dt
import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.support.jobs import Ended, query
from tests.support.servers import database, warehouse
from tests.support.sources import Load

LONG = "ä" * 40
CUT = "ä" * 31
FAR = [dt.datetime.fromisoformat(day) for day in ("9999-12-31", "0001-01-01")]


@pytest.fixture
def load(tmp_path: Path, database: str) -> Load:
    return Load(tmp_path, database, kind="parquet", top='folder = "."')


def write(load: Load, values: Sequence[object], kind: pa.DataType, *, name: str = "v", **options: object) -> None:
    parquet.write_table(pa.table({name: pa.array(values, kind)}), load.folder / "t.parquet", **options)


def loaded(load: Load) -> list[str]:
    """What is in the table's first column, as text."""
    return [value for (value,) in query(load.dsn, "SELECT btrim(row(t.*)::text, '()\"') FROM shop.t AS t")]


def refused(load: Load, status: int = 65) -> str:
    """What a load says that fails, in a line or two."""
    ended = load.load()
    assert ended.status == status, ended.stderr
    assert len(ended.stderr.splitlines()) <= 2, ended.stderr
    return ended.stderr


@pytest.mark.parametrize(
    ("values", "kind", "declared", "arrives"),
    [
        ([["a", None]], pa.list_(pa.string()), "varchar[]", "{a,NULL}"),
        ([["a", None]], pa.list_(pa.string()), "char(1)[]", "{a,NULL}"),
        ([[dt.datetime(2026, 1, 2, tzinfo=dt.UTC)]], pa.list_(pa.timestamp("us", "UTC")), "timestamptz[]",
         r'{\"\"2026-01-02 00:00:00+00\"\"}'),
        ([[1.5, None]], pa.list_(pa.float32(), 2), "real[]", "{1.5,NULL}"),
        ([[1, None]], pa.list_view(pa.int64()), "bigint[]", "{1,NULL}"),
        ([[[1, 2], [3, 4]]], pa.list_(pa.list_(pa.int64(), 2)), "bigint[]", "{{1,2},{3,4}}"),
    ],
    ids=str,
)  # fmt: skip
def test_lists_of_every_kind_become_arrays(
    load: Load, values: Sequence[object], kind: pa.DataType, declared: str, arrives: str
) -> None:
    write(load, values, kind)
    load.table("t", {"v": declared})

    ended = load.load()

    assert ended.status == 0, ended.stderr
    assert [value.replace('""', r"\"\"") for value in loaded(load)] == [arrives]


@pytest.mark.parametrize(
    ("value", "kind", "declared"),
    [
        (-(2**63) + 1, pa.timestamp("us"), "timestamp"), (-(2**31), pa.date32(), "date"),
        (2**31 - 1, pa.date32(), "date"),
    ],
    ids=str,
)  # fmt: skip
def test_a_moment_that_postgresql_does_not_have_is_named(
    load: Load, value: int, kind: pa.DataType, declared: str
) -> None:
    write(load, [0, value], kind)
    load.table("t", {"v": declared})

    assert "t.parquet row 2, column 'v', value " in refused(load)


def test_a_moment_that_microseconds_do_not_reach_is_not_called_nanoseconds(load: Load) -> None:
    write(load, [2**62], pa.timestamp("ms"))
    load.table("t", {"v": "timestamp"})

    said = refused(load)

    assert "column 'v' has a value that cannot be written as text: " in said
    assert "nanoseconds" not in said


def test_a_secret_value_that_cannot_be_written_is_not_told(load: Load) -> None:
    write(load, [2**62], pa.timestamp("ms"))
    load.table("t", {"v": "timestamp"}, 'secret = ["v"]')

    assert refused(load).endswith("column 'v' has a value that cannot be written as text\n")


def test_bytes_that_are_no_text_are_found(load: Load) -> None:
    text = pa.array([b"right", b"\xff\xfe"], pa.binary()).view(pa.string())
    parquet.write_table(pa.table({"v": text}), load.folder / "t.parquet")
    load.table("t", {"v": "text"})

    assert "t.parquet row 2" in refused(load)


def test_a_bad_value_behind_a_long_one_is_named(load: Load) -> None:
    columns = {"v": pa.array(["1", "x"]), "long": pa.array(["x" * 200_000] * 2)}
    parquet.write_table(pa.table(columns), load.folder / "t.parquet")
    load.table("t", {"v": "integer", "long": "text"})

    assert "t.parquet row 2, column 'v', value 'x'" in refused(load)


@pytest.mark.parametrize("lossy", [LONG, CUT])
def test_a_name_that_is_too_long_is_known_by_what_it_is_cut_to(load: Load, lossy: str) -> None:
    write(load, [1_001], pa.timestamp("ns"), name=LONG)
    load.table("t", {CUT: "timestamp"}, f'source.lossy = ["{lossy}"]')

    ended = load.load()

    assert ended.status == 0, ended.stderr
    assert loaded(load) == [r"1970-01-01 00:00:00.000001"]


def test_a_list_of_a_name_that_is_too_long_becomes_an_array(load: Load) -> None:
    write(load, [[[1], [2]]], pa.list_(pa.list_(pa.int64())), name=LONG)
    load.table("t", {CUT: "bigint[]"})

    ended = load.load()

    assert ended.status == 0, ended.stderr
    assert loaded(load) == ["{{1},{2}}"]


@pytest.mark.parametrize(
    ("values", "kind", "declared"),
    [
        ([[1_001]], pa.list_(pa.timestamp("ns")), "timestamp[]"),
        ([[[1_001]]], pa.list_(pa.list_(pa.timestamp("ns"))), "timestamp[]"),
        ([{"at": 1_001}], pa.struct({"at": pa.timestamp("ns")}), "jsonb"),
        ([[{"at": 1_001}]], pa.list_(pa.struct({"at": pa.timestamp("ns")})), "jsonb"),
        ([[("at", 1_001)]], pa.map_(pa.string(), pa.time64("ns")), "jsonb"),
    ],
    ids=str,
)  # fmt: skip
def test_nanoseconds_within_lists_and_structs_are_lost_where_that_is_allowed(
    load: Load, values: Sequence[object], kind: pa.DataType, declared: str
) -> None:
    write(load, values, kind)
    load.table("t", {"v": declared})
    load.table("t", {"v": declared}, 'file = "./t.parquet"\nsource.lossy = ["v"]')
    allowed = load.tables.pop()

    assert "column 'v' has nanoseconds, which would be lost" in refused(load)
    load.tables[0] = allowed
    assert load.load().status == 0
    assert "00:00.000001" in loaded(load)[0]


@pytest.mark.parametrize(
    ("values", "kind", "declared", "arrives"),
    [
        (FAR, pa.timestamp("us"), "timestamp", ["9999-12-31 00:00:00", "0001-01-01 00:00:00"]),
        ([FAR], pa.list_(pa.timestamp("us")), "date[]", ["{9999-12-31,0001-01-01}"]),
    ],
    ids=str,
)
def test_old_timestamps_of_years_far_away_arrive_where_nanoseconds_may_be_lost(
    load: Load, values: Sequence[object], kind: pa.DataType, declared: str, arrives: list[str]
) -> None:
    write(load, values, kind, use_deprecated_int96_timestamps=True)
    load.table("t", {"v": declared})

    assert "column 'v' has nanoseconds, which would be lost" in refused(load)
    load.tables.clear()
    load.table("t", {"v": declared}, 'source.lossy = ["v"]')
    ended = load.load()
    assert ended.status == 0, ended.stderr
    assert loaded(load) == arrives


def test_a_file_elsewhere_is_named_by_its_path(load: Load, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("elsewhere") / "t.parquet"
    parquet.write_table(pa.table({"v": [1]}), path)
    load.table("t", {"f": "text", "v": "bigint"}, f'file = "{path}"\nsource.file_column = "f"')

    ended = load.load()

    assert ended.status == 0, ended.stderr
    assert query(load.dsn, "SELECT f, v FROM shop.t") == [(str(path), 1)]


def test_a_folder_in_place_of_a_file_is_said(load: Load) -> None:
    (load.folder / "t.parquet").mkdir()
    load.table("t", {"v": "bigint"})

    assert "t.parquet is a folder\nhint: its files are t.parquet/*" in refused(load)


def test_a_file_whose_name_is_no_text_is_refused(load: Load) -> None:
    write(load, [1], pa.int64())
    (load.folder / "t.parquet").rename(load.folder / os.fsdecode(b"\xff.parquet"))
    load.table("t", {"v": "bigint"}, 'file = "*.parquet"')

    assert "name" in refused(load, 78)
