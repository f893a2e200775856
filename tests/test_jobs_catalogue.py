"""Reading tables.toml: everything wrong with it is said at once, with a guess at what was meant."""

# ruff: noqa: F401, F811
from __future__ import annotations

from pathlib import Path

import pytest

from etl_jobs.catalogue import PACKAGED, default_path, read_catalogue
from etl_jobs.errors import MisconfiguredError
from tests.support.jobs import query
from tests.support.servers import database, warehouse

GOOD = """
[source]
kind = "csv"
folder = "${DATA}/in"
csv = { delimiter = ";" }
[warehouse]
schema = "w"
[[table]]
name = "A"
columns = { id = "integer", at = "timestamp with time zone", n = "numeric(10, 2)", tags = "text[]" }
key = ["id"]
references = [{ columns = ["id"], table = "B" }]
[[table]]
name = "B"
file = "b.txt"
strategy = "slice"
where = "id > 0"
columns = { id = "integer" }
"""


def read(tmp_path: Path, text: str, **env: str) -> object:
    path = tmp_path / "tables.toml"
    path.write_text(text)
    return read_catalogue(path, env={"DATA": "data", **env})


def test_what_is_left_out_has_the_usual_value(tmp_path: Path) -> None:
    catalogue = read(tmp_path, GOOD)
    first, second = catalogue.tables  # type: ignore[attr-defined]

    assert catalogue.source.folder == tmp_path / "data" / "in"  # type: ignore[attr-defined]
    assert (first.id, first.file, first.strategy, first.duplicates) == (0, "A.csv", "snapshot", "fail")
    assert first.references[0].to == ("id",)
    assert (first.max_delete, second.max_delete) == (0.5, 1.0)
    assert (second.id, second.file) == (1, "b.txt")


BAD = {
    "unknown key": ('key = ["id"]', 'keys = ["id"]', "table 'A': unknown key 'keys' (did you mean 'key'?)"),
    "unknown column": ('key = ["id"]', 'key = ["idd"]', "table 'A': key: 'A' has no column 'idd' (did you mean 'id'?)"),
    "unknown parent": ('table = "B"', 'table = "C"', "table 'A': references 'C', which is no table here"),
    "parent's column": ('table = "B"', 'table = "B", to = ["x"]', "references B: 'B' has no column 'x'"),
    "lengths": ('table = "B"', 'table = "B", to = ["id", "id"]', "`columns` and `to` differ in length"),
    "orphans": ('table = "B"', 'table = "B", orphans = "ok"', "orphans: expected 'fail' or 'report', got 'ok'"),
    "name twice": ('name = "B"', 'name = "A"', "the name is used more than once"),
    "no name": ('name = "B"', "", "table 1: 'name' is missing"),
    "strategy": ('"slice"', '"slices"', "or 'incremental' or 'scd2', got 'slices' (did you mean 'slice'?)"),
    "slice of what": ('where = "id > 0"', "", "strategy 'slice' needs `where`"),
    "where alone": ('strategy = "slice"', "", "`where` is for strategy 'slice'"),
    "increment of what": ('"slice"\nwhere = "id > 0"', '"incremental"', "needs a key without duplicates"),
    "history of what": ('"slice"\nwhere = "id > 0"', '"scd2"', "strategy 'scd2' needs a key without duplicates"),
    "append from where": ('"slice"\nwhere = "id > 0"', '"append"\nwatermark = "id"', "needs a key without duplicates"),
    "new columns": ('key = ["id"]', 'new_columns = "ad"', "expected 'fail' or 'add', got 'ad'"),
    "secret": ('key = ["id"]', 'secret = ["pin"]', "table 'A': secret: 'A' has no column 'pin'"),
    "history's own": ('tags = "text[]" }', 'valid_to = "date" }\nstrategy = "scd2"', "makes the column 'valid_to'"),
    "type": ('"integer"', '"int; DROP TABLE x"', "columns.id: not a PostgreSQL type"),
    "kind": ('kind = "csv"', 'kind = "cvs"', "got 'cvs' (did you mean 'csv'"),
    "folder": ('folder = "${DATA}/in"', "", "source.folder: missing"),
    "variable": ("${DATA}", "${NOWHERE}", "the environment variable NOWHERE is not set"),
    "delimiter": ('";"', '";;"', "source.csv.delimiter: expected one character"),
    "schema": ('schema = "w"', "", "warehouse: 'schema' is missing"),
    "a text for a list": ('key = ["id"]', 'key = "id"', "key: expected a list of texts, each of them once, got 'id'"),
    "numbers for texts": ('key = ["id"]', 'key = [1, ["id"]]', "of them once, got [1, ['id']]"),
    "long name": ('name = "B"', f'name = "{"B" * 64}"', "longer than PostgreSQL's 63 bytes"),
    "not TOML": ("[source]", "[source", "Expected ']'"),
}  # fmt: skip


