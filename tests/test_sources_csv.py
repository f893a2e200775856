"""CSV files as they come: dialects, encodings, compressed, many for one table."""

# ruff: noqa: F401, F811
from __future__ import annotations

import bz2
import gzip
import lzma
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_jobs.errors import DataRejectedError, MisconfiguredError
from etl_jobs.found import find_tables
from etl_jobs.sources.csv import CsvSource
from etl_jobs.sources.files import find_files
from etl_jobs.sources.framing import TooLongError, ended, records, with_first_field, with_line_end, without_header
from etl_jobs.tables import SourceSettings, Table
from tests.support.jobs import Shop, query
from tests.support.servers import database, warehouse
from tests.support.sources import cut

try:
    from compression import zstd  # Python 3.14
except ImportError:
    from backports import zstd

GOODS = {"id": "integer", "name": "text"}
COMPRESSED: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstd.compress,
}


@pytest.fixture
def shop(tmp_path: Path, database: str) -> Shop:
    return Shop(tmp_path, database)


def source(folder: Path, *files: str, options: dict[str, str] | None = None, **of_table: str) -> CsvSource:
    settings = SourceSettings(kind="csv", folder=folder, options=options or {})
    return CsvSource(settings, Table(id=0, name="t", files=files, columns={}, source=of_table))


@pytest.mark.parametrize(
    ("dialect", "text", "expected"),
    [
        ('delimiter = "\\t"', "id\tname\n1\ta,b\n", "a,b"),
        ('escape = "\\\\"', 'id,name\n1,"a\\"b"\n', 'a"b'),
        ("quote = \"'\", delimiter = \"|\"", "id|name\n1|'a|''b'\n", "a|'b"),
        ('null = "\\\\N"', "id,name\n1,\\N\n", None),
        ('null = "NA"', 'id,name\n1,"NA"\n', "NA"),
        ('encoding = "WIN1252"', "id,name\n1,€uro\n".encode("cp1252"), "€uro"),
        ('encoding = "SJIS"', "id,name\n1,日本\n".encode("shift_jis"), "日本"),
        ('encoding = "UTF-16"', "id,name\n1,日本\n".encode("utf-16"), "日本"),
        ('encoding = "cp500"', "id,name\n1,é\n".encode("cp500"), "é"),
    ],
)  # fmt: skip
def test_a_dialect_is_read_as_declared(shop: Shop, dialect: str, text: str | bytes, expected: str | None) -> None:
    shop.source = f"csv = {{ {dialect} }}"
    shop.table("goods", GOODS)
    shop.file("goods.csv", text)

    assert shop.load().status == 0
    assert shop.rows("goods") == [(1, expected)]


@pytest.mark.parametrize("ending", COMPRESSED)
def test_compressed_files_are_read_as_plain_ones(shop: Shop, ending: str) -> None:
    shop.table("goods", GOODS, f'file = "goods.csv.{ending}"')
    shop.file(f"goods.csv.{ending}", COMPRESSED[ending](b"id,name\n1,pump\n2,valve\n"))

    assert shop.load().status == 0
    assert shop.rows("goods") == [(1, "pump"), (2, "valve")]


