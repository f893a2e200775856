"""Names made of others: they fit, nobody else has them; and what only has such a name stays its owner's."""

# ruff: noqa: F401, F811
from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_jobs.names import LONGEST_NAME, derived
from tests.support.jobs import Shop, holding, query, rows, run_job
from tests.support.servers import database, warehouse

KEYED = 'key = ["id"]'
COLUMNS = {"id": "integer", "v": "text"}


@pytest.fixture
def shop(tmp_path: Path, database: str) -> Shop:
    return Shop(tmp_path, database)


def goods(shop: Shop, name: str = "goods", settings: str = KEYED, schema: str = "shop") -> None:
    shop.table(name, COLUMNS, f'file = "goods.csv"\n{settings}')
    shop.catalogue.write_text(shop.catalogue.read_text().replace('schema = "shop"', f'schema = "{schema}"'))
    shop.file("goods.csv", "id,v\n1,a\n2,b\n")


@given(
    st.text(min_size=1, max_size=80), st.sampled_from(["", "keys of "]), st.sampled_from(["", "__rejects", "_staging"])
)
def test_a_derived_name_fits_and_keeps_what_is_put_around_it(name: str, before: str, after: str) -> None:
    made = derived(name, before=before, after=after)

    assert len(made.encode()) <= LONGEST_NAME
    assert made.startswith(before) and made.endswith(after)
    assert made == before + name + after or len((before + name + after).encode()) > LONGEST_NAME


def test_derived_names_of_long_names_are_all_different() -> None:
    names = ["x" * 63, "x" * 62, "x" * 54, "x" * 53 + "y", "x" * 60 + "a", "x" * 60 + "b", "é" * 31, "é" * 30 + "e"]

    assert len({*names, *(derived(n, after="__rejects") for n in names)}) == 2 * len(names)


@pytest.mark.parametrize("length", [54, 60, 62, 63])
def test_a_table_with_a_long_name_keeps_its_rows(shop: Shop, length: int) -> None:
    goods(shop, "x" * length)

    assert [shop.load().status, shop.load().status] == [0, 0]
    assert shop.rows("x" * length) == [(1, "a"), (2, "b")]
    assert shop.run("final").status == 0


def test_the_rejects_of_a_table_with_a_long_name_have_a_table_of_their_own(shop: Shop) -> None:
    for end in "ab":
        goods(shop, "x" * 62 + end, KEYED + "\nrejects = { limit = 5 }")
    shop.file("goods.csv", "id,v\n1,a\nx,b\n")
    first, second = shop.load(0), shop.load(1)
    made = [name for (name,) in query(shop.dsn, "SELECT tablename FROM pg_tables WHERE schemaname = 'shop' ORDER BY 1")]
    beside = [name for name in made if name.endswith("__rejects")]

    assert (first.status, second.status) == (0, 0), first.stderr + second.stderr
    assert shop.rows("x" * 62 + "a") == [(1, "a")]
    assert len(made) == 4
    assert [query(shop.dsn, f'SELECT count(*) FROM shop."{name}"') for name in beside] == [[(1,)], [(1,)]]
    assert f"see {derived('x' * 62 + 'a', after='__rejects')}" in first.stdout


def test_a_listed_table_that_is_called_like_the_rejects_of_another_keeps_its_rows(shop: Shop) -> None:
    goods(shop)
    goods(shop, "goods__rejects")

    assert [shop.load(1).status, shop.load(0).status] == [0, 0]
    assert shop.rows("goods__rejects") == [(1, "a"), (2, "b")]


def test_a_listed_table_of_the_shape_of_rejects_keeps_its_rows(shop: Shop) -> None:
    goods(shop, settings=KEYED + "\nrejects = { limit = 5 }")
    shop.file("goods.csv", "id,v\n1,a\nx,b\n")
    assert shop.load().status == 0
    shop.redeclare(0, "rejects = { limit = 5 }", "")
    shop.table("goods__rejects", {}, KEYED)
    shop.file("goods.csv", "id,v\n1,a\n")

    assert shop.load().status == 0
    assert query(shop.dsn, "SELECT count(*) FROM shop.goods__rejects") == [(1,)]


OTHERS = "CREATE SCHEMA shop; CREATE {} shop.goods__rejects AS SELECT 1 AS precious"


@pytest.mark.parametrize("kind", ["TABLE", "VIEW"])
def test_somebody_elses_relation_with_the_name_of_rejects_is_left_alone(shop: Shop, kind: str) -> None:
    query(shop.dsn, OTHERS.format(kind))
    goods(shop)

    assert [shop.load().status, shop.load().status] == [0, 0]
    assert query(shop.dsn, "SELECT * FROM shop.goods__rejects") == [(1,)]


