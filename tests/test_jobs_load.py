"""Loading one table: what ends up in the target, and what is told about it."""

# ruff: noqa: F401, F811
from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path

import pytest

from tests.support.jobs import Shop, holding, query, start_job, wait_for
from tests.support.servers import database, warehouse

GOODS = {"id": "integer", "name": "text", "price": "numeric(8,2)"}


@pytest.fixture
def shop(tmp_path: Path, database: str) -> Shop:
    return Shop(tmp_path, database)


def counts(ended: object) -> tuple[int, ...]:
    metrics = ended.metrics  # type: ignore[attr-defined]
    return tuple(metrics[name] for name in ("rows", "inserted", "updated", "deleted"))


def test_a_snapshot_follows_its_source_and_spares_equal_rows(shop: Shop) -> None:
    shop.table("goods", GOODS, 'key = ["id"]\nmax_delete = 1')
    shop.file("goods.csv", "id,name,price\n1,pump,10.50\n2,valve,\n3,seal,1\n")
    first = shop.load()
    again = shop.load()
    shop.file("goods.csv", "price,id,name\n10.5,1,pump\n2,2,valve\n7,4,hose\n")
    changed = shop.load()

    assert counts(first) == (3, 3, 0, 0)
    assert counts(again) == (3, 0, 0, 0)
    assert counts(changed) == (3, 1, 1, 1)
    assert shop.rows("goods") == [(1, "pump", Decimal("10.50")), (2, "valve", Decimal(2)), (4, "hose", Decimal(7))]


def test_text_arrives_as_the_csv_rules_say(shop: Shop) -> None:
    shop.table("odd", {"a b": "text", "Ünïcode.x": "text", "n": "integer"}, 'key = ["n"]')
    text = '\ufeffa b,Ünïcode.x,n\r\n"say ""hi"", he said",日本,1\r\n"two\nlines",,2\r\n"",\\N,3\r\n'
    shop.file("odd.csv", text)

    assert shop.load().status == 0
    assert sorted(shop.rows("odd"), key=lambda row: row[2]) == [
        ('say "hi", he said', "日本", 1),
        ("two\nlines", None, 2),
        ("", "\\N", 3),
    ]


def test_the_dialect_of_the_catalogue_is_used(shop: Shop) -> None:
    shop.source = 'csv = { delimiter = ";", quote = "\'", null = "NULL", encoding = "LATIN1" }'
    shop.table("goods", GOODS, 'key = ["id"]')
    shop.file("goods.csv", "id;name;price\n1;'é;''x';NULL\n".encode("latin-1"))

    assert shop.load().status == 0
    assert shop.rows("goods") == [(1, "é;'x", None)]


def test_the_target_has_the_declared_types_key_and_comment(shop: Shop) -> None:
    shop.table("goods", GOODS, 'key = ["id"]\nrequired = ["name"]\ncomment = "What we sell"')
    shop.file("goods.csv", "id,name,price\n")
    assert shop.load().status == 0

    columns = query(
        shop.dsn,
        "SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute"
        " WHERE attrelid = 'shop.goods'::regclass AND attnum > 0",
    )
    assert columns == [("id", "integer", True), ("name", "text", True), ("price", "numeric(8,2)", False)]
    assert query(shop.dsn, "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'p'"
                 " AND conrelid = 'shop.goods'::regclass") == [("PRIMARY KEY (id)",)]  # fmt: skip
    assert query(shop.dsn, "SELECT obj_description('shop.goods'::regclass)") == [("What we sell",)]


def test_repeated_keys_are_kept_and_counted_where_the_catalogue_says_report(shop: Shop) -> None:
    shop.table("prizes", {"who": "text", "what": "text"}, 'key = ["who"]\nduplicates = "report"\nmax_delete = 1')
    shop.file("prizes.csv", "who,what\nann,cup\nann,cup\nann,\nann,\nbob,medal\n")
    first = shop.load()
    again = shop.load()
    shop.file("prizes.csv", "who,what\nann,cup\nann,\nann,\nann,\n")
    fewer = shop.load()

    assert counts(first) == (5, 5, 0, 0)
    assert first.metrics["duplicates"] == 3
    assert counts(again) == (5, 0, 0, 0)
    assert counts(fewer) == (4, 1, 0, 2)
    assert sorted(shop.rows("prizes"), key=str) == [("ann", "cup"), ("ann", None), ("ann", None), ("ann", None)]


