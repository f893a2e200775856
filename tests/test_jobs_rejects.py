"""Bad input: a clear error with its place, the right exit status, and a target that stays as it was."""

# ruff: noqa: F401, F811
from __future__ import annotations

import os
from pathlib import Path

import psycopg
import pytest

from etl_jobs.errors import UnavailableError
from etl_jobs.screening import without
from etl_jobs.sources.csv import CsvSource
from etl_jobs.tables import SourceSettings, Table
from tests.support.jobs import Shop, query, run_job
from tests.support.servers import database, warehouse

GOOD = "id,name,day,boss\n1,ann,2026-01-01,\n2,bob,2026-01-02,1\n"
COLUMNS = {"id": "integer", "name": "text", "day": "date", "boss": "integer"}
SETTINGS = """
key = ["id"]
required = ["name"]
min_rows = 1
max_delete = 0.5
references = [{ columns = ["boss"], table = "people", to = ["id"] }]
"""


@pytest.fixture
def shop(tmp_path: Path, database: str) -> Shop:
    shop = Shop(tmp_path, database)
    shop.table("people", COLUMNS, SETTINGS)
    shop.file("people.csv", GOOD)
    assert shop.load().status == 0
    return shop


BAD_FILES = {
    "no number": ("id,name,day,boss\n1,ann,,\nx7,bob,,\n", ["line 3", "'id'", "'x7'"]),
    "no date": (GOOD + "3,eve,2026-13-01,\n", ["line 4", "'day'", "'2026-13-01'"]),
    "too great": (GOOD + "99999999999,eve,,\n", ["line 4", "'id'", "'99999999999'"]),
    "after long fields": ('id,name,day,boss\n1,"a\nb\nc",,\n2,"d\ne",never,\n', ["line 5–6", "'day'", "'never'"]),
    "windows line ends": ('id,name,day,boss\r\n1,"a\r\nb",,\r\n2,b,never,\r\n', ["line 4,", "'day'", "'never'"]),
    "too few fields": (GOOD + "3,eve\n", ["line 4", "missing data for column \"day\""]),
    "too many fields": (GOOD + "3,eve,,,9\n", ["line 4", "extra data"]),
    "open quote": (GOOD + '3,"eve,,\n', ["line 4", "unterminated"]),
    "not UTF-8": (GOOD.encode() + b"3,\xff\xfe,,\n", ["line 4", "UTF8"]),
    "header not UTF-8": (b"id,\xff\n", ["line 1", "UTF8"]),
    "empty file": ("", ["is empty"]),
    "missing column": ("id,name,boss\n1,ann,\n", ["line 1", "no column 'day'"]),
    "extra column": ("id,name,day,boss,pay\n1,ann,,,\n", ["line 1", "unexpected column 'pay'"]),
    "column twice": ("id,name,day,boss,boss\n1,ann,,,\n", ["line 1", "more than one column 'boss'"]),
    "required empty": (GOOD + "3,,,\n4,,,\n", ["'name': 2 empty", "people.csv line 4", "line 5"]),
    "key empty": (GOOD + ",eve,,\n", ["'id': 1 empty", "line 4"]),
    "key twice": (GOOD + "1,eve,,\n", ["key (id): 1 rows too many", "line 2 (1)", "line 4 (1)"]),
    "no parent": (GOOD + "3,eve,,77\n", ["boss: 1 rows refer to no people", "line 4 (77)"]),
    "no rows": ("id,name,day,boss\n", ["0 rows, expected at least 1"]),
    "most rows gone": ("id,name,day,boss\n3,eve,,\n", ["2 of 2 rows", "max_delete"]),
    "more than one thing": ("id,name,day,boss\n1,,,5\n1,,,\n", ["'name': 2 empty", "key (id)", "boss: 1 rows"]),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_rejected_with_its_place_and_the_table_stays(shop: Shop, case: str) -> None:
    text, said = BAD_FILES[case]
    before = shop.rows("people")
    shop.file("people.csv", text)
    ended = shop.load()

    assert ended.status == 65, ended.stderr
    assert "people.csv" in ended.stderr or case == "most rows gone"
    assert [word for word in said if word not in ended.stderr] == [], ended.stderr
    assert "Traceback" not in ended.stderr
    assert shop.rows("people") == before
    assert query(shop.dsn, "SELECT count(*) FROM etl.load") == [(1,)]


def test_a_missing_file_is_named(shop: Shop) -> None:
    (shop.folder / "people.csv").unlink()
    ended = shop.load()

    assert ended.status == 65
    assert f"{shop.folder}/people.csv does not exist" in ended.stderr


def test_a_missing_folder_and_an_unset_variable_are_configuration(shop: Shop) -> None:
    shop.catalogue.write_text(shop.catalogue.read_text().replace('folder = "."', 'folder = "${ETL_SOURCE}"'))
    gone = shop.load(ETL_SOURCE="/no/such/folder")
    unset = shop.load()

    assert (gone.status, unset.status) == (78, 78)
    assert "the source folder /no/such/folder does not exist" in gone.stderr
    assert "set the variable ETL_SOURCE" in gone.stderr
    assert "the environment variable ETL_SOURCE is not set" in unset.stderr


def test_a_parents_bad_source_is_named_by_the_child(shop: Shop) -> None:
    shop.table("pets", {"id": "integer", "owner": "integer"},
               'key = ["id"]\nreferences = [{ columns = ["owner"], table = "people", to = ["id"] }]')  # fmt: skip
    shop.file("pets.csv", "id,owner\n1,1\n")
    shop.file("people.csv", "id,name,day,boss\none,ann,,\n")
    ended = shop.load(1)

    assert ended.status == 65
    assert "people.csv line 2, column 'id', value 'one'" in ended.stderr


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"day" = "date"', '"day" = "timestamptz"', "'day' is date, declared timestamp with time zone"),
        ('"day" = "date", ', "", "'day' is not declared"),
        ('"day" = "date"', '"day" = "date", "pay" = "integer"', "'pay' is missing"),
        ('key = ["id"]', 'key = ["id", "name"]', "without a primary key on (id, name)"),
        ('key = ["id"]', "", "unique index"),
        ('"day" = "date"', '"day" = "dat"', 'type "dat" does not exist'),
        ('"day" = "date"', '"day" = "date); DROP"', "not a PostgreSQL type"),
        ('to = ["id"]', 'to = ["name"]', "operator does not exist"),
    ],
)
def test_a_target_that_is_not_as_declared_is_refused(shop: Shop, old: str, new: str, said: str) -> None:
    before = shop.rows("people")
    shop.redeclare(0, old, new)
    header, *lines = GOOD.splitlines()
    if "pay" in new:
        shop.file("people.csv", "\n".join([header + ",pay", *(line + "," for line in lines)]) + "\n")
    elif not new:
        shop.file("people.csv", GOOD if "key" in old else "id,name,boss\n1,ann,\n")
    ended = shop.load()

    assert ended.status == 78, ended.stderr
    assert said in ended.stderr
    assert shop.rows("people") == before