@pytest.mark.parametrize("ending", COMPRESSED)
def test_a_compressed_file_that_was_cut_leaves_the_table_and_says_how_far_it_went(shop: Shop, ending: str) -> None:
    shop.table("goods", GOODS, f'file = "goods.csv.{ending}"\nmin_rows = 1')
    shop.file(f"goods.csv.{ending}", COMPRESSED[ending](b"id,name\n1,pump\n"))
    assert shop.load().status == 0
    rows = "".join(f"{n},{n * 7919 % 99991}\n" for n in range(200_000))
    whole = COMPRESSED[ending](f"id,name\n{rows}".encode())
    shop.file(f"goods.csv.{ending}", whole[: len(whole) * 2 // 3])

    ended = shop.load()

    assert (ended.status, shop.rows("goods")) == (65, [(1, "pump")])
    assert f"goods.csv.{ending} is broken" in ended.stderr
    assert "bytes of text)" in ended.stderr


def test_a_bad_row_of_a_compressed_file_is_named_by_its_line(shop: Shop) -> None:
    shop.table("goods", GOODS, 'file = "goods.csv.gz"')
    shop.file("goods.csv.gz", gzip.compress(b'id,name\n1,"a\nb"\nx,c\n'))

    assert "goods.csv.gz line 4, column 'id', value 'x'" in shop.load().stderr


def test_a_pattern_reads_all_its_files_as_one(shop: Shop) -> None:
    shop.table("goods", {"file": "text", **GOODS}, 'file = ["old.csv", "new/*.csv*"]\nsource.file_column = "file"')
    (shop.folder / "new").mkdir()
    shop.file("old.csv", b'\xef\xbb\xbfid,name\r\n1,"a ""x""\r\n2,b"')
    shop.file("new/2.csv", "id,name\r\n2,c")
    shop.file("new/10.csv.gz", gzip.compress(b'\xef\xbb\xbf"id","name"\r\n3,d\r\n4,"e\r\n"\r\n'))
    shop.file("new/3.csv", "id,name\r\n")

    ended = shop.load()

    assert ended.status == 0, ended.stderr
    assert sorted(shop.rows("goods"), key=lambda row: row[1]) == [
        ("old.csv", 1, 'a "x"\r\n2,b'),
        ("new/2.csv", 2, "c"),
        ("new/10.csv.gz", 3, "d"),
        ("new/10.csv.gz", 4, "e\r\n"),
    ]


def test_a_bad_row_is_found_in_its_own_file(shop: Shop) -> None:
    shop.table("goods", {"file": "text", **GOODS}, 'file = "*.csv"\nkey = ["id"]\nsource.file_column = "file"')
    shop.file("a.csv", 'id,name\n1,"x\ny"\n2,b')
    shop.file("b.csv", '"id",name\n3,c\nz,d\n')
    assert f"{shop.folder}/b.csv line 3, column 'id', value 'z'" in shop.load().stderr

    shop.file("b.csv", '"id",name\n3,c\n2,d\n')
    said = shop.load().stderr

    assert f"{shop.folder}/a.csv line 4 (2); {shop.folder}/b.csv line 3 (2)" in said
    shop.file("b.csv", '"id",name\n3,c\n')
    shop.file("c.csv", "id,name\n5,d\ny,e\n7,f\n")
    assert f"{shop.folder}/c.csv line 3, column 'id', value 'y'" in shop.load().stderr


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ("id,title\n2,b\n", "no column 'name' and unexpected column 'title'"),
        ("name,id\nb,2\n", "another order: name, id"),
        ("", "b.csv is empty"),
        ("2,b\n", "no column 'id', 'name'"),
    ],
)
def test_a_header_that_differs_names_its_file(shop: Shop, second: str, said: str) -> None:
    shop.table("goods", GOODS, 'file = "*.csv"')
    shop.file("a.csv", "id,name\n1,a\n")
    shop.file("b.csv", second)

    ended = shop.load()

    assert (ended.status, shop.rows("goods")) == (65, [])
    assert "b.csv" in ended.stderr
    assert said in ended.stderr


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id\n1\n")
    with pytest.raises(DataRejectedError, match=r"no file in .* matches '\*\.txt'"):
        source(tmp_path, "*.txt").columns()
    with pytest.raises(MisconfiguredError, match="there is no encoding 'UTF9'"):
        source(tmp_path, "a.csv", options={"encoding": "UTF9"})
    with pytest.raises(MisconfiguredError, match="file_column needs a dialect"):
        source(tmp_path, "a.csv", options={"escape": "\\"}, file_column="file")
    (tmp_path / "b.csv").write_bytes("id\n".encode("utf-16") + b"x")
    with pytest.raises(DataRejectedError, match="not utf-16 text"):
        list(source(tmp_path, "b.csv", options={"encoding": "utf-16"}).blocks())