def test_a_child_loads_before_its_parent_because_it_asks_the_parents_source(shop: Shop) -> None:
    shop.table("child", {"id": "integer", "a": "integer", "b": "text"},
               'key = ["id"]\nreferences = [{ columns = ["a", "b"], table = "parent" , to = ["x", "y"] }]')  # fmt: skip
    shop.table("parent", {"y": "text", "x": "integer", "note": "date"}, 'key = ["x", "y"]')
    shop.file("child.csv", "id,a,b\n1,7,u\n2,,u\n3,9,\n")
    shop.file("parent.csv", "x,note,y\n7,not a date,u\n")

    assert shop.load(0).status == 0
    assert shop.rows("parent") == []


def test_orphans_are_counted_where_the_catalogue_says_report(shop: Shop) -> None:
    reference = '{ columns = ["boss"], table = "child", to = ["id"], orphans = "report" }'
    shop.table("child", {"id": "integer", "boss": "integer"}, f'key = ["id"]\nreferences = [{reference}]')
    shop.file("child.csv", "id,boss\n1,\n2,1\n3,99\n4,98\n")
    ended = shop.load()

    assert ended.metrics["orphans"] == 2
    assert len(shop.rows("child")) == 4


def test_a_slice_is_reloaded_and_the_rest_of_the_target_stays(shop: Shop) -> None:
    shop.table("due", {"id": "integer", "day": "date", "open": "integer"},
               'key = ["id"]\nstrategy = "slice"\nwhere = "day >= date \'2026-01-01\'"')  # fmt: skip
    shop.file("due.csv", "id,day,open\n1,2025-12-01,5\n2,2026-01-01,5\n3,2026-02-01,5\n")
    first = shop.load()
    query(shop.dsn, "INSERT INTO shop.due VALUES (10, '2024-01-01', 1), (11, '2024-01-01', 1)")
    shop.file("due.csv", "id,day,open\n2,2026-01-01,0\n4,2026-03-01,5\n11,2026-04-01,8\n")
    second = shop.load()
    third = shop.load()

    assert counts(first) == (2, 2, 0, 0)
    assert counts(second) == (3, 1, 2, 1)
    assert counts(third) == (3, 0, 0, 0)
    assert [(row[0], row[2]) for row in shop.rows("due")] == [(2, 0), (4, 5), (10, 1), (11, 8)]


def test_an_increment_starts_at_the_watermark_less_the_lag(shop: Shop) -> None:
    shop.table("moves", {"id": "integer", "at": "timestamptz", "n": "integer"},
               'key = ["id"]\nstrategy = "incremental"\nwatermark = "at"\nlag = "1 hour"')  # fmt: skip
    shop.file("moves.csv", "id,at,n\n1,2026-01-01 10:00Z,1\n2,2026-01-01 12:00Z,1\n")
    first = shop.load()
    shop.file(
        "moves.csv",
        "id,at,n\n1,2026-01-01 10:00Z,7\n2,2026-01-01 12:00Z,7\n3,2026-01-01 11:30Z,7\n4,2026-01-02 00:00Z,7\n",
    )
    second = shop.load()
    again = shop.load()

    assert counts(first) == (2, 2, 0, 0)
    assert counts(second) == (3, 2, 1, 0)
    assert counts(again) == (1, 0, 0, 0)
    assert [(row[0], row[2]) for row in shop.rows("moves")] == [(1, 1), (2, 7), (3, 7), (4, 7)]
    [(value,)] = query(shop.dsn, "SELECT value::timestamptz FROM etl.watermark WHERE target = 'shop.moves'")
    assert value == dt.datetime(2026, 1, 2, tzinfo=dt.UTC)


def test_an_increment_by_number_takes_a_number_as_lag(shop: Shop) -> None:
    shop.table("moves", {"id": "integer"}, 'key = ["id"]\nstrategy = "incremental"\nwatermark = "id"\nlag = 2')
    shop.file("moves.csv", "id\n" + "\n".join(map(str, range(10))) + "\n")
    shop.load()
    query(shop.dsn, "DELETE FROM shop.moves")

    assert counts(shop.load()) == (3, 3, 0, 0)
    assert query(shop.dsn, "SELECT array_agg(id ORDER BY id) FROM shop.moves") == [([7, 8, 9],)]


