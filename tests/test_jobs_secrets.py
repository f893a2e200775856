"""Values of secret columns are shown nowhere, whoever speaks of them; others are told with their place."""

# ruff: noqa: F401, F811
from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.jobs import Shop, query
from tests.support.servers import database, warehouse

SECRET = "DE99SECRET"
ROWS = f"id,v\n1,5\n2,{SECRET}\n"
CAST = "CREATE FUNCTION shop.f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM new.v::int; RETURN new; END $$"
RAISE = "CREATE FUNCTION shop.f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE '% is bad', new.v; END $$"
TRIGGER = "CREATE TRIGGER x BEFORE INSERT ON shop.t FOR EACH ROW EXECUTE FUNCTION shop.f()"

# Settings of the table, then what is in the target's place already.
SPEAKERS: dict[str, tuple[str, list[str]]] = {
    "a check": ('checks = [{ sql = "v::int > 0" }]', []),
    "a check that warns": ('checks = [{ sql = "v::int > 0", severity = "warn" }]', []),
    "a slice": ('strategy = "slice"\nwhere = "v::int > 0"', []),
    "an index of the target": ("", ["CREATE INDEX ON shop.t ((v::int))"]),
    "an index of a table that is replaced": ('strategy = "replace"', ["CREATE INDEX ON shop.t ((v::int))"]),
    "a trigger that casts": ("", [CAST, TRIGGER]),
    "a trigger that raises": ("", [RAISE, TRIGGER]),
    "a trigger that speaks at the end": (
        "",
        [RAISE.replace("'% is bad', new.v", "'% is bad', new.v USING ERRCODE = 'check_violation'"),
         TRIGGER.replace("TRIGGER x BEFORE", "CONSTRAINT TRIGGER x AFTER").replace("FOR", "INITIALLY DEFERRED FOR")],
    ),
}  # fmt: skip


@pytest.fixture
def shop(tmp_path: Path, database: str) -> Shop:
    query(database, "CREATE SCHEMA shop")
    return Shop(tmp_path, database)


def loaded(shop: Shop, speaker: str, settings: str = "") -> tuple[int, str]:
    own, statements = SPEAKERS[speaker]
    for statement in ["CREATE TABLE shop.t (id integer PRIMARY KEY, v text)"] * bool(statements) + statements:
        query(shop.dsn, statement)
    shop.table("t", {"id": "integer", "v": "text"}, f'key = ["id"]\nmax_delete = 1\n{settings}\n{own}')
    shop.file("t.csv", ROWS)
    ended = shop.load()
    return ended.status, ended.stdout + ended.stderr


@pytest.mark.parametrize("speaker", SPEAKERS)
def test_nobody_tells_a_secret(shop: Shop, speaker: str) -> None:
    status, said = loaded(shop, speaker, 'secret = ["v"]')

    assert SECRET not in said
    assert (status, shop.rows("t")) == (65, [])
    assert "its words may quote a secret value [" in said


@pytest.mark.parametrize("speaker", SPEAKERS)
def test_what_is_no_secret_is_told_in_the_servers_words(shop: Shop, speaker: str) -> None:
    status, said = loaded(shop, speaker)

    assert (status, shop.rows("t")) == (65, [])
    assert SECRET in said


@pytest.mark.parametrize("speaker", ["a check", "a check that warns", "a slice"])
def test_a_condition_that_a_row_cannot_be_asked_about_is_told_with_the_rows_place(shop: Shop, speaker: str) -> None:
    said = loaded(shop, speaker, 'secret = ["v"]')[1]

    assert "t.csv line 3: " in said
    assert "v::int > 0" in said


def test_the_first_of_many_rows_that_a_check_cannot_be_asked_about_is_named(shop: Shop) -> None:
    shop.table("t", {"id": "integer", "v": "text"}, 'key = ["id"]\nchecks = [{ name = "small", sql = "v::int < 9" }]')
    shop.file("t.csv", "id,v\n" + "".join(f"{n},{'x' if n in (777, 778, 1500) else 1}\n" for n in range(1, 2001)))
    ended = shop.load()

    assert ended.status == 65
    assert "t.csv line 778: check 'small' cannot be asked: invalid input syntax for type integer: \"x\"" in ended.stderr


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ('checks = [{ sql = "w > 0" }]', 'column "w" does not exist'),
        ("checks = [{ sql = \"v::int > 'x'\" }]", 'invalid input syntax for type integer: "x"'),
        ('strategy = "slice"\nwhere = "w > 0"', 'where: column "w" does not exist'),
        ('strategy = "slice"\nwhere = "v >"', "where: syntax error"),
    ],
)
def test_a_condition_that_no_row_can_be_asked_about_is_the_catalogues_mistake(
    shop: Shop, settings: str, said: str
) -> None:
    shop.table("t", {"id": "integer", "v": "text"}, f'key = ["id"]\nsecret = ["v"]\n{settings}')
    shop.file("t.csv", ROWS)
    ended = shop.load()

    assert ended.status == 78, ended.stderr
    assert f"table 't': {said}" in ended.stderr
    assert SECRET not in ended.stderr


def test_a_source_that_is_read_again_at_the_end_tells_no_secret(shop: Shop) -> None:
    shop.table("t", {"id": "integer", "v": "integer"}, 'key = ["id"]\nsecret = ["v"]')
    shop.file("t.csv", "id,v\n1,5\n")
    assert shop.load().status == 0
    shop.file("t.csv", f"id,v\n1,{SECRET}\n")
    ended = shop.run("final", "--reread")

    assert ended.status == 65
    assert "t.csv line 2, column 'v'" in ended.stderr
    assert SECRET not in ended.stdout + ended.stderr