HIDDEN = [".b.csv", "._a.csv", ".tmp/c.csv", "x/.tmp/d.csv", "x/.e.csv", "a.csv", "x/f.csv"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.csv", ["a.csv"]),
        ("**/*.csv", ["a.csv", "x/f.csv"]),
        ("*/*.csv", ["x/f.csv"]),
        ("[.a]*.csv", ["a.csv"]),
        (".*.csv", ["._a.csv", ".b.csv"]),
        (".b.csv", [".b.csv"]),
        (".tmp/*.csv", [".tmp/c.csv"]),
        ("**/.tmp/*.csv", [".tmp/c.csv", "x/.tmp/d.csv"]),
        ("**/.*.csv", ["._a.csv", ".b.csv", "x/.e.csv"]),
        ("../in/*.csv", ["../in/a.csv"]),
    ],
)
def test_a_pattern_passes_over_what_is_hidden_unless_it_says_the_dot(
    tmp_path: Path, pattern: str, expected: list[str]
) -> None:
    folder = tmp_path / "in"
    for name in HIDDEN:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("id\n1\n")

    assert [str(path.relative_to(folder)) for path in find_files(folder, [pattern])] == expected
    assert [found.file for found in find_tables(folder, [pattern])] == expected
    assert source(folder, pattern).columns() == ("id",)


def test_a_missing_library_is_one_line_that_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "compression", None)
    monkeypatch.setitem(sys.modules, "backports", None)
    (tmp_path / "a.csv.zst").write_bytes(zstd.compress(b"id\n1\n"))
    with pytest.raises(MisconfiguredError) as caught:
        source(tmp_path, "a.csv.zst").columns()

    assert caught.value.message == "a.csv.zst needs backports, which is not installed"
    assert caught.value.hint == "pip install 'etl-run[zst]'"


def test_the_fingerprint_changes_with_any_file(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("id\n1\n")
    many = source(tmp_path, "*.csv")
    seen = {many.fingerprint(), many.fingerprint()}
    (tmp_path / "b.csv").write_text("id\n11\n")
    seen.add(many.fingerprint())
    (tmp_path / "c.csv").write_text("id\n")
    seen.add(many.fingerprint())

    assert len(seen) == 3
    assert many.size() == 5 + 6 + 3
    assert source(tmp_path, "a.csv").size() == 5


def test_a_large_compressed_file_is_read_in_little_memory(tmp_path: Path) -> None:
    row = b'1,"some text ""in quotes"""\n'
    with gzip.open(tmp_path / "big.csv.gz", "wb", compresslevel=1) as file:
        file.write(b"id,name\n")
        for _ in range(64):
            file.write(row * 16_384)
    big = source(tmp_path, "big.csv.gz", file_column="file")

    tracemalloc.start()
    sent = sum(map(len, big.blocks()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert sent == 64 * 16_384 * (len(row) + len(b'"big.csv.gz",')) + len(b'id,name\n"big.csv.gz",')
    assert peak < 12_000_000


tables = st.lists(st.lists(st.text('a",\n\r', max_size=4), min_size=2, max_size=2), max_size=5)


def written(rows: list[list[str]]) -> bytes:
    """The rows as CSV, every field in quotes."""
    quoted = [['"' + field.replace('"', '""') + '"' for field in row] for row in rows]
    return "".join(",".join(row) + "\n" for row in quoted).encode()


@given(rows=tables, data=st.data())
def test_records_are_found_wherever_blocks_are_cut(rows: list[list[str]], data: st.DataObject) -> None:
    header = [["h\n1", 'h"2']]
    text = written(header + rows)

    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=4))
    less = b"".join(without_header(cut(text, cuts), quote=b'"', escape=b'"'))
    more = b"".join(with_first_field(cut(text, cuts), b'"f\'",', quote=b'"'))
    assert less == written(rows)
    assert more == written([["f'", *row] for row in header + rows])


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_header_ends_at_any_end_of_line(end: str) -> None:
    text = f'a,"b{end}"{end}1,2{end}'.encode()
    for at in range(len(text) + 1):
        assert b"".join(without_header(cut(text, [at]), quote=b'"', escape=b'"')) == f"1,2{end}".encode()
    escaped = f'a,"b\\"{end}"{end}1{end}'.encode()
    assert b"".join(without_header([escaped], quote=b'"', escape=b"\\")) == f"1{end}".encode()


def test_a_text_gets_its_last_end_of_line() -> None:
    assert b"".join(ended([b"a", b"b"], b"\n")) == b"ab\n"
    assert b"".join(ended([b"a\r\n"], b"\r\n")) == b"a\r\n"
    assert b"".join(ended([b"a\r\nb"], b"\r\n")) == b"a\r\nb\r\n"
    assert b"".join(ended([], b"\n")) == b""


@given(rows=tables, data=st.data(), end=st.sampled_from(["\n", "\r\n", "\r"]))
def test_a_text_is_split_into_its_records_wherever_blocks_are_cut(
    rows: list[list[str]], data: st.DataObject, end: str
) -> None:
    pieces = [written([row])[:-1] + end.encode() for row in [["h\n1", 'h"2'], *rows]]
    text = b"".join(pieces)
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=4))

    assert list(records(cut(text, cuts), quote=b'"', escape=b'"')) == pieces
    last = text.removesuffix(end.encode())
    assert b"".join(records(cut(last, cuts), quote=b'"', escape=b'"')) == last
    other = b"".join(with_line_end(cut(text, cuts), b"|", quote=b'"', escape=b'"'))
    assert other == b"".join(piece.removesuffix(end.encode()) + b"|" for piece in pieces)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'a\n1,"x\\"\n2"\n3\n', [b"a\n", b'1,"x\\"\n2"\n', b"3\n"]),
        (b'a\n"x\\\\"\n3\\\n"\\\n"', [b"a\n", b'"x\\\\"\n', b"3\\\n", b'"\\\n"']),
        (b'a\n1\n2,"x\n3\n', [b"a\n", b"1\n", b'2,"x\n3\n']),
        (b'"a\nb', [b'"a\nb']),
        (b"", []),
    ],
)
def test_records_with_another_escape_or_an_open_quote(text: bytes, expected: list[bytes]) -> None:
    for at in range(len(text) + 1):
        assert list(records(cut(text, [at]), quote=b'"', escape=b"\\")) == expected