def test_a_watermark_never_goes_back(shop: Shop) -> None:
    shop.table("moves", {"id": "integer"}, 'key = ["id"]\nstrategy = "incremental"\nwatermark = "id"\nlag = 5')
    shop.file("moves.csv", "id\n9\n10\n")
    shop.load()
    shop.file("moves.csv", "id\n7\n9\n")
    shop.load()

    assert query(shop.dsn, "SELECT value FROM etl.watermark") == [("10",)]


def test_a_dropped_incremental_target_is_read_from_the_beginning(shop: Shop) -> None:
    shop.table("moves", {"id": "integer"}, 'key = ["id"]\nstrategy = "incremental"\nwatermark = "id"')
    shop.file("moves.csv", "id\n1\n2\n3\n")
    shop.load()
    query(shop.dsn, "DROP TABLE shop.moves")

    assert counts(shop.load()) == (3, 3, 0, 0)


def test_a_load_record_goes_with_the_rows(shop: Shop) -> None:
    shop.table("goods", GOODS, 'key = ["id"]')
    shop.file("goods.csv", "id,name,price\n1,pump,10.50\n")
    shop.load(ETL_RUN_ID="4", ETL_JOB="table-0", ETL_ATTEMPT="2")

    assert query(
        shop.dsn, "SELECT run, job, attempt, target, strategy, rows_in, inserted, held_rows FROM etl.load"
    ) == [(4, "table-0", 2, "shop.goods", "snapshot", 1, 1, 1)]


def test_a_retry_after_a_lost_acknowledgement_tells_the_recorded_counts(shop: Shop) -> None:
    shop.table("goods", GOODS, 'key = ["id"]')
    shop.file("goods.csv", "id,name,price\n1,pump,10.50\n")
    run = {"ETL_RUN_ID": "4", "ETL_JOB": "table-0"}
    shop.load(**run, ETL_ATTEMPT="1")
    retried = shop.load(**run, ETL_ATTEMPT="2")

    assert counts(retried) == (1, 1, 0, 0)
    assert retried.metrics["recorded"] is True


def test_a_new_run_with_an_old_number_loads_again(shop: Shop) -> None:
    shop.table("goods", GOODS, 'key = ["id"]')
    shop.file("goods.csv", "id,name,price\n1,pump,10.50\n")
    run = {"ETL_RUN_ID": "4", "ETL_JOB": "table-0"}
    shop.load(**run, ETL_ATTEMPT="1")
    query(shop.dsn, "DELETE FROM shop.goods")
    shop.load(**run, ETL_ATTEMPT="1")

    assert len(shop.rows("goods")) == 1


def test_a_retry_whose_source_has_changed_loads_again(shop: Shop) -> None:
    shop.table("goods", GOODS, 'key = ["id"]')
    shop.file("goods.csv", "id,name,price\n1,pump,10.50\n")
    run = {"ETL_RUN_ID": "4", "ETL_JOB": "table-0"}
    shop.load(**run, ETL_ATTEMPT="1")
    shop.file("goods.csv", "id,name,price\n1,pump,10.50\n2,valve,1\n")

    assert counts(shop.load(**run, ETL_ATTEMPT="2")) == (2, 1, 0, 0)


def test_two_loads_of_one_table_take_turns(shop: Shop) -> None:
    shop.table("goods", GOODS, 'key = ["id"]')
    shop.file("goods.csv", "id,name,price\n" + "\n".join(f"{n},x,1" for n in range(2000)) + "\n")
    jobs = [start_job(shop.dsn, "table", "--id", 0, "--catalogue", shop.catalogue) for _ in range(4)]
    said = [job.communicate(timeout=60) for job in jobs]

    assert [job.returncode for job in jobs] == [0] * 4, said
    assert sorted("2,000 inserted" in out for out, _ in said) == [False, False, False, True]


