"""The three ways to bring a target up to date, against a model in Python over random tables."""

# ruff: noqa: F401, F811
from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg import sql

from etl_jobs.changes import Change, Changed, make_equal, upsert
from etl_jobs.errors import UnavailableError
from etl_jobs.repeating import replace_rows
from tests.support.servers import database, warehouse

STAGING, TARGET = sql.Identifier("staging"), sql.Identifier("target")
KINDS = {"id": "integer", "name": "text", "n": "integer"}
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
    change = Change(staging=STAGING, target=TARGET, columns=KINDS, key=("id",))
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
    change = Change(staging=STAGING, target=TARGET, columns={c: KINDS[c] for c in ("n", "id", "name")}, key=("id",))
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
    change = Change(staging=STAGING, target=TARGET, columns=KINDS, key=())
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
    change = Change(staging=STAGING, target=TARGET, columns=KINDS, key=("id",))
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
    change = Change(staging=STAGING, target=TARGET, columns={"id": "integer"}, key=("id",))
    with session.transaction():
        added = upsert(session, change)
    session.execute("DELETE FROM target WHERE id = 3")
    with session.transaction():
        merged = make_equal(session, change)

    assert (added, merged) == (Changed(inserted=1), Changed(inserted=1, deleted=1))


def test_equal_rows_of_several_partitions_lie_at_equal_places(session: psycopg.Connection) -> None:
    session.execute("CREATE TABLE target (id integer, name text, n integer) PARTITION BY LIST (n)")
    for n in (1, 2):
        session.execute(f"CREATE TABLE part_{n} PARTITION OF target FOR VALUES IN ({n})")
    session.execute("INSERT INTO target SELECT id, 'a', n FROM generate_series(1, 3) AS id, (VALUES (1), (2)) AS v (n)")
    session.execute("CREATE TABLE staging AS SELECT * FROM target WHERE n = 1 AND id > 1 OR n = 2")
    with session.transaction():
        changed = replace_rows(session, Change(staging=STAGING, target=TARGET, columns=KINDS, key=()))

    assert changed == Changed(deleted=1)
    assert held(session) == [(1, "a", 2), (2, "a", 1), (2, "a", 2), (3, "a", 1), (3, "a", 2)]


@pytest.mark.parametrize("change_target", [make_equal, upsert])
@pytest.mark.parametrize("meanwhile", ["INSERT INTO target VALUES (2, 'theirs')", "DELETE FROM target WHERE id = 1"])
def test_a_row_that_somebody_else_adds_or_removes_meanwhile_is_another_attempts_matter(
    session: psycopg.Connection, database: str, change_target: Callable[..., Changed], meanwhile: str
) -> None:
    session.execute("CREATE TABLE target (id integer PRIMARY KEY, name text)")
    session.execute("INSERT INTO target VALUES (1, 'old')")
    session.execute("CREATE TABLE staging AS VALUES (1, 'new'), (2, 'new')")
    session.execute("ALTER TABLE staging RENAME column1 TO id")
    session.execute("ALTER TABLE staging RENAME column2 TO name")
    change = Change(staging=STAGING, target=TARGET, columns={"id": "integer", "name": "text"}, key=("id",))
    with (
        psycopg.connect(database) as other,
        ThreadPoolExecutor(1) as beside,
        pytest.raises(UnavailableError, match="somebody else"),
        session.transaction(),
    ):
        other.execute(meanwhile)
        session.execute("SET LOCAL application_name = 'changing'")
        waiting = beside.submit(commit_when_waited_for, other)
        change_target(session, change)
    waiting.result()

    left = session.execute("SELECT * FROM target ORDER BY 1").fetchall()
    assert left == ([] if meanwhile.startswith("DELETE") else [(1, "old"), (2, "theirs")])


def commit_when_waited_for(other: psycopg.Connection) -> None:
    deadline = time.monotonic() + 20
    pid = other.info.backend_pid
    while time.monotonic() < deadline:
        row = other.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))", [pid]
        ).fetchone()
        if row and row[0]:
            break
        other.execute("SELECT pg_stat_clear_snapshot()")
    other.commit()