def test_a_record_without_an_end_is_not_kept_in_memory() -> None:
    for text in (b'a\n"' + b"x\n" * 50, b"a\n" + b"x" * 100, b'"' + b"\n" * 100):
        with pytest.raises(TooLongError, match="a record of more than"):
            list(records(cut(text, range(0, 100, 5)), quote=b'"', escape=b'"', longest=60))


NASTY = {
    "UTF-16": ("id,name\n1,a\n".encode("utf-16"), 'it begins as UTF-16 does: say encoding = "UTF-16" in [source.csv]'),
    "UTF-16 without mark": ("id,name\n1,a\n".encode("utf-16-le"), 'is encoding = "UTF-16LE" right?'),
    "UTF-16BE without mark": ("id,name\n1,a\n".encode("utf-16-be"), 'is encoding = "UTF-16BE" right?'),
    "gzip": (gzip.compress(b"id,name\n1,a\n"), "let its name end in .gz"),
    "bzip2": (bz2.compress(b"id,name\n1,a\n"), "let its name end in .bz2"),
    "xz": (lzma.compress(b"id,name\n1,a\n"), "let its name end in .xz"),
    "zstd": (zstd.compress(b"id,name\n1,a\n" * 99), "let its name end in .zst"),
    "spreadsheet": (b"PK\x03\x04\x14\x00,\n", "a zip archive or a spreadsheet"),
    "Latin 1": ("naïve,name\n1,a\n".encode("latin1"), "see [source.csv] encoding"),
    "semicolons": (b"id;name\n1;a\n", "is ';' the delimiter?"),
    "said delimiter": (b"sep=;\nid;name\n1;a\n", "is ';' the delimiter?"),
    "empty first line": (b"\nid,name\n1,a\n", "goods.csv line 1 is empty"),
    "mark alone": (b"\xef\xbb\xbf\r\n", "goods.csv is empty"),
    "page of an error": (b"<html>502</html>\n", "no column 'id', 'name' and unexpected column '<html>502</html>'"),
}  # fmt: skip