def test_a_constraint_somebody_added_rejects_the_load(shop: Shop) -> None:
    query(shop.dsn, "ALTER TABLE shop.people ADD CHECK (name <> 'eve')")
    shop.file("people.csv", GOOD + "3,eve,,\n")
    ended = shop.load()

    assert ended.status == 65
    assert "violates check constraint" in ended.stderr
    assert len(shop.rows("people")) == 2


def test_no_warehouse_in_the_environment_is_said_with_its_cure() -> None:
    ended = run_job(None, "table", "--id", 3)

    assert ended.status == 78
    assert "neither DATABASE_URL nor PGHOST is set" in ended.stderr
    assert "etl-run job table --id 3" in ended.stderr


@pytest.mark.parametrize("module", [("table", "--id", 0), ("pre",), ("cleanup", "staging"), ("final",)])
def test_a_warehouse_that_is_down_is_worth_another_attempt(module: tuple[str, ...], tmp_path: Path) -> None:
    ended = run_job(f"postgresql://nobody@/warehouse?host={tmp_path}", *module)

    assert ended.status == 75
    assert "cannot reach the warehouse" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_pg_variables_select_a_server(database: str, tmp_path: Path) -> None:
    ended = run_job(None, "table", "--id", 0, PGHOST=str(tmp_path), PGDATABASE="x")

    assert ended.status == 75
    assert str(tmp_path) in ended.stderr


@pytest.mark.parametrize("number", [-1, 20])
def test_an_id_out_of_range_says_the_range(number: int) -> None:
    ended = run_job(None, "table", "--id", number)

    assert ended.status == 78
    assert "--id is 0 to 19" in ended.stderr


def test_a_user_who_may_not_write_is_told_so(shop: Shop) -> None:
    query(shop.dsn, "DO $$ BEGIN IF to_regrole('reader') IS NULL THEN CREATE ROLE reader LOGIN; END IF; END $$")
    ended = run_job(shop.dsn, "table", "--id", 0, "--catalogue", shop.catalogue, PGOPTIONS="-c role=reader")

    assert ended.status == 78
    assert "permission denied" in ended.stderr