KEY, TYPE = 'key = ["id"]', '"integer"'
BAD |= {
    name: (KEY, f"{KEY}\n{setting}", said)
    for name, setting, said in [
        ("share", "max_delete = 1.5", "table 'A': max_delete: expected a number from 0 to 1, got 1.5"),
        ("negative share", "max_delete = -1", "max_delete: expected a number from 0 to 1, got -1"),
        ("no share", "max_delete = nan", "max_delete: expected a number from 0 to 1, got nan"),
        ("fewer than none", "min_rows = -5", "min_rows: expected a whole number from 0 on, got -5"),
        ("changed by less than nothing", "checks = [{ row_change = -0.1 }]", "row_change: expected a number from 0 on"),
        (
            "changed since the watermark",
            'watermark = "id"\nstrategy = "incremental"\nchecks = [{ row_change = 0.5 }]',
            "checks.0: row_change does not go with `watermark`: a load reads only what is new",
        ),
        ("changed by what", "checks = [{ row_change = nan }]", "row_change: expected a number from 0 on, got nan"),
        (
            "span of what",
            'fresh_for = "1 houur"',
            "fresh_for: expected a span of time such as \"2 days\", got '1 houur'",
        ),
        ("no span", 'fresh_for = ""', "fresh_for: expected a span of time"),
        ("span backwards", 'fresh_for = "-1 hour"', "fresh_for: expected a span of time"),
        (
            "lag of what",
            'watermark = "at"\nlag = "2 dayz"',
            "lag: expected a number from 0 on, or a span of time such as",
        ),
        ("lag forwards", 'watermark = "at"\nlag = "-5000 days"', "lag: expected a number from 0 on, or a span of time"),
        ("number forwards", 'watermark = "at"\nlag = -3', "lag: expected a number from 0 on, or a span of time"),
        (
            "lag for times",
            'watermark = "at"\nlag = 3',
            "lag: column 'at' is timestamp with time zone, got 3, not a span",
        ),
        (
            "lag for numbers",
            'watermark = "id"\nlag = "2 days"',
            "lag: column 'id' is integer, got '2 days', not a number",
        ),
        (
            "lag of lists",
            'watermark = "tags"\nlag = 1',
            "lag: column 'tags' is text[], from which nothing is taken away",
        ),
        (
            "not not null",
            'checks = [{ column = "id", not_null = false }]',
            "checks.0: not_null: expected true, got False",
        ),
        (
            "fresh numbers",
            'checks = [{ column = "id", fresh = "2 days" }]',
            "checks.0.fresh: column 'id' is integer, not a",
        ),
        ("fresh for what", 'checks = [{ column = "at", fresh = "2 dayz" }]', "fresh: expected a span of time such as"),
        (
            "accepted texts",
            'checks = [{ column = "id", accepted = [1, "x"] }]',
            "accepted: column 'id' is integer, got 'x'",
        ),
        (
            "accepted flags",
            'checks = [{ column = "id", accepted = [true] }]',
            "accepted: column 'id' is integer, got True",
        ),
        (
            "limit of what",
            'checks = [{ column = "n", min = "kaputt" }]',
            "min: column 'n' is numeric(10, 2), got 'kaputt'",
        ),
        (
            "number for times",
            'checks = [{ column = "at", max = 5 }]',
            "max: column 'at' is timestamp with time zone, got 5",
        ),
        (
            "no limit",
            'checks = [{ column = "id", min = nan }]',
            "min: expected a number, or a text such as a date, got",
        ),
        (
            "flag as limit",
            'checks = [{ column = "id", min = true }]',
            "min: expected a number, or a text such as a date",
        ),
        ("empty SQL", 'checks = [{ sql = "" }]', "sql: expected a text that is not empty, got ''"),
        ("NUL", 'comment = "x\\u0000y"', "comment: expected a text"),
    ]
}
BAD |= {
    "key twice": (KEY, 'key = ["id", "id"]', "key: expected a list of texts, each of them once, got ['id', 'id']"),
    "empty name": ('name = "B"', 'name = ""', "table '': name: expected a text that is not empty, got ''"),
    "empty schema": ('schema = "w"', 'schema = ""', "warehouse: schema: expected a text that is not empty, got ''"),
    "long schema": ('schema = "w"', f'schema = "{"w" * 64}"', "warehouse: schema: longer than PostgreSQL's 63 bytes"),
    "server's schema": ('schema = "w"', 'schema = "pg_w"', "warehouse: schema: 'pg_w' is the server's own"),
    "our schema": ('schema = "w"', 'schema = "etl"', "warehouse: schema: 'etl' is for load records"),
    "kind is no text": ('kind = "csv"', "kind = 5", "source.kind: expected 'csv' or"),
    "kind is a list": ('kind = "csv"', 'kind = ["csv"]', "source.kind: expected 'csv' or"),
    "no text encoding": ('";"', '";", encoding = "rot13"', "source.csv.encoding: there is no encoding 'rot13'"),
    "undefined encoding": ('";"', '";", encoding = "undefined"', "source.csv.encoding: there is no encoding 'undefi"),
    "bytes as encoding": ('";"', '";", encoding = "base64"', "source.csv.encoding: there is no encoding 'base64'"),
    **{
        f"type {kind!r}": (TYPE, f'"{kind}"', f"columns.id: not a PostgreSQL type: {kind!r}")
        for kind in ("integer UNIQUE", "integer not null", "integer primary key", "int default 1", "serial",
                     "bigserial", "text with time zone", "text COLLATE C", "double", "character varyin(3)")
    },
}  # fmt: skip


