"""What a target is called in locks and load records: no two of them the same."""

# ruff: noqa: F401, F811
from __future__ import annotations

import itertools
from pathlib import Path

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_jobs.names import whole_name
from etl_jobs.warehouse import locked
from tests.support.jobs import Shop, query, rows
from tests.support.servers import database, warehouse


def in_schema(folder: Path, dsn: str, schema: str, name: str) -> Shop:
    shop = Shop(folder, dsn)
    shop.table(name, {"id": "integer", "v": "text"}, 'strategy = "append"')
    shop.catalogue.write_text(shop.catalogue.read_text().replace('schema = "shop"', f'schema = "{schema}"'))
    shop.file(f"{name}.csv", "id,v\n1,x\n")
    return shop


@pytest.mark.parametrize(("schema", "name", "other"), [("a.b", "c", ("a", "b.c")), ("a", "b.c", ("a.b", "c"))])
def test_tables_whose_names_read_the_same_with_their_schemas_are_two(
    tmp_path: Path, database: str, schema: str, name: str, other: tuple[str, str]
) -> None:
    first = in_schema(tmp_path, database, schema, name)
    ended = [first.load()]
    second = in_schema(tmp_path, database, *other)
    with psycopg.connect(database, autocommit=True) as session, locked(session, whole_name(schema, name), wait=0):
        ended += [second.load(0, "--wait", 0), second.run("cleanup", "staging")]
    again = second.load()

    assert [one.status for one in (*ended, again)] == [0, 0, 0, 0], [one.stderr for one in ended]
    assert (rows(database, *other), rows(database, schema, name)) == ([(1, "x")], [(1, "x")])
    assert query(database, "SELECT count(DISTINCT target), count(*) FROM etl.load") == [(2, 3)]


def test_an_ordinary_target_is_called_as_it_is_written() -> None:
    assert [whole_name("shop", name) for name in ("people", "My Table", "park.alias")] == [
        "shop.people", "shop.My Table", "shop.park.alias"]  # fmt: skip


@given(pairs=st.lists(st.tuples(*[st.text('a".', min_size=1, max_size=5)] * 2), min_size=2, unique=True))
def test_no_two_targets_are_called_the_same(pairs: list[tuple[str, str]]) -> None:
    called = [whole_name(*pair) for pair in pairs]

    assert not [two for two in itertools.combinations(called, 2) if two[0] == two[1]]