BROKEN = (
    GOOD.encode()
    + b"3,eve\n"
    + b'4,"dan\nd",,1,9\n'
    + b"5,\xff\xfe,,\n"
    + b"6,six,2026-06-06,\n"
    + b"x7,sev,never,\n"
    + b"8,ei\x00ght,,\n"
    + b"9,nine,2026-06-31,2\n"
    + b"10,ten,,77\n"
    + b"11,eleven,,6\n"
    + b'12,"open,,\n'
)
TOLD = [
    ("line 4", 'missing data for column "day"', {"record": "3,eve"}),
    ("line 5–6", "extra data after last expected column", {"record": '4,"dan\nd",,1,9'}),
    ("line 7", 'invalid byte sequence for encoding "UTF8": 0xff', {"record": "5,\\xff\\xfe,,"}),
    ("line 9", "column 'id': 'x7' is no integer", {"id": "x7", "name": "sev", "day": "never", "boss": ""}),
    ("line 10", 'invalid byte sequence for encoding "UTF8": 0x00', {"record": "8,ei\\x00ght,,"}),
    ("line 11", "column 'day': '2026-06-31' is no date", {"id": "9", "name": "nine", "day": "2026-06-31", "boss": "2"}),
    ("line 12", "refers to no people", {"id": 10, "name": "ten", "day": None, "boss": 77}),
    ("line 14", "unterminated CSV quoted field", {"record": '12,"open,,'}),
]
REJECTED = "SELECT regexp_replace(place, '.*csv ', ''), reason, record FROM shop.people__rejects"


@pytest.mark.parametrize("strategy", ["snapshot", "replace"])
def test_records_of_every_bad_kind_are_set_aside_and_the_rest_is_loaded(shop: Shop, strategy: str) -> None:
    shop.redeclare(0, "required", f'strategy = "{strategy}"\nrejects = {{ limit = 8 }}\nrequired')
    shop.file("people.csv", BROKEN)
    with psycopg.connect(shop.dsn) as reader:
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT 1")
        ended = shop.load()
        seen = reader.execute("SELECT count(*) FROM shop.people").fetchone()

    assert ended.status == 0, ended.stderr
    assert [row[0] for row in shop.rows("people")] == [1, 2, 6, 11]
    assert seen == ((5,) if strategy == "replace" else (2,))  # 10 has been in the new table for a moment
    said = sorted(query(shop.dsn, REJECTED), key=lambda row: int(row[0].split()[1].split("–")[0]))
    assert [
        (place, reason[: len(start)], record) for (place, reason, record), (_, start, _) in zip(said, TOLD, strict=True)
    ] == TOLD
    assert (ended.metrics["rejected"], ended.metrics["rows"]) == (8, 4)


def test_one_more_than_the_limit_rejects_the_load(shop: Shop) -> None:
    shop.redeclare(0, "required", "rejects = { limit = 7 }\nrequired")
    shop.file("people.csv", BROKEN)
    before = shop.rows("people")
    eighth = shop.load()
    shop.redeclare(0, "limit = 7", "limit = 3")
    fourth = shop.load()

    assert (eighth.status, fourth.status, shop.rows("people")) == (65, 65, before)
    assert "more than 7 rows are rejected" in eighth.stderr
    assert "line 9, column 'id', value 'x7': invalid input syntax for type integer" in fourth.stderr
    assert "with it more than 3 lines cannot be read, the limit of rejects" in fourth.stderr


def test_an_open_quote_counts_as_many_rejects_as_it_swallows_lines(shop: Shop) -> None:
    shop.redeclare(0, "required", "rejects = { limit = 3 }\nrequired")
    shop.file("people.csv", GOOD + '3,"eve,,\n4,dan,,\n5,flo,,\n6,gil,,\n')
    many = shop.load()
    shop.file("people.csv", GOOD + '3,"eve,,\n4,dan,,\n5,flo,,\n')
    few = shop.load()

    assert (many.status, few.status) == (65, 0)
    assert "people.csv line 4–7: unterminated CSV quoted field; with it more than 3 lines" in many.stderr
    assert query(shop.dsn, REJECTED) == [
        ("line 4–6", "unterminated CSV quoted field", {"record": '3,"eve,,\n4,dan,,\n5,flo,,'})
    ]