@pytest.mark.parametrize("explain", [(), ("--explain",)])
def test_rejects_are_not_written_to_somebody_elses_table(shop: Shop, explain: tuple[str, ...]) -> None:
    query(shop.dsn, OTHERS.format("TABLE"))
    goods(shop, settings=KEYED + "\nrejects = { limit = 5 }")
    ended = shop.load(0, *explain)

    assert ended.status == 78
    assert 'rejects: "shop"."goods__rejects" exists, and is no table of rejects' in ended.stderr
    assert "ALTER TABLE" in ended.stderr
    assert query(shop.dsn, "SELECT * FROM shop.goods__rejects") == [(1,)]
    assert shop.rows("goods") == []


def test_old_rejects_go_when_rejects_are_no_longer_wanted(shop: Shop) -> None:
    goods(shop, settings=KEYED + "\nrejects = { limit = 5 }")
    shop.file("goods.csv", "id,v\n1,a\nx,b\n")
    assert shop.load().metrics["rejected"] == 1
    query(shop.dsn, "COMMENT ON TABLE shop.goods__rejects IS 'ours to look at'")
    shop.redeclare(0, "rejects = { limit = 5 }", "")
    shop.file("goods.csv", "id,v\n1,a\n2,b\n")

    assert shop.load().status == 0
    assert query(shop.dsn, "SELECT count(*) FROM shop.goods__rejects") == [(0,)]


@pytest.mark.parametrize("length", [54, 55, 56, 58, 62, 63])
def test_a_long_schema_has_a_staging_schema_of_its_own(shop: Shop, length: int) -> None:
    schema = "s" * length
    query(shop.dsn, f"CREATE SCHEMA {schema}; CREATE TABLE {schema}.goods (id integer PRIMARY KEY, v text)")
    query(shop.dsn, f"INSERT INTO {schema}.goods VALUES (9, 'precious')")
    goods(shop, settings=KEYED + '\nstrategy = "incremental"\nwatermark = "id"', schema=schema)
    explained, ended = shop.load(0, "--explain"), shop.load()

    assert ended.status == 0, ended.stderr
    assert rows(shop.dsn, schema, "goods") == [(1, "a"), (2, "b"), (9, "precious")]
    assert f'"{derived(schema, after="_staging")}"."goods"' in explained.stdout
    assert shop.run("cleanup", "staging").status == 0
    assert len(rows(shop.dsn, schema, "goods")) == 3


@pytest.mark.parametrize("explain", [(), ("--explain",)])
@pytest.mark.parametrize("kind", ["TABLE", "VIEW"])
def test_staging_drops_nothing_that_no_load_has_made(shop: Shop, kind: str, explain: tuple[str, ...]) -> None:
    query(shop.dsn, f"CREATE SCHEMA shop_staging; CREATE {kind} shop_staging.goods AS SELECT 1 AS precious")
    goods(shop)
    ended = shop.load(0, *explain)

    assert ended.status == 78, ended.stderr
    assert 'staging would drop "shop_staging"."goods", which no load has made for that' in ended.stderr
    assert "hint: if nobody needs it" in ended.stderr
    assert query(shop.dsn, "SELECT * FROM shop_staging.goods") == [(1,)]


def test_staging_that_a_killed_load_has_left_gives_way(shop: Shop) -> None:
    goods(shop)
    shop.file("goods.csv", "id,v\n1,a\n")
    assert shop.load().status == 0
    shop.file("goods.csv", "id,v\n1,a\n1,b\n")
    assert shop.load().status == 65
    assert len(query(shop.dsn, "SELECT * FROM shop_staging.goods")) == 2
    shop.file("goods.csv", "id,v\n1,b\n")

    assert shop.load().status == 0
    assert shop.rows("goods") == [(1, "b")]
    assert query(shop.dsn, "SELECT count(*) FROM pg_tables WHERE schemaname = 'shop_staging'") == [(0,)]


def test_cleanup_leaves_alone_what_no_load_has_made(shop: Shop) -> None:
    goods(shop)
    assert shop.load().status == 0
    query(shop.dsn, "CREATE TABLE shop_staging.other AS SELECT 1 AS precious")
    ended = shop.run("cleanup", "staging")

    assert ended.stdout.startswith("0 staging tables")
    assert "left alone in shop_staging, as no load has made them: other" in ended.stdout
    assert query(shop.dsn, "SELECT * FROM shop_staging.other") == [(1,)]


def test_a_schema_that_is_called_like_the_staging_of_another_loses_no_table(shop: Shop) -> None:
    goods(shop, schema="shop_staging")
    assert shop.load().status == 0
    shop.catalogue.write_text(shop.catalogue.read_text().replace('schema = "shop_staging"', 'schema = "shop"'))
    other, cleaned = shop.load(0), shop.run("cleanup", "staging")

    assert other.status == 78
    assert "left alone in shop_staging" in cleaned.stdout
    assert rows(shop.dsn, "shop_staging", "goods") == [(1, "a"), (2, "b")]