@pytest.mark.parametrize("case", NASTY)
def test_a_file_that_is_something_else_is_refused_with_what_it_looks_like(shop: Shop, case: str) -> None:
    text, said = NASTY[case]
    shop.table("goods", GOODS)
    shop.file("goods.csv", text)
    ended = shop.load()

    assert (ended.status, shop.rows("goods")) == (65, [])
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'\xef\xbb\xbf"id","name"\r\n1,"a\r\nb"\r\n2,"c\nd"', [(1, "a\r\nb"), (2, "c\nd")]),
        (b'id,name\r1,a\r2,"b\rc"\r', [(1, "a"), (2, "b\rc")]),
        (b"id,name", []),
        (b"id,name\r\n", []),
    ],
)
def test_files_as_other_programs_write_them(shop: Shop, text: bytes, expected: list[tuple[int, str]]) -> None:
    shop.table("goods", GOODS)
    shop.file("goods.csv", text)

    assert shop.load().status == 0
    assert shop.rows("goods") == expected


@pytest.mark.parametrize("ends", [("\n", "\r\n"), ("\r\n", "\n"), ("\r", "\n"), ("\n", "\r")])
def test_the_files_of_a_table_may_end_their_lines_differently(shop: Shop, ends: tuple[str, str]) -> None:
    shop.table("goods", GOODS, 'file = "*.csv"\nrejects = { limit = 1 }')
    texts = ['id,name|1,"a\r\nb"|2,c|', 'id,name|3,"d\ne"|x,f|4,g']
    for name, text, end in zip("ab", texts, ends, strict=True):
        shop.file(f"{name}.csv", text.replace("|", end))
    ended = shop.load()

    assert ended.status == 0, ended.stderr
    assert shop.rows("goods") == [(1, "a\r\nb"), (2, "c"), (3, "d\ne"), (4, "g")]
    [(place,)] = query(shop.dsn, "SELECT place FROM shop.goods__rejects")
    assert place == f"{shop.folder}/b.csv line 4"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["UTF8", "UTF-16"])
@pytest.mark.parametrize("settings", ["", "rejects = { limit = 1 }", 'source.file_column = "file"'])
def test_a_first_file_of_a_header_without_an_end_leaves_the_others_whole(
    shop: Shop, end: str, encoding: str, settings: str
) -> None:
    shop.source = f'[source.csv]\nencoding = "{encoding}"'
    named = {"file": "text"} if "file" in settings else {}
    shop.table("goods", {**GOODS, **named}, f'file = "*.csv"\n{settings}')
    shop.file("2023.csv", "id,name".encode(encoding))
    shop.file("2024.csv", "id,name".encode(encoding))
    shop.file("2025.csv", f'id,name{end}1,"a{end}b"{end}2,c'.encode(encoding))
    shop.file("2026.csv", f"id,name{end}3,d{end}".encode(encoding))
    ended = shop.load()

    assert (ended.status, ended.metrics["rows"]) == (0, 3), ended.stderr
    assert [row[:2] for row in shop.rows("goods")] == [(1, f"a{end}b"), (2, "c"), (3, "d")]
    assert [row[2] for row in shop.rows("goods")] == ["2025.csv", "2025.csv", "2026.csv"] if named else True
    compared = shop.run("final", "--reread")
    assert ("| goods | 3 | 3 | equal |" in compared.stdout, compared.status) == (True, 0), compared.stdout
    shop.file("2026.csv", f"id,name{end}3,d{end}x,e{end}y,f{end}".encode(encoding))
    place = f"{shop.folder}/2026.csv line {4 if 'rejects' in settings else 3}, column 'id', value"
    assert place in shop.load().stderr