def test_rows_behind_records_set_aside_are_found_where_they_stand(shop: Shop) -> None:
    shop.redeclare(
        0,
        "required",
        'rejects = { limit = 3 }\nchecks = [{ column = "name", accepted = ["ann"], severity = "warn" }]\nrequired',
    )
    shop.file("people.csv", 'id,name,day,boss\n1,"a\nb"\n2,ann,,\n3\n4,dan,,\n5,"a\nnn",x,\n6,flo,,\n')
    ended = shop.load()

    assert ended.status == 0, ended.stderr
    assert "people.csv line 6 (dan); " in ended.stdout + ended.stderr
    assert "people.csv line 9 (flo)" in ended.stdout + ended.stderr


def test_a_child_is_checked_against_the_parents_records_that_can_be_read(shop: Shop) -> None:
    shop.redeclare(0, "required", "rejects = { limit = 3 }\nrequired")
    shop.table("pets", {"id": "integer", "owner": "integer"},
               'key = ["id"]\nrejects = { limit = 3 }\n'
               'references = [{ columns = ["owner"], table = "people", to = ["id"] }]')  # fmt: skip
    shop.file("people.csv", GOOD + "3,eve\n4,dan,,\n")
    shop.file("pets.csv", "id,owner\n1,1\n2,3\n3,4\n")
    ended = shop.load(1)

    assert ended.status == 0, ended.stderr
    assert shop.rows("pets") == [(1, 1), (3, 4)]


def test_what_is_secret_stays_so_in_records_that_cannot_be_read(shop: Shop) -> None:
    shop.redeclare(0, "required", 'rejects = { limit = 9 }\nsecret = ["name", "day"]\nrequired')
    shop.file("people.csv", GOOD + "3,s3cret\n4,s3cret,s3cret,\nx,s3cret,,\n")
    ended = shop.load()

    assert ended.status == 0, ended.stderr
    rejected = query(shop.dsn, REJECTED + " ORDER BY 1")
    assert [record for *_, record in rejected] == [
        {"record": "***"},
        {"id": "4", "name": "***", "day": "***", "boss": ""},
        {"id": "x", "name": "***", "day": "***", "boss": ""},
    ]
    assert "s3cret" not in f"{rejected}{ended.stdout}{ended.stderr}"


@pytest.mark.parametrize("strategy", ["snapshot", "slice"])
def test_many_bad_records_among_many_are_all_found(shop: Shop, strategy: str) -> None:
    where = 'strategy = "slice"\nwhere = "id % 2 = 0"\n' if strategy == "slice" else ""
    shop.redeclare(0, "min_rows = 1", f"{where}rejects = {{ limit = 4000 }}\nmax_delete = 1")
    shop.redeclare(0, "max_delete = 0.5", "")
    bad = {n for n in range(3, 40_000) if n % 97 == 0 or 20_000 < n < 22_000}
    good = [n for n in range(1, 40_000) if n not in bad]
    lines = [f'{n},"x\ny",,' if n not in bad else f"{n},x" if n % 2 else f"{n},x,{n}," for n in range(1, 40_000)]
    shop.file("people.csv", "\r\n".join(["id,name,day,boss", *lines]))
    ended = shop.load()

    assert ended.status == 0, ended.stderr
    assert ended.metrics["rejected"] == len(bad)
    expected = [n for n in good if n % 2 == 0] if strategy == "slice" else good
    assert [
        n for (n,) in query(shop.dsn, "SELECT id FROM shop.people WHERE id > 2 OR name LIKE 'x%' ORDER BY 1")
    ] == expected
    missed = [f"line {2 * n - sum(b < n for b in bad)}" for n in sorted(bad)]
    assert {place for place, *_ in query(shop.dsn, REJECTED)} == set(missed)


