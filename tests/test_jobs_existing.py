"""Targets that somebody else has made: their keys, triggers and rules."""

# ruff: noqa: F401, F811
from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.jobs import Ended, Shop, query
from tests.support.servers import database, warehouse

COLUMNS = {"id": "integer", "v": "text"}


@pytest.fixture
def shop(tmp_path: Path, database: str) -> Shop:
    query(database, "CREATE SCHEMA shop")
    return Shop(tmp_path, database)


KEYS = {
    "a key that may be empty": (
        "id integer UNIQUE, v text",
        'key = ["id"]',
        "exists with a key that may be empty: 'id'",
        "ALTER COLUMN \"id\" SET NOT NULL;",
    ),
    "a key of which one part may be empty": (
        "id integer NOT NULL, v text, UNIQUE (id, v)",
        'key = ["id", "v"]',
        "exists with a key that may be empty: 'v'",
        "ALTER COLUMN \"v\" SET NOT NULL;",
    ),
    "a key of fewer columns that carries another one": (
        "id integer NOT NULL, v text NOT NULL, UNIQUE (id) INCLUDE (v)",
        'key = ["id", "v"]',
        "exists without a primary key on (id, v)",
        "ADD PRIMARY KEY",
    ),
    "a key that is looked at late, for append": (
        "id integer PRIMARY KEY DEFERRABLE, v text",
        'key = ["id"]\nstrategy = "append"',
        "exists with a key that is DEFERRABLE, which append cannot go by",
        'ADD PRIMARY KEY ("id");',
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", KEYS)
def test_a_key_that_names_no_row_is_refused(shop: Shop, case: str) -> None:
    definition, settings, said, cure = KEYS[case]
    query(shop.dsn, f"CREATE TABLE shop.t ({definition})")
    shop.table("t", COLUMNS, settings + "\nmax_delete = 1")
    shop.file("t.csv", "id,v\n1,a\n2,b\n")
    ended = shop.load()

    assert ended.status == 78, ended.stderr
    assert said in ended.stderr
    assert cure in ended.stderr
    assert shop.rows("t") == []


def test_rows_without_a_key_do_not_become_more_with_every_load(shop: Shop) -> None:
    query(shop.dsn, "CREATE TABLE shop.t (id integer UNIQUE, v text)")
    query(shop.dsn, "INSERT INTO shop.t VALUES (NULL, 'x'), (1, 'a')")
    shop.table("t", COLUMNS, 'key = ["id"]\nmax_delete = 1')
    shop.file("t.csv", "id,v\n1,a\n2,b\n")
    refused = shop.load()
    before = shop.rows("t")
    query(shop.dsn, "DELETE FROM shop.t WHERE id IS NULL")
    query(shop.dsn, 'ALTER TABLE "shop"."t" ALTER COLUMN "id" SET NOT NULL')
    ended = shop.load()

    assert refused.status == 78
    assert before == [(1, "a"), (None, "x")]
    assert (ended.status, shop.rows("t")) == (0, [(1, "a"), (2, "b")])


@pytest.mark.parametrize("key", ["PRIMARY KEY (id) INCLUDE (v)", "PRIMARY KEY (id) DEFERRABLE"])
def test_a_key_that_names_every_row_is_taken(shop: Shop, key: str) -> None:
    query(shop.dsn, f"CREATE TABLE shop.t (id integer, v text, {key})")
    shop.table("t", COLUMNS, 'key = ["id"]')
    shop.file("t.csv", "id,v\n1,a\n2,b\n")
    ended = shop.load()

    assert (ended.status, shop.rows("t")) == (0, [(1, "a"), (2, "b")]), ended.stderr


def run_hint(shop: Shop, ended: Ended, *, last: bool = False) -> None:
    """Run the first of the statements that a hint names, or the last of its alternatives."""
    (hint,) = re.findall(r"^hint: (.*)$", ended.stderr, re.MULTILINE)
    found = re.findall(r"((?:ALTER|DELETE|CREATE|DROP) .*?;)(?:  or|$)", hint)
    assert found, hint
    query(shop.dsn, found[-1 if last else 0])


REKEYED = {
    "more columns": ('"id", "v"', "id integer PRIMARY KEY, v text"),
    "fewer columns": ('"id"', "id integer, v text, PRIMARY KEY (id, v)"),
    "other columns": ('"v"', 'id integer, v text, CONSTRAINT "the Key" PRIMARY KEY (id)'),
    "no key before": ('"id"', "id integer, v text"),
    "a key that is looked at late": ('"id"', "id integer PRIMARY KEY DEFERRABLE, v text"),
}


@pytest.mark.parametrize("case", REKEYED)
def test_the_hint_for_another_key_can_be_run(shop: Shop, case: str) -> None:
    key, definition = REKEYED[case]
    query(shop.dsn, f"CREATE TABLE shop.t ({definition})")
    query(shop.dsn, "INSERT INTO shop.t VALUES (1, 'a'), (2, 'b')")
    strategy = "append" if "late" in case else "snapshot"
    shop.table("t", COLUMNS, f'key = [{key}]\nstrategy = "{strategy}"')
    shop.file("t.csv", "id,v\n1,a\n2,c\n")
    refused = shop.load()
    run_hint(shop, refused)
    ended = shop.load()

    rows = [(1, "a"), (2, "b" if strategy == "append" else "c")]
    assert (refused.status, ended.status, shop.rows("t")) == (78, 0, rows), ended.stderr


@pytest.mark.parametrize(("old", "new"), [('"id"', '"id", "v"'), ('"id", "v"', '"id"')])
def test_the_hint_for_another_key_of_a_history_can_be_run(shop: Shop, old: str, new: str) -> None:
    shop.table("t", COLUMNS | {"n": "integer"}, f'key = [{old}]\nstrategy = "scd2"\nmax_delete = 1')
    shop.file("t.csv", "id,v,n\n1,a,1\n2,b,1\n")
    assert shop.load().status == 0
    shop.redeclare(0, f"key = [{old}]", f"key = [{new}]")
    shop.file("t.csv", "id,v,n\n1,a,2\n1,b,2\n" if new > old else "id,v,n\n1,b,2\n2,a,2\n")
    refused = shop.load()
    run_hint(shop, refused)
    ended = shop.load()

    assert (refused.status, ended.status) == (78, 0), ended.stderr
    current = query(shop.dsn, "SELECT count(*) FROM shop.t WHERE is_current AND n = 2")
    indexes = query(shop.dsn, "SELECT count(*) FROM pg_index WHERE indrelid = 'shop.t'::regclass")
    assert (current, indexes) == ([(2,)], [(2,)])


def test_what_refers_to_the_old_key_is_named_before_it_is_dropped(shop: Shop) -> None:
    query(shop.dsn, "CREATE TABLE shop.t (id integer PRIMARY KEY, v text)")
    query(shop.dsn, "CREATE TABLE shop.part (t integer CONSTRAINT of_t REFERENCES shop.t)")
    shop.table("t", COLUMNS, 'key = ["id", "v"]')
    shop.file("t.csv", "id,v\n1,a\n")
    refused = shop.load()
    query(shop.dsn, "ALTER TABLE shop.part DROP CONSTRAINT of_t")
    run_hint(shop, refused)

    assert "hint: drop what refers to its key, of_t of shop.part, then run: ALTER TABLE" in refused.stderr
    assert (shop.load().status, shop.rows("t")) == (0, [(1, "a")])


DESCRIBED = """
    SELECT array_agg(line ORDER BY line) FROM (
        SELECT concat_ws(' ', attname, format_type(atttypid, atttypmod), attnotnull, atthasdef) FROM pg_attribute
        WHERE attrelid = 'shop.t'::regclass AND attnum > 0 AND NOT attisdropped
        UNION ALL SELECT regexp_replace(pg_get_indexdef(indexrelid), 'INDEX \\S+ ', '') FROM pg_index
        WHERE indrelid = 'shop.t'::regclass
    ) AS lines (line)
"""


@pytest.mark.parametrize("columns", ["declared", "found"])
def test_a_table_gets_a_history_by_the_hint(shop: Shop, columns: str) -> None:
    shop.table("t", COLUMNS if columns == "declared" else {}, 'key = ["id"]\nstrategy = "scd2"')
    shop.file("t.csv", "id,v\n1,a\n2,b\n")
    assert shop.load().status == 0
    new = query(shop.dsn, DESCRIBED)
    query(shop.dsn, "DROP TABLE shop.t")
    shop.redeclare(0, "scd2", "snapshot")
    assert shop.load().status == 0
    shop.redeclare(0, "snapshot", "scd2")
    shop.file("t.csv", "id,v\n1,a\n2,c\n")
    refused = shop.load()
    run_hint(shop, refused)
    converted = query(shop.dsn, DESCRIBED)
    ended = shop.load()

    assert (refused.status, converted) == (78, new), refused.stderr
    assert (ended.status, ended.metrics["updated"], ended.metrics["inserted"]) == (0, 1, 0), ended.stderr
    held = query(shop.dsn, "SELECT id, v, is_current, valid_to IS NULL FROM shop.t ORDER BY id, valid_from")
    assert held == [(1, "a", True, True), (2, "b", False, False), (2, "c", True, True)]
    assert query(shop.dsn, "SELECT count(*) FROM shop.t o JOIN shop.t n ON n.valid_from = o.valid_to") == [(1,)]
    assert shop.run("final").status == 0


@pytest.mark.parametrize("strategy", ["snapshot", "replace", "snapshot without a key"])
@pytest.mark.parametrize("columns", ["declared", "found"])
@pytest.mark.parametrize("way", ["kept beside", "dropped"])
def test_a_table_gets_rid_of_its_history_by_the_hint(shop: Shop, columns: str, strategy: str, way: str) -> None:
    shop.table("t", COLUMNS if columns == "declared" else {}, 'key = ["id"]\nstrategy = "scd2"')
    for rows in ("1,a\n2,b\n", "1,a\n2,c\n"):
        shop.file("t.csv", f"id,v\n{rows}")
        assert shop.load().status == 0
    history = shop.rows("t")
    name, _, keyless = strategy.partition(" ")
    shop.redeclare(0, 'key = ["id"]\nstrategy = "scd2"', "" if keyless else f'key = ["id"]\nstrategy = "{name}"')
    refused, explained = shop.load(), shop.load(0, "--explain")
    run_hint(shop, refused, last=way == "dropped")
    ended = shop.load()

    assert (refused.status, explained.status) == (78, 78)
    for said in (refused.stderr, explained.stderr):
        assert f'"shop"."t" keeps a history (valid_from, valid_to, is_current), strategy {name!r} does not' in said
    assert (ended.status, shop.rows("t")) == (0, [(1, "a"), (2, "c")]), ended.stderr
    assert shop.rows("t_history") == (history if way == "kept beside" else [])


def test_a_source_that_keeps_a_history_itself_is_loaded_as_it_is(shop: Shop) -> None:
    shop.table("t", {}, 'key = ["id", "valid_from"]')
    text = "id,valid_from,valid_to,is_current\n1,2024-01-01T00:00:00Z,2025-01-01T00:00:00Z,false\n"
    shop.file("t.csv", text + "1,2025-01-01T00:00:00Z,,true\n")

    assert [shop.load().status, shop.load(0, "--full-refresh").status] == [0, 0]


SWALLOWS = "CREATE FUNCTION shop.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
STRATEGIES = {
    "snapshot": 'key = ["id"]',
    "snapshot without a key": "",
    "slice": 'key = ["id"]\nstrategy = "slice"\nwhere = "id > 0"',
    "incremental": 'key = ["id"]\nstrategy = "incremental"\nwatermark = "id"\nlag = 10',
    "append": 'key = ["id"]\nstrategy = "append"',
    "append without a key": 'strategy = "append"',
    "scd2": 'key = ["id"]\nstrategy = "scd2"',
}
KEEPERS = {
    "trigger": [SWALLOWS, "CREATE TRIGGER tr BEFORE {event} ON shop.t FOR EACH ROW EXECUTE FUNCTION shop.f()"],
    "rule": ["CREATE RULE ru AS ON {event} TO shop.t DO INSTEAD NOTHING"],
}


def first_load(shop: Shop, strategy: str) -> None:
    shop.table("t", COLUMNS, STRATEGIES[strategy] + "\nmax_delete = 1")
    shop.file("t.csv", "id,v\n1,a\n2,b\n")
    assert shop.load().status == 0


@pytest.mark.parametrize("keeper", KEEPERS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_rows_that_something_of_the_table_keeps_away_fail_the_load(shop: Shop, strategy: str, keeper: str) -> None:
    first_load(shop, strategy)
    before = shop.rows("t")
    for statement in KEEPERS[keeper]:
        query(shop.dsn, statement.format(event="INSERT"))
    shop.file("t.csv", "id,v\n3,c\n" if strategy == "append without a key" else "id,v\n1,a\n2,b\n3,c\n")
    ended = shop.load()

    said = f'1 of 1 rows were not inserted in "shop"."t", which has something that may keep rows away: {keeper}'
    if strategy == "append":
        said = said.replace("1 of 1", "1 of 3")
    if keeper == "rule" and strategy in {"append", "scd2"}:
        said = "the warehouse said: "  # such statements do not go with rules
    assert (ended.status, shop.rows("t")) == (78 if "warehouse" in said else 65, before)
    assert said in ended.stderr


@pytest.mark.parametrize(
    ("event", "strategy", "word"),
    [
        ("UPDATE", "snapshot", "updated"),
        ("DELETE", "snapshot", "deleted"),
        ("DELETE", "snapshot without a key", "deleted"),
        ("UPDATE", "scd2", "updated"),
        ("UPDATE", "incremental", "updated"),
    ],
)
def test_changes_that_something_of_the_table_keeps_away_fail_the_load(
    shop: Shop, event: str, strategy: str, word: str
) -> None:
    first_load(shop, strategy)
    before = shop.rows("t")
    for statement in KEEPERS["trigger"]:
        query(shop.dsn, statement.format(event=event))
    shop.file("t.csv", "id,v\n2,c\n" if event == "UPDATE" else "id,v\n2,b\n")
    ended = shop.load()

    assert (ended.status, shop.rows("t")) == (65, before)
    assert f" rows were not {word} in " in ended.stderr


@pytest.mark.parametrize("strategy", ["snapshot", "append", "append without a key", "snapshot without a key"])
def test_rows_that_a_trigger_puts_into_tables_that_inherit_are_there(shop: Shop, strategy: str) -> None:
    first_load(shop, strategy)
    query(shop.dsn, "CREATE TABLE shop.late (CHECK (id > 2)) INHERITS (shop.t)")
    query(
        shop.dsn,
        "CREATE FUNCTION shop.f() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN INSERT INTO shop.late VALUES (new.*); RETURN NULL; END'",
    )
    query(shop.dsn, KEEPERS["trigger"][1].format(event="INSERT"))
    shop.file("t.csv", "id,v\n1,a\n2,b\n3,c\n" if "append" not in strategy else "id,v\n3,c\n")
    ended = shop.load()

    assert (ended.status, shop.rows("t")) == (0, [(1, "a"), (2, "b"), (3, "c")]), ended.stderr


ROLE = (
    "DO $$ BEGIN IF to_regrole('loader') IS NULL THEN CREATE ROLE loader; END IF; END $$;ALTER ROLE loader NOBYPASSRLS;"
)
LENT = (
    "GRANT USAGE, CREATE ON SCHEMA shop, shop_staging, etl TO loader;"
    "GRANT ALL ON ALL TABLES IN SCHEMA shop, etl TO loader; GRANT ALL ON ALL SEQUENCES IN SCHEMA etl TO loader;"
)
SECURED = "ALTER TABLE shop.t ENABLE ROW LEVEL SECURITY; CREATE POLICY one ON shop.t USING (id = 1) WITH CHECK (true);"
OWNED = "ALTER TABLE shop.t OWNER TO loader, FORCE ROW LEVEL SECURITY;"


@pytest.mark.parametrize(
    ("strategy", "owner"), [*((strategy, "another") for strategy in STRATEGIES), ("snapshot", "the role itself")]
)
def test_a_target_that_hides_rows_from_us_is_refused(shop: Shop, strategy: str, owner: str) -> None:
    first_load(shop, strategy)
    before = shop.rows("t")
    query(shop.dsn, ROLE + LENT + SECURED + (OWNED if owner != "another" else ""))
    shop.file("t.csv", "id,v\n1,a\n2,b\n3,c\n")
    ended = shop.load(PGOPTIONS="-c role=loader")
    explained = shop.load(0, "--explain", PGOPTIONS="-c role=loader")
    compared = shop.run("final", PGOPTIONS="-c role=loader")

    assert (ended.status, explained.status, compared.status, shop.rows("t")) == (78, 78, 78, before), ended.stdout
    for said in (ended.stderr, explained.stderr, compared.stderr):
        assert 'row level security of "shop"."t" applies to the role loader, which would not see all its' in said


@pytest.mark.parametrize("owner", ["another", "the role itself"])
@pytest.mark.parametrize("cure", [0, 1, 2])
def test_every_cure_for_hidden_rows_can_be_run(shop: Shop, owner: str, cure: int) -> None:
    first_load(shop, "snapshot")
    query(shop.dsn, ROLE + LENT + SECURED + (OWNED if owner != "another" else ""))
    shop.file("t.csv", "id,v\n2,b\n3,c\n")
    refused = shop.load(PGOPTIONS="-c role=loader")
    statements = re.findall(r"(?:ALTER|CREATE) [^;]+;", refused.stderr)
    query(shop.dsn, statements[cure])
    ended = shop.load(PGOPTIONS="-c role=loader")

    assert (refused.status, len(statements)) == (78, 3), refused.stderr
    assert (ended.status, shop.rows("t")) == (0, [(2, "b"), (3, "c")]), ended.stderr


def test_a_policy_that_restricts_is_not_outweighed_by_one_that_allows_everything(shop: Shop) -> None:
    first_load(shop, "snapshot")
    query(shop.dsn, ROLE + LENT + SECURED + "CREATE POLICY every ON shop.t TO loader USING (true);")
    allowed = shop.load(0, "--full-refresh", PGOPTIONS="-c role=loader")
    query(shop.dsn, "CREATE POLICY late ON shop.t AS RESTRICTIVE FOR UPDATE USING (id > 1)")
    refused = shop.load(0, "--full-refresh", PGOPTIONS="-c role=loader")

    assert (allowed.status, refused.status) == (0, 78), allowed.stderr