def test_a_target_that_stays_busy_is_another_attempts_matter(shop: Shop) -> None:
    shop.table("goods", GOODS, 'key = ["id"]')
    shop.file("goods.csv", "id,name,price\n1,pump,1\n")
    with holding(shop.dsn, "SET application_name = 'somebody'") as other:
        other.execute("SELECT pg_advisory_lock(7314002, hashtext('shop.goods'))")
        ended = shop.load(0, "--wait", "0.2")

    assert ended.status == 75
    assert "shop.goods is being loaded by somebody (server pid" in ended.stderr


def test_tables_that_start_together_on_a_bare_database_all_make_it(shop: Shop) -> None:
    for number in range(6):
        shop.table(f"t{number}", {"id": "integer"}, 'key = ["id"]')
        shop.file(f"t{number}.csv", "id\n1\n")
    jobs = [start_job(shop.dsn, "table", "--id", n, "--catalogue", shop.catalogue) for n in range(6)]
    said = [job.communicate(timeout=60) for job in jobs]

    assert [job.returncode for job in jobs] == [0] * 6, said


def test_readers_see_the_old_rows_until_the_new_ones_are_there(shop: Shop) -> None:
    shop.table("goods", GOODS, 'key = ["id"]\nmax_delete = 1')
    shop.file("goods.csv", "id,name,price\n1,pump,1\n")
    shop.load()
    shop.file("goods.csv", "id,name,price\n2,valve,1\n")
    with holding(shop.dsn, "LOCK TABLE shop.goods IN SHARE MODE"):
        job = start_job(shop.dsn, "table", "--id", 0, "--catalogue", shop.catalogue)
        waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        wait_for(lambda: query(shop.dsn, waiting))
        seen = shop.rows("goods")
    job.communicate(timeout=60)

    assert [row[0] for row in seen] == [1]
    assert [row[0] for row in shop.rows("goods")] == [2]


@pytest.mark.parametrize(
    "strategy", ["snapshot", 'slice"\nwhere = "id > 0', 'incremental"\nwatermark = "id"\nlag = 9#']
)
def test_values_that_change_places_need_a_constraint_that_waits(shop: Shop, strategy: str) -> None:
    shop.table("goods", {"id": "integer", "place": "integer"}, f'key = ["id"]\nstrategy = "{strategy}"')
    shop.file("goods.csv", "id,place\n1,1\n2,2\n")
    shop.load()
    query(shop.dsn, "ALTER TABLE shop.goods ADD CONSTRAINT once UNIQUE (place)")
    shop.file("goods.csv", "id,place\n1,2\n2,1\n")
    refused = shop.load()
    query(shop.dsn, "ALTER TABLE shop.goods DROP CONSTRAINT once, ADD UNIQUE (place) DEFERRABLE")
    done = shop.load()

    assert (refused.status, done.status) == (65, 0)
    assert "if values change places between rows, it has to be DEFERRABLE" in refused.stderr
    assert shop.rows("goods") == [(1, 2), (2, 1)]


@pytest.mark.parametrize("variable", ["ETL_RUN_ID", "ETL_ATTEMPT"])
@pytest.mark.parametrize("value", ["abc", "-1", "1.5", "²", "99999999999999999999"])
def test_a_run_that_is_no_number_is_configuration(shop: Shop, variable: str, value: str) -> None:
    shop.table("goods", GOODS, 'key = ["id"]')
    shop.file("goods.csv", "id,name,price\n1,a,1\n")
    ended = shop.load(**{variable: value})

    assert ended.status == 78
    assert ended.stderr.startswith(f"error: the environment variable {variable} is {value!r}, not a number from 1 on\n")


def test_a_key_that_may_be_broken_for_a_moment_is_a_matter_for_a_person(shop: Shop) -> None:
    shop.table("goods", GOODS, 'key = ["id"]\nstrategy = "append"')
    shop.file("goods.csv", "id,name,price\n1,a,1\n")
    shop.load()
    query(shop.dsn, "ALTER TABLE shop.goods DROP CONSTRAINT goods_pkey, ADD PRIMARY KEY (id) DEFERRABLE")
    shop.file("goods.csv", "id,name,price\n1,a,1\n2,b,2\n")
    ended = shop.load()

    assert (ended.status, "DEFERRABLE" in ended.stderr) == (78, True)
