"""References: what counts as a parent is what the parent's own load would keep."""

# ruff: noqa: F401, F811
from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.jobs import Shop, query
from tests.support.servers import database, warehouse

REFERS = 'key = ["id"]\nreferences = [{{ columns = ["p"], table = "{}", to = ["id"] }}]'


@pytest.fixture
def shop(tmp_path: Path, database: str) -> Shop:
    return Shop(tmp_path, database)


def undeclared(shop: Shop) -> None:
    shop.tables = [table.replace("columns = {  }\n", "") for table in shop.tables]
    shop._write()


def test_parents_whose_names_differ_at_their_end_are_two(shop: Shop) -> None:
    names = ["p" * 60 + end for end in "ab"]
    for name in names:
        shop.table(name, {"id": "integer"}, f'key = ["id"]\nfile = "{name[-1]}.csv"')
    first, second = (f'{{ columns = ["{n[-1]}"], table = "{n}", to = ["id"] }}' for n in names)
    shop.table(
        "child",
        {"id": "integer", "a": "integer", "b": "integer"},
        f'key = ["id"]\nreferences = [{first}, {second}]',
    )
    shop.file("a.csv", "id\n1\n")
    shop.file("b.csv", "id\n100\n")
    shop.file("child.csv", "id,a,b\n1,1,100\n")
    good = shop.load(2)
    shop.file("child.csv", "id,a,b\n1,1,100\n2,100,100\n")
    bad = shop.load(2)

    assert good.status == 0, good.stderr
    assert f"column a: 1 rows refer to no {names[0]}" in bad.stderr
    assert "column b" not in bad.stderr


REJECTED = {
    "by a check": ("columns", "checks = [{ column = 'v', min = 0 }]", "2,-5"),
    "as it repeats a value": ("columns", "checks = [{ unique = ['v'] }]", "2,1"),
    "as a required value is empty": ("columns", "required = ['v']", "2,"),
    "as a value does not fit": ("columns", "", "2,many"),
    "by a check, of types that nobody declares": ("", "checks = [{ column = 'v', min = 0 }]", "2,-5"),
}


@pytest.mark.parametrize("why", REJECTED)
def test_a_parent_that_is_rejected_is_none(shop: Shop, why: str) -> None:
    declared, settings, row = REJECTED[why]
    columns = {"id": "integer", "v": "integer"} if declared else {}
    shop.table("parent", columns, f'key = ["id"]\nrejects = {{ limit = 5 }}\n{settings}')
    shop.table("child", {"id": "integer", "p": "integer"}, REFERS.format("parent"))
    undeclared(shop)
    shop.file("parent.csv", f"id,v\n1,1\n{row}\n")
    shop.file("child.csv", "id,p\n1,1\n2,2\n")
    before, parent, after = shop.load(1), shop.load(0), shop.load(1)

    assert (before.status, parent.status, after.status) == (65, 0, 65), parent.stderr
    assert "column p: 1 rows refer to no parent" in before.stderr
    assert parent.metrics["rejected"] == 1
    shop.file("child.csv", "id,p\n1,1\n")
    assert shop.load(1).status == 0
    assert shop.run("final").status == 0


def test_a_parent_row_outside_of_its_slice_is_not_judged(shop: Shop) -> None:
    settings = 'strategy = "slice"\nwhere = "id > 1"\nrejects = { limit = 5 }\nchecks = [{ column = "v", min = 0 }]'
    shop.table("parent", {"id": "integer", "v": "integer"}, f'key = ["id"]\n{settings}')
    shop.table("child", {"id": "integer", "p": "integer"}, REFERS.format("parent"))
    shop.file("parent.csv", "id,v\n1,-1\n2,1\n")
    shop.file("child.csv", "id,p\n1,1\n2,2\n")

    assert shop.load(1).status == 0


def test_more_rejected_parents_than_allowed_fail_the_child_as_well(shop: Shop) -> None:
    shop.table("parent", {"id": "integer", "v": "integer"},
               'key = ["id"]\nrejects = { limit = 1 }\nchecks = [{ column = "v", min = 0 }]')  # fmt: skip
    shop.table("child", {"id": "integer", "p": "integer"}, REFERS.format("parent"))
    shop.file("parent.csv", "id,v\n1,-1\n2,-1\n")
    shop.file("child.csv", "id,p\n1,1\n")
    ended = shop.load(1)

    assert ended.status == 65
    assert "table 'parent': more than 1 rows are rejected" in ended.stderr


def test_types_that_nobody_declares_and_that_differ_are_no_fault_of_the_source(shop: Shop) -> None:
    shop.table("parent", {}, 'key = ["id"]')
    shop.table("child", {}, REFERS.format("parent"))
    undeclared(shop)
    shop.file("parent.csv", "id,v\n1,1\n2,1\nA3,1\n")
    shop.file("child.csv", "id,p\n1,1\n2,2\n")
    ended = shop.load(1)

    assert ended.status == 78
    assert "table 'child' refers to 'parent', and nobody declares of which type" in ended.stderr
    assert "parent.csv line 4, column 'id', value 'A3'" in ended.stderr
    assert "declare the columns of both" in ended.stderr
