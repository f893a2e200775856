"""References: what counts as a parent is what the parent's own load would keep."""

# ruff: noqa: F401, F811
from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.support.jobs import Shop, query
from tests.support.servers import Warehouse, database, warehouse

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


TWO = {"id": "integer", "p": "integer"}
LIMIT = "\nrejects = { limit = 9 }"
KEYED = 'key = ["id"]' + LIMIT


def ids(shop: Shop, name: str) -> list[int]:
    return [row[0] for row in shop.rows(name)]


def all_in_order(shop: Shop, order: tuple[int, ...]) -> list[int]:
    """Load these tables; how they ended."""
    ended = [shop.load(number) for number in order]
    assert not [one.stderr for one in ended if one.status]
    return [shop.run("final").status]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
@pytest.mark.parametrize("rejecting", [True, False], ids=["", "of which the first rejects nothing"])
def test_a_parent_whose_own_parent_is_missing_or_rejected_is_none(
    shop: Shop, order: tuple[int, ...], rejecting: bool
) -> None:
    shop.table("grand", {"id": "integer", "v": "integer"},
               'key = ["id"]' + (LIMIT + '\nchecks = [{ column = "v", min = 0 }]') * rejecting)  # fmt: skip
    shop.table("parent", TWO, REFERS.format("grand").replace("{{", "{").replace("}}", "}") + LIMIT)
    shop.table("child", TWO, REFERS.format("parent").replace("{{", "{").replace("}}", "}") + LIMIT)
    shop.file("grand.csv", "id,v\n1,1\n" + "2,-1\n" * rejecting)
    shop.file("parent.csv", "id,p\n1,1\n2,2\n3,9\n")
    shop.file("child.csv", "id,p\n1,1\n2,2\n3,3\n")

    assert all_in_order(shop, order) == [0]
    assert (ids(shop, "parent"), ids(shop, "child")) == ([1], [1])


def test_a_reference_that_only_reports_rejects_no_parent(shop: Shop) -> None:
    reports = '\nreferences = [{ columns = ["p"], table = "grand", to = ["id"], orphans = "report" }]'
    shop.table("grand", {"id": "integer"}, 'key = ["id"]')
    shop.table("parent", TWO, KEYED + reports)
    shop.table("child", TWO, KEYED + '\nreferences = [{ columns = ["p"], table = "parent", to = ["id"] }]')
    shop.file("parent.csv", "id,p\n1,9\n")
    shop.file("child.csv", "id,p\n1,1\n")
    first = shop.load(2)

    assert (first.status, first.metrics.get("rejected")) == (0, 0), first.stderr


def circle(shop: Shop, names: str, settings: str = "") -> None:
    """Tables that refer to the next one, and the last to the first."""
    for name, other in zip(names, names[1:] + names[0], strict=True):
        refers = f'\nreferences = [{{ columns = ["p"], table = "{other}", to = ["id"] }}]'
        shop.table(name, {**TWO, "u": "integer"}, KEYED + refers + '\nchecks = [{ unique = ["u"] }]' + settings)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_tables_that_refer_to_each_other_in_a_circle_agree_on_what_is_rejected(
    shop: Shop, order: tuple[int, ...]
) -> None:
    circle(shop, "abc")
    shop.file("a.csv", "id,p,u\n1,1,1\n2,2,2\n3,3,3\n4,4,4\n5,,4\n")
    shop.file("b.csv", "id,p,u\n1,1,1\n2,2,2\n3,3,3\n4,4,4\n5,,3\n")
    shop.file("c.csv", "id,p,u\n1,1,1\n2,9,2\n3,3,3\n4,5,4\n")

    assert all_in_order(shop, order) == [0]
    # c2 has no parent, so b2 and a2 have none. a5 repeats a4; c4 referred to it, b4 to that, a4 to that. b5 repeats b3.
    assert [ids(shop, name) for name in "abc"] == [[1, 3], [1, 3], [1, 3]]


def test_parents_that_refer_to_themselves_and_share_a_parent_are_those_that_their_loads_keep(shop: Shop) -> None:
    shop.table("top", {"id": "integer"}, KEYED)
    to = '{{ columns = ["{}"], table = "{}", to = ["id"] }}'
    columns = {"id": "integer", "t": "integer", "up": "integer"}
    for name in ("left", "right"):
        refers = ", ".join((to.format("t", "top"), to.format("up", name)))
        shop.table(name, columns, f"{KEYED}\nreferences = [{refers}]")
    refers = ", ".join((to.format("l", "left"), to.format("r", "right"), to.format("t", "top")))
    shop.table(
        "child", {"id": "integer", "l": "integer", "r": "integer", "t": "integer"}, f"{KEYED}\nreferences = [{refers}]"
    )
    shop.file("top.csv", "id\n1\n2\nx\n")
    shop.file("left.csv", "id,t,up\n1,1,\n2,3,1\n3,1,2\n4,2,4\n")
    shop.file("right.csv", "id,t,up\n1,1,\n2,2,1\n")
    shop.file("child.csv", "id,l,r,t\n1,1,1,1\n2,2,1,1\n3,3,1,1\n4,4,2,2\n5,1,3,1\n6,1,1,3\n")

    assert all_in_order(shop, (3, 1, 0, 2)) == [0]
    assert (ids(shop, "left"), ids(shop, "child")) == ([1, 4], [1, 4])


