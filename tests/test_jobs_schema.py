"""Columns and types: declared, inferred once and then pinned, new, changed; and names of every kind."""

# ruff: noqa: E501, F401, F811
from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from etl_jobs.catalogue import read_catalogue
from etl_jobs.errors import JobError, MisconfiguredError
from etl_jobs.target import added_columns
from tests.support.jobs import Ended, Shop, query
from tests.support.servers import database, warehouse


@pytest.fixture
def shop(tmp_path: Path, database: str) -> Shop:
    return Shop(tmp_path, database)


def undeclared(shop: Shop, settings: str = "", name: str = "goods") -> None:
    shop.table(name, {}, settings)
    shop.tables[-1] = shop.tables[-1].replace("columns = {  }\n", "")
    shop._write()


def types(shop: Shop, name: str = "goods") -> dict[str, str]:
    return dict(
        query(
            shop.dsn,
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
            f" WHERE attrelid = 'shop.{name}'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        )
    )


VALUES = {
    "bigint": ["1", "-20", "999999999999999999", ""],
    "numeric": ["1", "2.50", "1000000000000000000000"],
    "double precision": ["1.5e10", "2", "3.25"],
    "boolean": ["true", "False"],
    "date": ["2026-02-28", "1999-12-31"],
    "timestamp without time zone": ["2026-02-28", "2026-02-28T10:00", "2026-02-28 10:00:00.25"],
    "timestamp with time zone": ["2026-02-28T10:00Z", "2026-02-28 10:00:00+02:00"],
    "uuid": ["123e4567-e89b-12d3-a456-426614174000"],
}
TEXTS = {
    "leading zeros": ["007", "1"],
    "no day of the calendar": ["2026-02-30"],
    "a word among numbers": ["1", "n/a"],
    "days and instants": ["2026-02-28", "2026-02-28T10:00Z"],
    "numbers and flags": ["1", "true"],
    "nothing": ["", ""],
    "empty texts": ['""', "1"],
    "spaces": [" 1", "2"],
    "a bad clock": ["2026-02-28 25:00"],
    "signs": ["+1", "2"],
}


@pytest.mark.parametrize("strategy", ["snapshot", "replace"])
def test_types_are_inferred_from_every_value_of_the_source(shop: Shop, strategy: str) -> None:
    undeclared(shop, f'strategy = "{strategy}"')
    columns = VALUES | TEXTS
    lines = [",".join(values[n % len(values)] for values in columns.values()) for n in range(12)]
    shop.file("goods.csv", "\n".join([",".join(columns), *lines]) + "\n")
    ended = shop.load()

    assert ended.status == 0, ended.stderr
    assert types(shop) == {kind: kind for kind in VALUES} | dict.fromkeys(TEXTS, "text")
    row = shop.rows("goods")[0]
    assert row[1] in (Decimal(1), Decimal("2.50"), Decimal(10) ** 21)
    assert shop.load().metrics["deleted"] == (12 if strategy == "replace" else 0)
    assert shop.run("final").status == 0
    assert shop.run("final", "--reread").status == 0


@pytest.mark.parametrize("value", ["12345678901234567", "-0.123456789012345678", "1234567890123456789012"])
def test_digits_that_no_double_holds_are_kept_beside_exponents(shop: Shop, value: str) -> None:
    undeclared(shop)
    shop.file("goods.csv", f"exact,other\n{value},0.12345678901234567\n1e5,1e-5\n")

    ended = shop.load()

    assert ended.status == 0, ended.stderr
    assert types(shop) == {"exact": "numeric", "other": "double precision"}
    assert query(shop.dsn, "SELECT exact::text FROM shop.goods ORDER BY abs(exact) = 100000") == [(value,), ("100000",)]


def test_an_inferred_type_is_pinned_and_a_value_that_does_not_fit_names_the_cure(shop: Shop) -> None:
    undeclared(shop, 'key = ["id"]')
    shop.file("goods.csv", "id,n\n1,5\n")
    shop.load()
    shop.file("goods.csv", "id,n\n1,5\n2,many\n")
    refused = shop.load()
    hint = refused.stderr.split("run: ")[1].strip()
    query(shop.dsn, hint)
    cured = shop.load()

    assert refused.status == 65
    assert "line 3, column 'n', value 'many'" in refused.stderr
    assert hint == 'ALTER TABLE "shop"."goods" ALTER COLUMN "n" TYPE text USING "n"::text;'
    assert (cured.status, types(shop)) == (0, {"id": "bigint", "n": "text"})


def test_a_slice_is_cut_by_types_that_had_to_be_inferred(shop: Shop) -> None:
    undeclared(shop, 'key = ["id"]\nstrategy = "slice"\nwhere = "id > 9"')
    shop.file("goods.csv", "id,n\n2,a\n9,b\n10,c\n30,d\n")

    ended = shop.load()

    assert ended.status == 0, ended.stderr
    assert shop.rows("goods") == [(10, "c"), (30, "d")]


@pytest.mark.parametrize("strategy", ["snapshot", "replace", "append", "scd2", 'slice"\nwhere = "id > 1'])
def test_every_strategy_takes_undeclared_columns(shop: Shop, strategy: str) -> None:
    undeclared(shop, f'key = ["id"]\nstrategy = "{strategy}"')
    shop.file("goods.csv", "id,n\n1,5\n2,6\n")
    assert shop.load().status == 0
    shop.file("goods.csv", "id,n\n1,5\n2,7\n3,8\n")
    ended = shop.load()

    assert ended.status == 0, ended.stderr
    assert types(shop)["id"] == "bigint"
    assert shop.run("final").status == 0


def test_an_increment_over_an_undeclared_column(shop: Shop) -> None:
    undeclared(shop, 'key = ["id"]\nstrategy = "incremental"\nwatermark = "day"\nlag = "1 day"')
    shop.file("goods.csv", "id,day\n1,2026-01-01\n2,2026-01-03\n")
    shop.load()
    shop.file("goods.csv", "id,day\n3,2026-01-01\n4,2026-01-02\n")
    shop.load()

    assert [row[0] for row in shop.rows("goods")] == [1, 2, 4]


def test_a_declared_child_of_an_undeclared_parent_and_the_other_way_round(shop: Shop) -> None:
    undeclared(shop, 'key = ["id"]\nreferences = [{ columns = ["maker"], table = "makers", to = ["id"] }]')
    shop.table("makers", {"id": "integer", "best": "bigint"},
               'key = ["id"]\nreferences = [{ columns = ["best"], table = "goods", to = ["id"], orphans = "report" }]')  # fmt: skip
    shop.file("goods.csv", "id,maker\n1,7\n")
    shop.file("makers.csv", "id,best\n7,1\n8,2\n")

    assert [shop.load(n).status for n in (0, 1)] == [0, 0]
    assert shop.load(1).metrics["orphans"] == 1
    assert shop.run("final").status == 0


@pytest.mark.parametrize("settings", ['key = ["idd"]', 'checks = [{ column = "idd", min = 1 }]', 'watermark = "idd"'])
def test_a_column_that_the_source_has_not_is_configuration(shop: Shop, settings: str) -> None:
    undeclared(shop, settings)
    shop.file("goods.csv", "id,n\n1,5\n")
    ended = shop.load()

    assert ended.status == 78
    assert "no column 'idd'" in ended.stderr
    assert "the columns are id, n" in ended.stderr


def add_setting(shop: Shop) -> None:
    shop.tables[0] += 'new_columns = "add"\n'
    shop._write()


@pytest.mark.parametrize("strategy", ["snapshot", "replace", "append", "scd2"])
@pytest.mark.parametrize("declared", [True, False])
def test_a_new_column_is_refused_or_added_as_the_catalogue_says(shop: Shop, strategy: str, declared: bool) -> None:
    settings = f'key = ["id"]\nstrategy = "{strategy}"'
    if declared:
        shop.table("goods", {"id": "bigint", "n": "integer"}, settings)
    else:
        undeclared(shop, settings)
    shop.file("goods.csv", "id,n\n1,5\n")
    assert shop.load().status == 0
    shop.file("goods.csv", "when,id,n\n2026-01-01,1,5\n2026-01-02,2,6\n")
    refused = shop.load()
    add_setting(shop)
    added, again = shop.load(), shop.load()

    assert refused.status == 65
    assert "unexpected column 'when'" in refused.stderr
    assert 'new_columns = "add" would add' in refused.stderr
    assert (added.status, again.status) == (0, 0), added.stderr + again.stderr
    assert types(shop)["when"] == "date"
    when = dict(query(shop.dsn, 'SELECT id, max("when") FROM shop.goods GROUP BY id'))
    assert when[2] == dt.date(2026, 1, 2)
    assert when[1] == (None if strategy == "append" else dt.date(2026, 1, 1))
    assert shop.run("final").status == 0


def test_a_newly_declared_column_is_added_where_the_catalogue_allows_it(shop: Shop) -> None:
    shop.table("goods", {"id": "integer"}, 'key = ["id"]')
    shop.file("goods.csv", "id\n1\n")
    shop.load()
    shop.redeclare(0, '"id" = "integer"', '"id" = "integer", "pay" = "numeric(8,2)"')
    shop.file("goods.csv", "id,pay\n1,2\n")
    refused = shop.load()
    add_setting(shop)
    added = shop.load()

    assert refused.status == 78
    assert 'run: ALTER TABLE "shop"."goods" ADD COLUMN "pay" numeric(8,2);' in refused.stderr
    assert added.status == 0, added.stderr
    assert types(shop)["pay"] == "numeric(8,2)"


def test_a_changed_type_is_refused_with_the_statement_that_cures_it(shop: Shop) -> None:
    shop.table("goods", {"id": "integer", "Day": "date"}, 'key = ["id"]')
    shop.file("goods.csv", "id,Day\n1,2026-01-01\n")
    shop.load()
    shop.redeclare(0, '"Day" = "date"', '"Day" = "timestamptz"')
    refused = shop.load()
    query(shop.dsn, refused.stderr.split("run: ")[1].strip())

    assert refused.status == 78
    assert 'ALTER COLUMN "Day" TYPE timestamp with time zone USING "Day"::timestamp with time zone;' in refused.stderr
    assert shop.load().status == 0


def test_a_column_that_left_the_source_is_named(shop: Shop) -> None:
    undeclared(shop)
    shop.file("goods.csv", "id,n\n1,5\n")
    shop.load()
    shop.file("goods.csv", "id\n1\n")
    ended = shop.load()

    assert ended.status == 65
    assert "line 1: no column 'n'" in ended.stderr


ODD = [
    "order",
    "User",
    'a"b',
    "with space",
    "ünï 日本",
    "100%",
    "semi;colon",
    "{}",
    "%s",
    "s",
    "own",
    "place",
    "x" * 63,
]


@pytest.mark.parametrize("strategy", ["snapshot", "replace", "append", "scd2", "incremental", "slice"])
@pytest.mark.parametrize("declared", [True, False])
def test_names_of_every_kind_are_kept_exactly(shop: Shop, strategy: str, declared: bool) -> None:
    name = 'Select "%s" ü;'
    more = {"incremental": 'watermark = "100%"', "slice": 'where = "\\"100%\\" > 0"'}.get(strategy, "")
    key = 'key = ["order", "a\\"b", "100%"]\nrejects = { limit = 3 }\nchecks = [{ column = "%s", min = 0 }, { sql = "\\"{}\\" < 9" }]'
    columns = {column.replace('"', '\\"'): "bigint" for column in ODD} if declared else {}
    shop.table(name.replace('"', '\\"'), columns, f'{key}\nfile = "odd.csv"\nstrategy = "{strategy}"\n{more}')
    if not declared:
        shop.tables[-1] = shop.tables[-1].replace("columns = {  }\n", "")
        shop._write()
    quoted = ",".join('"{}"'.format(column.replace('"', '""')) for column in ODD)
    for turn in (1, 2):
        rows = "".join(",".join([str(n)] * len(ODD)) + "\n" for n in (turn, turn + 1, -5, 9))
        shop.file("odd.csv", f"{quoted}\n{rows}")
        ended = shop.load()
        assert ended.status == 0, ended.stderr

    found = query(shop.dsn, "SELECT count(*) FROM shop." + '"' + name.replace('"', '""') + '"')
    assert found[0][0] >= 2
    assert shop.run("final").status == 0


def test_long_names_are_cut_as_the_server_does_and_must_stay_apart(shop: Shop) -> None:
    undeclared(shop, f'key = ["{"é" * 40}"]')
    shop.file("goods.csv", f"{'é' * 40},n\n1,5\n")
    good = shop.load()
    again = shop.load()
    shop.file("goods.csv", f"{'x' * 63}a,{'x' * 63}b\n1,5\n")
    bad = shop.load()

    assert (good.status, again.status) == (0, 0), good.stderr + again.stderr
    assert list(types(shop)) == ["é" * 31, "n"]
    assert bad.status == 65
    assert "xa' and" in bad.stderr
    assert "are the same name in the first 63 bytes" in bad.stderr


def test_declared_names_that_are_the_same_when_cut_are_a_mistake(tmp_path: Path) -> None:
    shop = Shop(tmp_path, "")
    shop.table("goods", {"x" * 63 + "a": "integer", "x" * 63 + "b": "integer"})
    with pytest.raises(MisconfiguredError, match="are the same name in the first 63 bytes"):
        read_catalogue(shop.catalogue, env={})


@pytest.mark.parametrize("lines", ["1,9.1.2026\n", "1,x2\n", ""])
def test_an_increment_is_not_guessed_from_text(shop: Shop, lines: str) -> None:
    undeclared(shop, 'key = ["id"]\nstrategy = "incremental"\nwatermark = "day"')
    shop.file("goods.csv", f"id,day\n{lines}")
    ended = shop.load()
    shop.redeclare(0, 'key = ["id"]', 'key = ["id"]\ncolumns = { id = "bigint", day = "text" }')

    assert ended.status == 78
    assert "watermark: column 'day' would be text, which has no order to go by" in ended.stderr
    assert shop.rows("goods") == []
    assert shop.load().status == 0


@pytest.mark.parametrize("strategy", ["snapshot", "incremental"])
def test_a_target_keeps_the_collations_that_somebody_gave_it(shop: Shop, strategy: str) -> None:
    watermark = 'watermark = "n"\nlag = 9' if strategy == "incremental" else ""
    shop.table(
        "goods", {"id": "text", "n": "integer", "name": "text"}, f'key = ["id"]\nstrategy = "{strategy}"\n{watermark}'
    )
    shop.file("goods.csv", "id,n,name\na,1,x\nb,2,x\n")
    assert shop.load().status == 0
    query(shop.dsn, 'ALTER TABLE shop.goods ALTER id TYPE text COLLATE "C", ALTER name TYPE text COLLATE "POSIX"')
    shop.file("goods.csv", "id,n,name\na,1,x\nb,2,y\nB,3,z\n")
    ended = shop.load()

    assert ended.status == 0, ended.stderr
    assert ended.metrics["rows"] == 3
    assert ("B", 3, "z") in [row[:3] for row in shop.rows("goods")]
    assert shop.load().status == 0
    assert shop.run("final").status == 0


@pytest.mark.parametrize("strategy", ["snapshot", "slice", "scd2"])
def test_a_new_column_goes_again_where_the_load_is_refused(shop: Shop, strategy: str) -> None:
    where = 'where = "id > 0"' if strategy == "slice" else ""
    undeclared(shop, f'key = ["id"]\nstrategy = "{strategy}"\nmax_delete = 0.1\nnew_columns = "add"\n{where}')
    shop.file("goods.csv", "id,v\n1,5\n2,5\n3,5\n")
    assert shop.load().status == 0
    before = types(shop), shop.rows("goods")
    shop.file("goods.csv", "id,v,w,x\n1,5,1,1\n")
    refused = shop.load()
    after = types(shop), shop.rows("goods")
    shop.file("goods.csv", "id,v\n1,5\n2,5\n3,5\n4,1\n")
    ended = shop.load()

    assert (refused.status, after) == (65, before)
    assert "max_delete" in refused.stderr
    assert ended.status == 0, ended.stderr


USE_AT_ONCE = """
    CREATE FUNCTION use_at_once() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
        IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('shop.goods') AND attname = 'w')
           AND to_regclass('public.seen') IS NULL THEN CREATE VIEW public.seen AS SELECT w FROM shop.goods; END IF;
    END $$;
    CREATE EVENT TRIGGER at_once ON ddl_command_end WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION use_at_once();
"""


def test_a_new_column_that_somebody_uses_already_stays_and_is_named(shop: Shop) -> None:
    undeclared(shop, 'key = ["id"]\nmax_delete = 0.1\nnew_columns = "add"')
    shop.file("goods.csv", "id,v\n1,5\n2,5\n3,5\n")
    assert shop.load().status == 0
    query(shop.dsn, USE_AT_ONCE)
    shop.file("goods.csv", "id,v,w\n1,5,1\n")
    refused = shop.load()

    assert refused.status == 65
    assert "max_delete" in refused.stderr
    assert "; but 'w' could not be taken back: it stays, empty" in refused.stderr
    assert list(types(shop)) == ["id", "v", "w"]


@pytest.mark.parametrize(
    ("kinds", "hint", "said"),
    [
        ({"w": "int"}, "", "'w' could not be taken back: it stays, empty"),
        ({"w": "int", "x": "int"}, "", "'w', 'x' could not be taken back: they stay, empty"),
        ({"w": "int", "x": "int"}, "wait", "wait; but 'w', 'x' could not be taken back: they stay, empty"),
    ],
)
def test_the_hint_of_columns_that_stay_fits_their_number_and_the_hint_before_it(
    shop: Shop, kinds: dict[str, str], hint: str, said: str
) -> None:
    query(shop.dsn, f"CREATE SCHEMA shop; CREATE TABLE shop.goods (id int); {USE_AT_ONCE}")
    target = sql.Identifier("shop", "goods")
    with (
        psycopg.connect(shop.dsn, autocommit=True) as session,
        pytest.raises(JobError) as refused,
        added_columns(session, target, kinds, patience=1),
    ):
        raise JobError("refused", hint=hint)

    assert refused.value.hint == said