def test_a_file_that_changes_while_it_is_read_is_not_loaded(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id\n1\n2,2\n")
    source = CsvSource(SourceSettings(kind="csv", folder=tmp_path), Table(id=0, name="t", files=("t.csv",), columns={}))

    with pytest.raises(UnavailableError, match="changed while it was read"):
        list(without(source, {2: b"of something else"}))


def test_a_record_the_slice_cannot_be_asked_about_is_set_aside(shop: Shop) -> None:
    shop.redeclare(0, "min_rows = 1", 'strategy = "slice"\nwhere = "100 / id > 0"\nrejects = { limit = 1 }')
    shop.file("people.csv", GOOD + "0,eve,,\n4,dan,,\n")
    ended = shop.load()

    assert ended.status == 0, ended.stderr
    assert [row[0] for row in shop.rows("people")] == [1, 2, 4]
    said = {"id": "0", "name": "eve", "day": "", "boss": ""}
    assert query(shop.dsn, REJECTED) == [("line 4", "division by zero", said)]


def test_rows_of_uneven_length_are_found_where_they_stand(shop: Shop) -> None:
    """A server that puts a short row into what is left of an earlier page no longer has them in their order."""
    lines = [f"{n},{'x' * (1, 7, 60, 300)[n * n % 7 % 4]},," for n in range(1, 4001)]
    for n in (900, 1900, 2900):
        lines[n - 1] = f"{n},,,"
    lines.append("2001,again,,")
    shop.file("people.csv", "id,name,day,boss\n" + "\n".join(lines) + "\n")

    ended = shop.load()

    assert ended.status == 65
    for place in ("line 901", "line 1901", "line 2901", "line 2002 (2001)", "line 4002 (2001)"):
        assert f"people.csv {place}" in ended.stderr


def test_a_row_is_found_in_a_slice_that_could_not_be_asked_about_an_earlier_one(shop: Shop) -> None:
    checks = 'checks = [{ column = "name", accepted = ["ann", "bob"] }]'
    shop.redeclare(0, "min_rows = 1", f'strategy = "slice"\nwhere = "9 / id > 2"\nrejects = {{ limit = 9 }}\n{checks}')
    shop.file("people.csv", 'id,name,day,boss\n9,no,,\n1,ann,,\n0,eve,,\nx,ann,,\n8,no,,\n2,"d\nan",,\n3,flo,,\n')
    ended = shop.load()

    assert ended.status == 0, ended.stderr
    assert shop.rows("people") == [(1, "ann", None, None)]
    assert query(shop.dsn, f"SELECT place, reason FROM ({REJECTED}) AS r (place) ORDER BY 1") == [
        ("line 4", "division by zero"),
        ("line 5", "column 'id': 'x' is no integer"),
        ("line 7–8", "column 'name' has a value that is not accepted"),
        ("line 9", "column 'name' has a value that is not accepted"),
    ]


def test_strange_and_long_records_are_kept_as_they_are(tmp_path: Path, database: str) -> None:
    strange = [
        "%s %% {0} {name}",
        "\\ \\. $1 $$ E'",
        "'; -- {",
        "ünïcödé 😀",
        "NULL",
        "null",
        *(c * 900_000 for c in "abcdefgh"),
    ]
    shop = Shop(tmp_path, database)
    settings = 'rejects = { limit = 99 }\nchecks = [{ column = "v", max = 0 }]\nfile = "f.csv"'
    shop.table("100% {n} of 'it", {"v": "integer", "text": "text"}, settings)
    shop.file("f.csv", "v,text\n0,\n" + "".join(f'1,"{text}"\n' for text in strange))
    ended = shop.load()
    again = shop.load()

    assert (ended.status, again.status) == (0, 0), ended.stderr
    assert ended.metrics["rejected"] == len(strange)
    kept = query(
        shop.dsn, """SELECT record->>'text' FROM shop."100% {n} of 'it__rejects" ORDER BY length(place), place"""
    )
    assert [text for (text,) in kept] == strange


def test_a_server_that_has_much_to_say_of_bad_values_is_listened_to(shop: Shop) -> None:
    """What it says of so many is more than fits between it and us."""
    shop.redeclare(0, "max_delete = 0.5", "max_delete = 1.0\nrejects = { limit = 60000 }")
    text = "id,name,day,boss\n1,a,,\n" + "x,b,,\n" * 60_000 + "2,c,,\n"
    shop.file("people.csv", text)
    ended = shop.load()
    shop.file("people.csv", text + "x,b,,\n")
    too_many = shop.load()

    assert (ended.status, ended.metrics.get("rejected"), too_many.status) == (0, 60_000, 65), ended.stderr
    assert [row[0] for row in shop.rows("people")] == [1, 2]


def test_a_row_of_a_file_whose_name_is_no_text_can_be_rejected(tmp_path: Path, database: str) -> None:
    shop = Shop(tmp_path, database)
    shop.table("t", {"id": "integer", "v": "integer"}, 'file = "t*.csv"\nrejects = { limit = 9 }')
    (tmp_path / os.fsdecode(b"t\xff.csv")).write_text("id,v\n1,1\n2,x\n")
    ended = shop.load()

    assert ended.status == 0, ended.stderr
    assert query(shop.dsn, "SELECT place FROM shop.t__rejects") == [(f"{tmp_path}/t\\udcff.csv line 3",)]