def test_an_increment_is_compared_with_the_whole_of_a_parent_that_refers_back(shop: Shop) -> None:
    back = 'key = ["id"]\nrejects = { limit = 9 }\nreferences = [{ columns = ["p"], table = "%s", to = ["id"] }]'
    shop.table("a", TWO, back % "b" + '\nstrategy = "incremental"\nwatermark = "id"')
    shop.table("b", TWO, back % "a")
    shop.file("a.csv", "id,p\n1,1\n2,9\n")
    shop.file("b.csv", "id,p\n1,1\n2,2\n3,3\n")
    first = shop.load(0)
    shop.file("a.csv", "id,p\n1,1\n2,9\n3,3\n4,2\n")
    second, other = shop.load(0), shop.load(1)

    assert (first.status, second.status, other.status) == (0, 0, 0), second.stderr
    assert (ids(shop, "a"), ids(shop, "b")) == ([1, 3], [1, 3])


def test_a_parents_missing_column_is_named_though_nobody_declares_any(shop: Shop) -> None:
    shop.table("parent", {}, KEYED)
    shop.table("child", TWO, KEYED + '\nreferences = [{ columns = ["p"], table = "parent", to = ["nr"] }]')
    undeclared(shop)
    shop.file("parent.csv", "id,v\n1,1\n")
    shop.file("child.csv", "id,p\n1,1\n")
    ended = shop.load(1)

    assert ended.status == 78
    assert "parent.csv has no column 'nr', which is referred to" in ended.stderr


def test_a_parent_row_that_its_check_cannot_be_asked_about_is_none(shop: Shop) -> None:
    shop.table("parent", {"id": "integer", "v": "integer"}, KEYED + '\nchecks = [{ sql = "10 / v > 0" }]')
    shop.table("child", TWO, KEYED + '\nreferences = [{ columns = ["p"], table = "parent", to = ["id"] }]')
    shop.file("parent.csv", "id,v\n1,1\n2,0\n")
    shop.file("child.csv", "id,p\n1,1\n2,2\n")

    assert all_in_order(shop, (1, 0)) == [0]
    assert (ids(shop, "parent"), ids(shop, "child")) == ([1], [1])


@pytest.mark.parametrize("change", ["its source", "what it rejects"])
def test_a_load_is_done_again_where_something_else_decides_which_parents_there_are(shop: Shop, change: str) -> None:
    to = '\nreferences = [{ columns = ["p"], table = "%s", to = ["id"] }]'
    shop.table("grand", {"id": "integer"}, 'key = ["id"]')
    shop.table("parent", TWO, KEYED + to % "grand")
    shop.table("child", TWO, KEYED + to % "parent" + "\nskip_unchanged = true\nmax_delete = 1")
    shop.file("grand.csv", "id\n1\n")
    shop.file("parent.csv", "id,p\n1,1\n")
    shop.file("child.csv", "id,p\n1,1\n")
    first, second = shop.load(2), shop.load(2)
    if change == "its source":
        shop.file("grand.csv", "id\n10\n")
    else:
        shop.redeclare(1, "rejects", 'checks = [{ sql = "id > 1" }]\nrejects')
    third = shop.load(2)

    assert [bool(one.metrics.get("cached")) for one in (first, second, third)] == [False, True, False]
    assert ids(shop, "child") == []


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_whatever_refers_to_whatever_no_order_of_loads_leaves_a_row_without_its_parent(
    tmp_path: Path, warehouse: Warehouse, seed: int
) -> None:
    chance = Random(seed)
    names = "abc"
    refers = {name: chance.choices(names, k=2) for name in names}
    rows = {
        n: [[i, *chance.choices(["", "", "", *range(1, 13)], k=2), chance.randint(1, 9)] for i in range(1, 12)]
        for n in names
    }
    kept = []
    for order in ((0, 1, 2), (2, 1, 0)):
        with warehouse.database() as dsn:
            shop = Shop(tmp_path, dsn)
            for name in names:
                to = ", ".join(
                    f'{{ columns = ["p{n}"], table = "{other}", to = ["id"] }}' for n, other in enumerate(refers[name])
                )
                columns = dict.fromkeys(("id", "p0", "p1", "u"), "integer")
                shop.table(
                    name, columns, f'{KEYED.replace("9", "99")}\nreferences = [{to}]\nchecks = [{{ unique = ["u"] }}]'
                )
                shop.file(f"{name}.csv", "id,p0,p1,u\n" + "".join(f"{','.join(map(str, r))}\n" for r in rows[name]))
            assert [shop.load(number).stderr for number in order] == [""] * 3
            kept.append({name: shop.rows(name) for name in names})

    there = {name: {row[0] for row in kept[0][name]} | {None} for name in names}
    assert kept[0] == kept[1]
    assert 0 < sum(map(len, kept[0].values())) < 33
    assert not [r for n in names for r in kept[0][n] for i in (0, 1) if r[1 + i] not in there[refers[n][i]]]


@pytest.mark.parametrize("order", [("child", "middle", "top"), ("child", "top", "middle"), ("top", "middle", "child")])
def test_a_parent_of_one_that_refers_to_itself_is_judged_after_it(shop: Shop, order: tuple[str, ...]) -> None:
    parents = {"child": "middle", "middle": "top", "top": "top"}
    for name in order:
        more = "\nrejects = { limit = 9 }"
        shop.table(name, {"id": "integer", "p": "integer"}, REFERS.format(parents[name]) + more)
    shop.file("top.csv", "id,p\n1,1\n2,9\n")  # the second has no parent, so the second of all others has none
    shop.file("middle.csv", "id,p\n1,1\n2,2\n")
    shop.file("child.csv", "id,p\n1,1\n2,2\n")

    for number in range(3):
        assert shop.load(number).status == 0
    assert [shop.rows(name) for name in order] == [[(1, 1)]] * 3
    assert shop.run("final").status == 0