def test_staging_of_another_schema_is_no_target(shop: Shop) -> None:
    goods(shop)
    assert shop.load().status == 0
    shop.file("goods.csv", "id,v\n1,a\n1,b\n")
    assert shop.load().status == 65
    shop.catalogue.write_text(shop.catalogue.read_text().replace('schema = "shop"', 'schema = "shop_staging"'))
    shop.redeclare(0, KEYED, 'strategy = "append"')
    shop.catalogue.write_text(shop.catalogue.read_text().replace('schema = "shop"', 'schema = "shop_staging"'))
    ended = shop.load()

    assert ended.status == 78
    assert '"shop_staging"."goods" is staging of a load into another schema' in ended.stderr


@pytest.mark.parametrize("names", [("goods", "_goods"), ("_goods", "goods"), ("_goods", "__goods", "goods")])
def test_tables_whose_names_differ_by_a_leading_underscore_do_not_meet(shop: Shop, names: tuple[str, ...]) -> None:
    for name in names:  # the server calls the type of arrays of their rows so
        goods(shop, name, f'{KEYED}\nstrategy = "replace"')

    for _ in range(2):
        assert [shop.load(number).stderr for number in range(len(names))] == [""] * len(names)
    assert [shop.rows(name) for name in names] == [[(1, "a"), (2, "b")]] * len(names)


@pytest.mark.parametrize("strategy", ["snapshot", "replace"])
def test_no_target_is_marked_as_staging(shop: Shop, strategy: str) -> None:
    goods(shop, settings=f'{KEYED}\nstrategy = "{strategy}"')
    assert shop.load().status == 0
    query(shop.dsn, "COMMENT ON TABLE shop.goods IS NULL")

    assert [shop.load().status, shop.load().status] == [0, 0]
    assert query(shop.dsn, "SELECT obj_description('shop.goods'::regclass, 'pg_class')") == [(None,)]


def with_mart(shop: Shop, name: str = "totals") -> None:
    (shop.folder / "marts").mkdir(exist_ok=True)
    (shop.folder / "marts" / f"{name}.sql").write_text("SELECT count(*) AS n FROM goods")
    goods(shop)
    assert shop.load().status == 0


@pytest.mark.parametrize("columns", ["1 AS precious", "1::bigint AS n"])
@pytest.mark.parametrize("comment", ["NULL", "'Yearly totals.'", "'Built by others.sql.'"])
def test_a_mart_takes_the_place_of_nothing_that_was_not_built_as_one(shop: Shop, columns: str, comment: str) -> None:
    query(shop.dsn, f"CREATE SCHEMA shop_mart; CREATE TABLE shop_mart.totals AS SELECT {columns}")
    query(shop.dsn, f"COMMENT ON TABLE shop_mart.totals IS {comment}")
    with_mart(shop)
    ended = shop.run("final")

    assert ended.status == 78
    assert 'mart \'totals\': "shop_mart"."totals" exists, and was not built as a mart' in ended.stderr
    assert query(shop.dsn, "SELECT * FROM shop_mart.totals") == [(1,)]


def test_a_mart_takes_the_place_of_no_loaded_table(shop: Shop) -> None:
    with_mart(shop, "goods")
    text = shop.catalogue.read_text()
    shop.catalogue.write_text(text.replace('schema = "shop"', 'schema = "shop_mart"'))
    assert shop.load().status == 0
    shop.catalogue.write_text(text)
    ended = shop.run("final")

    assert ended.status == 78, ended.stdout
    assert rows(shop.dsn, "shop_mart", "goods") == [(1, "a"), (2, "b")]


def test_a_mart_whose_comment_was_changed_is_built_again_when_it_has_its_own_back(shop: Shop) -> None:
    with_mart(shop)
    assert shop.run("final").status == 0
    query(shop.dsn, "COMMENT ON TABLE shop_mart.totals IS 'ours'")
    refused = shop.run("final")
    (cure,) = re.findall(r"COMMENT ON TABLE .*?;", refused.stderr)
    query(shop.dsn, cure)

    assert (refused.status, shop.run("final").status) == (78, 0)
    assert query(shop.dsn, "SELECT n FROM shop_mart.totals") == [(2,)]


def test_marts_with_long_names_are_told_apart_or_refused(shop: Shop) -> None:
    with_mart(shop, "m" * 62 + "a")
    (shop.folder / "marts" / f"{'m' * 62}b.sql").write_text("SELECT 5 AS n")
    built = shop.run("final")
    (shop.folder / "marts" / f"{'m' * 64}.sql").write_text("SELECT 5 AS n")
    refused = shop.run("final")

    assert (built.status, refused.status) == (0, 78), built.stderr
    assert [query(shop.dsn, f'SELECT n FROM shop_mart."{"m" * 62}{end}"') for end in "ab"] == [[(2,)], [(5,)]]
    assert "at most 63 bytes" in refused.stderr
