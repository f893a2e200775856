"""The three ways to bring a target up to date, against a model in Python over random tables."""

# ruff: noqa: F401, F811
from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from etl_jobs.changes import Change, Changed, make_equal, replace_rows, upsert
from tests.support.servers import database, warehouse

STAGING, TARGET = sql.Identifier("staging"), sql.Identifier("target")
Row = tuple[int, str | None, int | None]


@pytest.fixture
def session(database: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with psycopg.connect(database, autocommit=True) as session:
        yield session


def fill(session: psycopg.Connection, table: str, rows: list[Row], *, key: bool) -> None:
    session.execute(f"DROP TABLE IF EXISTS {table}")
    session.execute(f"CREATE TABLE {table} (id integer {'PRIMARY KEY' if key else ''}, name text, n integer)")
    with session.cursor().copy(f"COPY {table} FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def held(session: psycopg.Connection) -> list[Row]:
    return sorted(session.execute("SELECT * FROM target").fetchall(), key=str)


def keyed(chance: random.Random) -> list[Row]:
    return [
        (id_, chance.choice(["a", "b", None]), chance.choice([1, 2, None]))
        for id_ in range(12)
        if chance.random() < 0.7
    ]


def expected(old: list[Row], new: list[Row], *, delete: bool = True) -> Changed:
    before, after = ({row[0]: row for row in rows} for rows in (old, new))
    return Changed(
        inserted=len(after.keys() - before.keys()),
        updated=sum(before[id_] != after[id_] for id_ in before.keys() & after.keys()),
        deleted=len(before.keys() - after.keys()) if delete else 0,
    )


def test_a_keyed_target_becomes_equal_to_staging(session: psycopg.Connection) -> None:
    change = Change(staging=STAGING, target=TARGET, columns=("id", "name", "n"), key=("id",))
    for seed in range(25):
        chance = random.Random(seed)
        old, new = keyed(chance), keyed(chance)
        fill(session, "target", old, key=True)
        fill(session, "staging", new, key=False)
        with session.transaction():
            changed = make_equal(session, change)

        assert held(session) == sorted(new, key=str)
        assert changed == expected(old, new)


def test_an_upsert_deletes_nothing(session: psycopg.Connection) -> None:
    change = Change(staging=STAGING, target=TARGET, columns=("n", "id", "name"), key=("id",))
    for seed in range(15):
        chance = random.Random(seed)
        old, new = keyed(chance), keyed(chance)
        fill(session, "target", old, key=True)
        fill(session, "staging", new, key=False)
        with session.transaction():
            changed = upsert(session, change)

        assert held(session) == sorted(({r[0]: r for r in old} | {r[0]: r for r in new}).values(), key=str)
        assert changed == expected(old, new, delete=False)


def test_repeated_rows_become_as_many_as_in_staging(session: psycopg.Connection) -> None:
    change = Change(staging=STAGING, target=TARGET, columns=("id", "name", "n"), key=())
    for seed in range(25):
        chance = random.Random(seed)
        kinds: list[Row] = [(1, "a", None), (1, None, None), (2, "b", 3), (2, "b", 4)]
        old, new = (chance.choices(kinds, k=chance.randrange(12)) for _ in range(2))
        fill(session, "target", old, key=False)
        fill(session, "staging", new, key=False)
        with session.transaction():
            changed = replace_rows(session, change)

        assert held(session) == sorted(new, key=str)
        assert changed == Changed(
            inserted=(Counter(new) - Counter(old)).total(), deleted=(Counter(old) - Counter(new)).total()
        )


def test_only_a_part_of_the_target_is_replaced(session: psycopg.Connection) -> None:
    change = Change(staging=STAGING, target=TARGET, columns=("id", "name", "n"), key=("id",))
    for seed in range(25):
        chance = random.Random(seed)
        old, new = keyed(chance), [row for row in keyed(chance) if row[2] == 1]
        fill(session, "target", old, key=True)
        fill(session, "staging", new, key=False)
        with session.transaction():
            changed = make_equal(session, change, part=sql.SQL("((n = 1) IS TRUE)"))

        back = {row[0] for row in new}
        kept = [row for row in old if row[2] != 1 and row[0] not in back]
        assert held(session) == sorted([*kept, *new], key=str)
        touched = [row for row in old if row[2] == 1 or row[0] in back]
        assert changed == expected(touched, new)


def test_a_table_of_nothing_but_its_key_can_be_changed(session: psycopg.Connection) -> None:
    session.execute("CREATE TABLE target (id integer PRIMARY KEY)")
    session.execute("CREATE TABLE staging (id integer)")
    session.execute("INSERT INTO target VALUES (1), (2)")
    session.execute("INSERT INTO staging VALUES (2), (3)")
    change = Change(staging=STAGING, target=TARGET, columns=("id",), key=("id",))
    with session.transaction():
        added = upsert(session, change)
    session.execute("DELETE FROM target WHERE id = 3")
    with session.transaction():
        merged = make_equal(session, change)

    assert (added, merged) == (Changed(inserted=1), Changed(inserted=1, deleted=1))