TYPES = (
    "integer", "INT", "double precision", "Double Precision", "character varying(3)", "character varying",
    "bit varying(3)", "national character varying(3)", "timestamp(3) with time zone", "timestamp without time zone",
    "time with time zone", "numeric(10,2)", "numeric (10, 2)", "numeric(5,-2)", "interval", "interval day to second",
    "interval(3)", "text[]", "integer[3][]", "public.mood", '"my_type"', '"Shop".mood', "varchar(3)[]",
    "interval year to month", "char", "bit(3)",
)  # fmt: skip


@pytest.mark.parametrize("kind", TYPES)
def test_types_of_all_forms_are_types(tmp_path: Path, kind: str) -> None:
    read(tmp_path, GOOD.replace(TYPE, f"'{kind}'", 1).replace('key = ["id"]', ""))


SPANS = (
    "2 days",
    "1 month",
    "1 hour 30 min",
    "90",
    "00:30",
    "1 day 02:00:00",
    "1.5 h",
    "P1DT2H",
    "2 weeks",
    "1mon",
    "@ 1 yr",
)


def test_what_is_taken_for_a_span_of_time_is_one_for_the_server(tmp_path: Path, database: str) -> None:
    for span in SPANS:
        read(tmp_path, GOOD.replace(KEY, f'{KEY}\nfresh_for = "{span}"'))
        assert query(database, f"SELECT interval '{span}' >= interval '0'") == [(True,)]


@pytest.mark.parametrize(
    "setting",
    ['watermark = "at"\nlag = "2 days"', 'watermark = "id"\nlag = 3',
     'checks = [{ column = "n", min = "5.5", max = inf }]',
     'checks = [{ column = "at", fresh = "2 days", severity = "warn" }, { column = "at", min = "2020-01-01" }]',
     'checks = [{ column = "tags", accepted = ["{a}"] }]', "max_delete = 1", "max_delete = 0", "min_rows = 0"],
)  # fmt: skip
def test_what_fits_its_column_is_accepted(tmp_path: Path, setting: str) -> None:
    read(tmp_path, GOOD.replace(KEY, f'{KEY}\nstrategy = "append"\n{setting}'))


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_is_named(tmp_path: Path, case: str) -> None:
    old, new, said = BAD[case]
    assert old in GOOD
    with pytest.raises(MisconfiguredError) as caught:
        read(tmp_path, GOOD.replace(old, new, 1))

    assert said in caught.value.message
    assert "tables.toml" in caught.value.message


