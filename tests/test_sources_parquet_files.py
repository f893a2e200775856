"""Many Parquet files, and files that change: what is known of them before they are read, and for how long it holds."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from etl_jobs.errors import DataRejectedError, UnavailableError
from etl_jobs.sources.parquet import ParquetSource
from etl_jobs.tables import SourceSettings, Table


def write(path: Path, columns: Mapping[str, Sequence[object]], **options: object) -> Path:
    parquet.write_table(pa.table(columns), path, **options)
    return path


def source_of(folder: Path, columns: dict[str, str], **settings: object) -> ParquetSource:
    table = Table(id=0, name="t", files=("*.parquet",), columns=columns, source=settings)
    return ParquetSource(SourceSettings(kind="parquet", folder=folder), table)


def read(source: ParquetSource, *, binary: bool) -> bytes:
    blocks = source.binary(["bigint"]) if binary else source.blocks()
    assert blocks is not None
    return b"".join(blocks)


def spoil(path: Path) -> None:
    """Make it no Parquet file any more, and tell nobody."""
    seen = path.stat()
    path.write_bytes(bytes(seen.st_size))
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))


def test_what_a_file_says_of_itself_is_read_once(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{name}.parquet", {"id": [1, 2, 3]}) for name in "ab"]
    source = source_of(tmp_path, {"id": "bigint"})
    assert source.columns() == ("id",)
    for path in paths:
        spoil(path)

    assert (source.columns(), source.types()) == (("id",), {"id": "bigint"})
    assert source.place(record=5) == f"{paths[1]} row 2"
    with pytest.raises(DataRejectedError, match=r"a\.parquet: "):
        read(source, binary=True)


def test_a_file_that_has_changed_is_looked_at_again(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", {"id": [1, 2, 3]})
    source = source_of(tmp_path, {})
    assert source.columns() == ("id",)
    write(path, {"id": [7], "name": ["new"]})
    write(tmp_path / "u.parquet", {"id": [8], "name": ["more"]})

    assert source.columns() == ("id", "name")
    assert read(source, binary=False) == b'"id","name"\n7,"new"\n8,"more"\n'


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("after", [{"at": [9]}, {"id": ["9"]}, {"id": [9], "at": [9]}, {"id": [8, 9]}], ids=str)
def test_a_file_that_is_replaced_after_its_columns_were_found_is_not_read(
    tmp_path: Path, after: dict[str, list[object]], binary: bool
) -> None:
    write(tmp_path / "a.parquet", {"id": [1]})
    path = write(tmp_path / "b.parquet", {"id": [1]})
    seen = path.stat()
    source = source_of(tmp_path, {"id": "bigint"})
    source.columns()
    write(path, after)
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))

    with pytest.raises(UnavailableError, match=r"b\.parquet was changed while it was read"):
        read(source, binary=binary)


def test_a_file_that_is_gone_after_its_columns_were_found_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", {"id": [1]})
    source = source_of(tmp_path, {"id": "bigint"})
    source.columns()
    path.unlink()

    with pytest.raises(DataRejectedError, match=r"a\.parquet"):
        read(source, binary=True)


def test_a_broken_file_among_many_is_named(tmp_path: Path) -> None:
    for number in range(20):
        write(tmp_path / f"{number:02}.parquet", {"id": [number]})
    (tmp_path / "13.parquet").write_bytes(b"PAR1, but not to the end")

    with pytest.raises(DataRejectedError, match=r"13\.parquet: "):
        source_of(tmp_path, {}).columns()


@pytest.mark.parametrize("binary", [True, False])
def test_nothing_of_some_rows_is_kept_while_the_next_are_read(tmp_path: Path, binary: bool) -> None:
    options = {"row_group_size": 1, "use_dictionary": False, "compression": "none"}
    one, many = ([8_000_000 * letter for letter in letters] for letters in ("a", "abcdef"))

    assert most_memory(write(tmp_path / "many.parquet", {"v": many}, **options), binary=binary) <= 1.05 * most_memory(
        write(tmp_path / "one.parquet", {"v": one}, **options), binary=binary
    )


def most_memory(path: Path, *, binary: bool) -> int:
    """What pyarrow needs at most to read a file of one column, in bytes."""
    table = Table(id=0, name="t", files=(path.name,), columns={"v": "text"}, source={"file_column": "file"})
    source = ParquetSource(SourceSettings(kind="parquet", folder=path.parent), table)
    usual = pa.default_memory_pool()
    counted = pa.proxy_memory_pool(usual)
    pa.set_memory_pool(counted)
    try:
        blocks = source.binary(["text", "text"]) if binary else source.blocks()
        assert blocks is not None
        assert sum(map(len, blocks)) > parquet.read_metadata(path).num_rows * 8_000_000
    finally:
        pa.set_memory_pool(usual)
    return int(counted.max_memory())
