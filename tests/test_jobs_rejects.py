"""Bad input: a clear error with its place, the right exit status, and a target that stays as it was."""

# ruff: noqa: F401, F811
from __future__ import annotations

from pathlib import Path

import pytest

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
