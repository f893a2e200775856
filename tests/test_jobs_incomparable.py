"""Columns of types without equality or hash: compared and hashed as text, or refused by name."""

# ruff: noqa: F401, F811
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.jobs import query
from tests.support.servers import Warehouse, database, warehouse
from tests.support.sources import Load

VALUES = {
    "json": ("""'{"b": 1,  "a": 2}'""", """'{"a": 2, "b": 1}'"""),
    "json[]": ("""ARRAY['{"b": 1}'::json, NULL]""", "NULL"),
    "bit(3)": ("B'101'", "B'100'"),
    "bit varying(5)": ("B'10101'", "B'1010'"),
    "money": ("12.34::numeric", "12.35::numeric"),
    "tsvector": ("to_tsvector('simple', 'a b')", "to_tsvector('simple', 'a b c')"),
    "tsquery": ("'a & b'::tsquery", "'a | b'::tsquery"),
    "point": ("'(0.1,2)'", "'(0.1,3)'"),
    "line": ("'{1,2,3}'", "'{1,2,4}'"),
    "lseg": ("'[(0,0),(1,2)]'", "'[(0,0),(2,1)]'"),
    "box": ("'(0,0),(1,2)'", "'(0,0),(2,1)'"),  # the same area: what `=` compares
    "path": ("'((0,0),(1,2))'", "'((0,0),(2,1))'"),
    "polygon": ("'((0,0),(1,2))'", "'((0,0),(2,1))'"),
    "circle": ("'<(0,0),1>'", "'<(9,9),1>'"),
    "jsonpath": ("'$.a'", "'$.b'"),
}
STRATEGIES = {
    "snapshot": 'key = ["id"]',
    "without key": "",
    "replace": 'key = ["id"]',
    "slice": """key = ["id"]\nwhere = "id > 0" """,
    "incremental": 'key = ["id"]\nwatermark = "at"\nlag = 10',
    "append": "",
    "scd2": 'key = ["id"]',
}


@pytest.fixture
def load(tmp_path: Path, warehouse: Warehouse, database: str) -> Iterator[Load]:
    with warehouse.database() as there:
        kinds = ", ".join(f"c{n} {kind}" for n, kind in enumerate(VALUES))
        query(there, f"CREATE TABLE t (id int PRIMARY KEY, at int, {kinds})")
        for number in (1, 2):
            query(there, f"INSERT INTO t (id, at) VALUES ({number}, {number})")
        for n, (one, _) in enumerate(VALUES.values()):
            query(there, f"UPDATE t SET c{n} = {one} WHERE id = 1")
        yield Load(tmp_path, database, kind="postgresql", top='url = "${THERE}"', env={"THERE": there})


def said(load: Load, relation: str = "shop.t", dsn: str = "") -> list[tuple[str, ...]]:
    columns = ", ".join(f"c{n}::text" for n in range(len(VALUES)))
    return query(dsn or load.dsn, f"SELECT {columns} FROM {relation} ORDER BY id, at")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_table_with_such_columns_is_loaded_under_every_strategy(load: Load, strategy: str) -> None:
    name = "snapshot" if strategy == "without key" else strategy
    load.tables = [f'[[table]]\nname = "t"\nstrategy = "{name}"\nmax_delete = 1\n{STRATEGIES[strategy]}\n']
    there = load.env["THERE"]
    first, again, final = load.load(), load.load(), load.run("final --reread")

    assert [first.status, again.status, final.status] == [0, 0, 0], first.stderr + again.stderr + final.stdout
    assert said(load) == said(load, "t", there)
    if strategy != "replace":
        assert [again.metrics[word] for word in ("inserted", "updated", "deleted")] == [0, 0, 0]

    for n, (_, other) in enumerate(VALUES.values()):
        query(there, f"UPDATE t SET c{n} = {other}, at = at + 1 WHERE id = 1")
        assert load.load().status == 0
    assert load.run("final").status == 0
    if strategy not in ("append", "scd2"):
        assert said(load) == said(load, "t", there)
    if strategy == "scd2":
        assert said(load, "shop.t WHERE is_current") == said(load, "t", there)
        assert query(load.dsn, "SELECT count(*) FROM shop.t") == [(2 + len(VALUES),)]


@pytest.mark.parametrize("key", ['key = ["id"]', ""])
def test_every_single_column_is_seen_to_differ(load: Load, key: str) -> None:
    load.tables = [f'[[table]]\nname = "t"\nmax_delete = 1\n{key}\n']
    assert load.load().status == 0
    for n, (kind, (_, other)) in enumerate(VALUES.items()):
        query(load.env["THERE"], f"UPDATE t SET c{n} = {other} WHERE id = 1")
        metrics = load.load().metrics
        assert (kind, metrics["updated"] or metrics["inserted"]) == (kind, 1)


def test_a_declared_type_that_cannot_be_compared_is_refused_by_its_column(load: Load) -> None:
    query(load.dsn, "CREATE SCHEMA mine; CREATE TYPE mine.pair AS (a json, b int)")
    query(load.env["THERE"], "CREATE TABLE u (id int, pair text); INSERT INTO u VALUES (1, '({},1)')")
    load.table("u", {"id": "integer", "pair": "mine.pair"}, 'key = ["id"]')
    ended, explained = load.load(), load.run("table --id 0 --explain")

    assert (ended.status, explained.status) == (78, 78)
    assert "table 'u': column 'pair': values of mine.pair cannot be compared" in ended.stderr
    assert "hint: declare it as text" in ended.stderr


def test_marts_may_have_such_columns(load: Load) -> None:
    load.tables = ['[[table]]\nname = "t"\nkey = ["id"]\n']
    assert load.load().status == 0
    (load.folder / "marts").mkdir()
    (load.folder / "marts" / "m.sql").write_text("SELECT * FROM t")
    load.tables[0] = 'marts = "marts"\n' + load.tables[0]
    first, again = load.run("final"), load.run("final")

    assert (first.status, again.status) == (0, 0), first.stderr
    assert (first.metrics["inserted"], again.metrics["inserted"], again.metrics["deleted"]) == (2, 0, 0)
    assert said(load, "shop_mart.m") == said(load)