@pytest.mark.parametrize("ends", [("\r", "\r"), ("\r", "\n"), ("\n", "\r"), ("\r", "\r\n")])
def test_a_file_column_goes_with_lines_that_end_in_carriage_returns(shop: Shop, ends: tuple[str, str]) -> None:
    shop.table("goods", {"file": "text", **GOODS}, 'file = "*.csv"\nsource.file_column = "file"')
    shop.file("a.csv", f'id,name{ends[0]}1,"a\r\nb\rc"{ends[0]}2,d{ends[0]}'.encode())
    shop.file("b.csv", f'id,name{ends[1]}3,"e\nf"{ends[1]}4,g'.encode())

    assert shop.load().status == 0
    assert shop.rows("goods") == [("a.csv", 1, "a\r\nb\rc"), ("a.csv", 2, "d"), ("b.csv", 3, "e\nf"), ("b.csv", 4, "g")]
    shop.file("b.csv", f'id,name{ends[1]}3,"e\nf"{ends[1]}x,g'.encode())
    assert f"{shop.folder}/b.csv line 4, column 'id', value 'x'" in shop.load().stderr


def test_a_name_that_its_encoding_does_not_have_is_refused_before_anything_is_read(shop: Shop) -> None:
    shop.source = '[source.csv]\nencoding = "SJIS"'
    shop.table("goods", {"file": "text", **GOODS}, 'file = "*.csv"\nsource.file_column = "file"')
    shop.file("日本.csv", "id,name\n1,日本\n".encode("shift_jis"))
    assert (shop.load().status, shop.rows("goods")) == (0, [("日本.csv", 1, "日本")])

    shop.file("ö.csv", "id,name\n2,b\n")
    ended = shop.load()

    assert ended.status == 78
    assert "ö.csv: its name cannot be written in SJIS, as file_column wants it\nhint: rename it" in ended.stderr


def test_lines_within_values_do_not_mislead_about_the_place(shop: Shop) -> None:
    shop.table("goods", GOODS)
    for end, inner in (("\r\n", "\n"), ("\n", "\r\n"), ("\r\n", "\r\n"), ("\n", "\r")):
        shop.file("goods.csv", f'id,name{end}1,"a{inner}b"{end}2,"c{inner}d"{end}x,e{end}')

        assert "goods.csv line 6, column 'id', value 'x'" in shop.load().stderr


def test_a_compressed_file_may_have_several_parts(shop: Shop) -> None:
    for number, (ending, compress) in enumerate(COMPRESSED.items()):
        shop.table(f"goods{number}", GOODS, f'file = "goods.csv.{ending}"')
        shop.file(f"goods.csv.{ending}", b"".join(map(compress, [b"id,name\n1,a", b"b\n2,", b"c\n"])))

        assert shop.load(number).status == 0
        assert shop.rows(f"goods{number}") == [(1, "ab"), (2, "c")]


def test_a_value_of_70_megabytes_is_loaded_and_only_the_search_for_bad_records_stops_at_it(shop: Shop) -> None:
    shop.table("goods", GOODS, "rejects = { limit = 1 }")
    large = b'id,name\n1,"' + b"x" * 70_000_000 + b'"\n2,b\n'
    shop.file("goods.csv", large)
    loaded = shop.load()
    shop.file("goods.csv", large + b"3\n")
    refused = shop.load()

    assert (loaded.status, refused.status) == (0, 65)
    assert query(shop.dsn, "SELECT id, length(name) FROM shop.goods ORDER BY 1") == [(1, 70_000_000), (2, 1)]
    assert "goods.csv: a record of more than 64 MB, where records that cannot be read are looked for" in refused.stderr


def test_places_that_are_asked_for_in_order_cost_one_reading(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("id\n" + "".join(f'"{n}\n"\n' for n in range(100_000)))
    goods = source(tmp_path, "a.csv")

    assert goods.place(record=2) == f"{file} line 4–5"
    file.rename(tmp_path / "gone.csv")
    assert goods.place(record=2) == f"{file} line 4–5"
    assert goods.place(record=90_000) == f"{file} line 180000–180001"
    (tmp_path / "gone.csv").rename(file)
    assert goods.place(record=1) == f"{file} line 2–3"