LINES = [
    ('kind = "csv"', 'kind = 5', 3), ('folder = "${DATA}/in"', "", 2), ('schema = "w"', "schema = 'pg_w'", 7),
    ('schema = "w"', "", 6), ('schema = "w"', 'schema = "w"\nmart = "x"', 8), ('";"', '";;"', 5),
    ('csv = { delimiter = ";" }', '[source.csv]\nquote = "\'"\nencoding = "rot13"', 7),
    ('csv = { delimiter = ";" }', '[source.csv]\nquote = "\'"\nencodin = "UTF8"', 7),
    ('name = "A"', "name = 'A'\ncomment = \'\'\'\nkey = 1\n[[table]]\n\'\'\'\nmax_delete = 3", 14),
    ("id > 0", "id > 0\"\nmin_rows = -1\ncomment = \"", 18), ('name = "B"', "", 13),
    ('file = "b.txt"', "fil = 'b'", 15), ('table = "B"', 'table = "C"', 12),
    ('where = "id > 0"', "", 16), ('name = "B"', 'name = "B" # main\nlag = "x"', 15),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line"), LINES)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, old: str, new: str, line: int) -> None:
    with pytest.raises(MisconfiguredError) as caught:
        read(tmp_path, GOOD.replace(old, new, 1))

    assert f"tables.toml:{line}: " in caught.value.message


def test_what_has_no_line_is_told_without(tmp_path: Path) -> None:
    with pytest.raises(MisconfiguredError, match=r"tables.toml: no \[\[table\]\]"):
        read(tmp_path, GOOD[: GOOD.index("[[table]]")])


def test_one_mistake_is_told_once(tmp_path: Path) -> None:
    text = GOOD.replace('id = "integer", at', "id = 5, at").replace(KEY, 'checks = [{ column = "id", min = true }, 5]')
    with pytest.raises(MisconfiguredError) as caught:
        read(tmp_path, text)

    assert [line.partition("tables.toml:")[2] for line in caught.value.message.splitlines()] == [
        "11: table 'A': checks.0: min: expected a number, or a text such as a date, got True",
        "11: table 'A': checks.1: expected a table, got 5",
        "10: table 'A': columns.id: not a PostgreSQL type: 5",
    ]


@pytest.mark.parametrize("tables", ["table = [5]", "table = 5", 'table = [["a"], {}]'])
def test_tables_that_are_none_are_named(tmp_path: Path, tables: str) -> None:
    with pytest.raises(MisconfiguredError, match=r"expected a (table|list), got") as caught:
        read(tmp_path, f'{tables}\n[source]\nkind = "csv"\nfolder = "."\n[warehouse]\nschema = "w"\n')

    assert "tables.toml" in caught.value.message


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    text = GOOD.replace('key = ["id"]', 'key = ["x"]').replace('table = "B"', 'table = "C"').replace("csv", "cvs", 1)
    with pytest.raises(MisconfiguredError) as caught:
        read(tmp_path, text)

    assert len(caught.value.message.splitlines()) == 3


def test_a_catalogue_without_tables_or_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MisconfiguredError, match=r"no \[\[table\]\]"):
        read(tmp_path, '[source]\nkind = "sample"\n[warehouse]\nschema = "w"\n')
    with pytest.raises(MisconfiguredError, match=r"cannot read the catalogue .*: No such file"):
        read_catalogue(tmp_path / "nowhere.toml", env={})


def test_the_option_wins_over_the_environment_over_the_file() -> None:
    assert read_catalogue(PACKAGED, env={}).source.scale == 1.0
    assert read_catalogue(PACKAGED, env={"ETL_SCALE": "0.5"}).source.scale == 0.5
    assert read_catalogue(PACKAGED, env={"ETL_SCALE": "0.5"}, scale=3).source.scale == 3
    for bad in ("-1", "0", "x", "nan"):
        with pytest.raises(MisconfiguredError, match="expected a number"):
            read_catalogue(PACKAGED, env={"ETL_SCALE": bad})


def test_the_catalogue_is_found_by_the_environment() -> None:
    assert default_path({}) == PACKAGED
    assert default_path({"ETL_CATALOGUE": "/x/t.toml"}) == Path("/x/t.toml")
