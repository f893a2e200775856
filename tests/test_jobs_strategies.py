"""Strategies that only grow or remember, loads from the beginning, and loads that are not needed."""

# ruff: noqa: F401, F811
from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.jobs import Shop, query
from tests.support.servers import database, warehouse

GOODS = {"id": "integer", "name": "text"}
HEAD = "id,name\n"


@pytest.fixture
def shop(tmp_path: Path, database: str) -> Shop:
    return Shop(tmp_path, database)


def counts(ended: object) -> tuple[int, ...]:
    metrics = ended.metrics  # type: ignore[attr-defined]
    return tuple(metrics[name] for name in ("rows", "inserted", "updated", "deleted"))


def loaded(shop: Shop, lines: str, *arguments: object) -> tuple[int, ...]:
    shop.file("goods.csv", HEAD + "".join(f"{line}\n" for line in lines.split()))
    ended = shop.load(0, *arguments)
    assert ended.status == 0, ended.stderr
    return counts(ended)


def test_a_missing_target_appears_with_its_rows_or_not_at_all(shop: Shop) -> None:
    shop.table("goods", GOODS, 'key = ["id"]')
    shop.file("goods.csv", HEAD + "1,a\n1,b\n")

    assert shop.load().status == 65
    assert query(shop.dsn, "SELECT to_regclass('shop.goods')") == [(None,)]


def test_appending_adds_what_has_a_new_key_and_changes_nothing(shop: Shop) -> None:
    shop.table("goods", GOODS, 'key = ["id"]\nstrategy = "append"')

    assert loaded(shop, "1,a 2,b") == (2, 2, 0, 0)
    assert loaded(shop, "1,a 2,b") == (2, 0, 0, 0)
    assert loaded(shop, "2,other 3,c") == (2, 1, 0, 0)
    assert shop.rows("goods") == [(1, "a"), (2, "b"), (3, "c")]
    assert shop.run("final").status == 0


def test_appending_without_a_key_adds_a_batch_once_whatever_its_order(shop: Shop) -> None:
    shop.table("goods", GOODS, 'strategy = "append"')

    assert loaded(shop, "1,a 1,a") == (2, 2, 0, 0)
    assert loaded(shop, "2,b 3,c") == (2, 2, 0, 0)
    assert loaded(shop, "3,c 2,b") == (2, 0, 0, 0)
    assert loaded(shop, "1,a") == (1, 1, 0, 0)
    assert shop.rows("goods") == [(1, "a"), (1, "a"), (1, "a"), (2, "b"), (3, "c")]
    assert shop.run("final").status == 0


def test_a_batch_is_the_same_in_whatever_order_its_columns_are_and_whatever_its_numbers_are_called(shop: Shop) -> None:
    shop.table("goods", {**GOODS, "n": "integer", "at": "json"}, 'strategy = "append"')
    shop.file("goods.csv", "id,name,n,at\n1,a,5,{}\n2,b,,\n")
    counted = [counts(shop.load())]
    shop.tables.clear()
    shop.table("goods", {"at": "json", "n": "integer", "name": "text", "id": "integer"}, 'strategy = "append"')
    counted.append(counts(shop.load()))
    query(shop.dsn, "ALTER TABLE shop.goods ALTER id TYPE bigint, ALTER n TYPE numeric(9,2), ALTER name TYPE varchar")
    shop.tables.clear()
    shop.table("goods", {"name": "varchar", "at": "json", "id": "int8", "n": "numeric(9,2)"}, 'strategy = "append"')
    shop.file("goods.csv", "n,name,at,id\n,b,,2\n5.0,a,{},1\n")
    counted.append(counts(shop.load()))
    shop.file("goods.csv", "n,name,at,id\n,b,,2\n5.01,a,{},1\n")
    counted.append(counts(shop.load()))

    assert counted == [(2, 2, 0, 0), (2, 0, 0, 0), (2, 0, 0, 0), (2, 2, 0, 0)]
    assert shop.run("final").status == 0


def test_appending_files_without_a_key_adds_each_of_them_once(shop: Shop) -> None:
    columns = GOODS | {"file": "text"}
    shop.table("goods", columns, 'strategy = "append"\nfile = "goods-*.csv"\nsource = { file_column = "file" }')
    shop.file("goods-1.csv", HEAD + "1,a\n1,a\n")
    assert counts(shop.load()) == (2, 2, 0, 0)
    shop.file("goods-2.csv", HEAD + "1,a\n")
    assert counts(shop.load()) == (3, 1, 0, 0)
    (shop.folder / "goods-1.csv").unlink()
    shop.file("goods-3.csv", HEAD + "3,c\n")
    assert counts(shop.load()) == (2, 1, 0, 0)
    assert counts(shop.load()) == (2, 0, 0, 0)
    assert [row[0] for row in shop.rows("goods")] == [1, 1, 1, 3]
    assert shop.run("final").status == 0

    assert counts(shop.load(0, "--full-refresh"))[0] == 2
    assert counts(shop.load()) == (2, 0, 0, 0)
    assert [row[0] for row in shop.rows("goods")] == [1, 3]


def test_appending_files_that_nobody_tells_apart_is_refused(shop: Shop) -> None:
    shop.table("goods", GOODS, 'strategy = "append"\nfile = "goods-*.csv"')
    shop.file("goods-1.csv", HEAD + "1,a\n")
    assert counts(shop.load()) == (1, 1, 0, 0)
    shop.file("goods-2.csv", HEAD + "2,b\n")

    for more in ((), ("--explain",)):
        refused = shop.load(0, *more)
        assert refused.status == 78
        assert "append without a key reads one file, here are 2: goods-1.csv, goods-2.csv" in refused.stderr
        assert "file_column" in refused.stderr
    assert shop.rows("goods") == [(1, "a")]


def test_files_that_are_told_apart_only_now_are_not_added_once_more(shop: Shop) -> None:
    shop.table("goods", GOODS, 'strategy = "append"\nfile = "goods-*.csv"\nmax_delete = 1')
    shop.file("goods-1.csv", HEAD + "1,a\n")
    assert counts(shop.load()) == (1, 1, 0, 0)
    shop.file("goods-2.csv", HEAD + "2,b\n")
    shop.redeclare(0, '"name" = "text"', '"name" = "text", "file" = "text"')
    shop.redeclare(0, 'strategy = "append"', 'strategy = "append"\nsource = { file_column = "file" }')
    query(shop.dsn, 'ALTER TABLE shop.goods ADD COLUMN "file" text')

    refused = shop.load()
    assert refused.status == 78
    assert "did not say which files they were" in refused.stderr
    assert counts(shop.load(0, "--full-refresh"))[0] == 2
    assert counts(shop.load()) == (2, 0, 0, 0)


def test_a_batch_is_what_was_copied_not_what_was_left_of_it(shop: Shop) -> None:
    """Whether a row is rejected may depend on other tables; the file stays the same."""
    shop.table("parent", {"id": "integer"}, 'key = ["id"]')
    more = 'strategy = "append"\nrejects = { limit = 9 }\n'
    reference = 'references = [{ columns = ["parent"], table = "parent", to = ["id"] }]'
    shop.table("child", {"id": "integer", "parent": "integer"}, more + reference)
    shop.file("parent.csv", "id\n1\n")
    shop.file("child.csv", "id,parent\n1,1\n2,2\n")
    assert counts(shop.load(1)) == (1, 1, 0, 0)
    shop.file("parent.csv", "id\n1\n2\n")

    assert counts(shop.load(1)) == (2, 0, 0, 0)
    assert shop.rows("child") == [(1, 1)]


def test_files_that_go_away_do_not_change_what_the_others_were(shop: Shop) -> None:
    columns = {"file": "text", "id": "integer", "u": "integer"}
    more = 'source = { file_column = "file" }\nrejects = { limit = 9 }\nchecks = [{ unique = ["u"] }]'
    shop.table("goods", columns, f'strategy = "append"\nfile = "goods-*.csv"\n{more}')
    shop.file("goods-1.csv", "id,u\n1,1\n2,2\n")
    shop.file("goods-2.csv", "id,u\n3,3\n4,2\n")
    assert counts(shop.load())[1] == 3
    (shop.folder / "goods-1.csv").unlink()

    assert counts(shop.load())[1] == 0
    assert [row[1] for row in shop.rows("goods")] == [1, 2, 3]


def test_an_empty_first_file_does_not_keep_the_next_away(shop: Shop) -> None:
    columns = GOODS | {"file": "text"}
    shop.table("goods", columns, 'strategy = "append"\nfile = "goods-*.csv"\nsource = { file_column = "file" }')
    shop.file("goods-1.csv", HEAD)
    assert counts(shop.load()) == (0, 0, 0, 0)
    shop.file("goods-2.csv", HEAD + "2,b\n")
    assert counts(shop.load()) == (1, 1, 0, 0)


def test_a_dropped_table_takes_its_batches_again(shop: Shop) -> None:
    shop.table("goods", GOODS, 'strategy = "append"')
    loaded(shop, "1,a")
    query(shop.dsn, "DROP TABLE shop.goods")

    assert loaded(shop, "1,a") == (1, 1, 0, 0)


def test_appending_from_a_watermark_reads_only_what_is_new(shop: Shop) -> None:
    shop.table("goods", GOODS, 'key = ["id"]\nstrategy = "append"\nwatermark = "id"\nlag = 1')

    assert loaded(shop, "1,a 5,b") == (2, 2, 0, 0)
    assert loaded(shop, "1,a 2,late 4,late 5,b 6,c") == (3, 2, 0, 0)
    assert [row[0] for row in shop.rows("goods")] == [1, 4, 5, 6]


HISTORY = "SELECT id, name, is_current, valid_to IS NULL, valid_from < coalesce(valid_to, 'infinity') FROM shop.goods"


def test_a_history_keeps_every_version_and_is_idempotent(shop: Shop) -> None:
    shop.table("goods", GOODS, 'key = ["id"]\nstrategy = "scd2"\nmax_delete = 1')

    assert loaded(shop, "1,a 2,b 3,c") == (3, 3, 0, 0)
    assert loaded(shop, "1,a 2,b 3,c") == (3, 0, 0, 0)
    assert loaded(shop, "1,a 2,bb 4,") == (3, 1, 1, 1)
    assert loaded(shop, "1,a 2,bb 3,c 4,") == (4, 1, 0, 0)
    assert loaded(shop, "1,a 2,bb 3,c 4,") == (4, 0, 0, 0)
    assert query(shop.dsn, HISTORY + " ORDER BY id, valid_from") == [
        (1, "a", True, True, True),
        (2, "b", False, False, True),
        (2, "bb", True, True, True),
        (3, "c", False, False, True),
        (3, "c", True, True, True),
        (4, None, True, True, True),
    ]
    assert shop.run("final").status == 0
    assert shop.run("final", "--reread").status == 0


def test_versions_of_a_row_meet_without_gap_or_overlap(shop: Shop) -> None:
    shop.table("goods", GOODS, 'key = ["id"]\nstrategy = "scd2"')
    for name in "abc":
        loaded(shop, f"1,{name}")

    assert query(
        shop.dsn,
        "SELECT count(*), bool_and(valid_to IS NOT DISTINCT FROM next) FROM (SELECT valid_to,"
        " lead(valid_from) OVER (PARTITION BY id ORDER BY valid_from) AS next FROM shop.goods) AS v",
    ) == [(3, True)]


def test_a_history_goes_on_when_the_clock_went_back(shop: Shop) -> None:
    shop.table("goods", GOODS, 'key = ["id"]\nstrategy = "scd2"')
    loaded(shop, "1,a")
    query(shop.dsn, "UPDATE shop.goods SET valid_from = now() + interval '1 year'")
    loaded(shop, "1,b")

    assert query(shop.dsn, HISTORY + " ORDER BY valid_from") == [
        (1, "a", False, False, True),
        (1, "b", True, True, True),
    ]


def test_what_a_history_may_lose_is_measured_by_its_current_rows(shop: Shop) -> None:
    shop.table("goods", GOODS, 'key = ["id"]\nstrategy = "scd2"')
    for name in "abcdefgh":
        loaded(shop, f"1,{name} 2,{name}")
    shop.file("goods.csv", HEAD)

    assert "2 of 2 rows" in shop.load().stderr


@pytest.mark.parametrize(
    "settings",
    [
        'key = ["id"]\nstrategy = "incremental"\nwatermark = "id"',
        'key = ["id"]\nstrategy = "append"',
        'strategy = "append"',
        'key = ["id"]',
        'key = ["id"]\nstrategy = "slice"\nwhere = "id > 0"',
        'key = ["id"]\nstrategy = "replace"',
    ],
)
def test_a_full_refresh_makes_the_target_equal_to_the_source(shop: Shop, settings: str) -> None:
    shop.table("goods", GOODS, settings + "\nmax_delete = 1\nskip_unchanged = true")
    loaded(shop, "1,a 2,b 9,c")
    query(shop.dsn, "UPDATE shop.goods SET name = 'wrong'")
    again = loaded(shop, "1,a 3,c", "--full-refresh")
    stays = counts(shop.load(0, "--full-refresh"))
    after = loaded(shop, "1,a 3,c")

    assert again[0] == 2
    assert stays[1:] == after[1:] == ((2, 0, 2) if "replace" in settings else (0, 0, 0))
    assert shop.rows("goods") == [(1, "a"), (3, "c")]
    assert query(shop.dsn, "SELECT value FROM etl.watermark") == ([("3",)] if "watermark" in settings else [])


def says(shop: Shop, dialect: str) -> None:
    shop.source = dialect
    shop._write()


def test_an_unchanged_source_is_not_loaded_again(shop: Shop) -> None:
    shop.table("goods", GOODS, 'key = ["id"]\nskip_unchanged = true')
    loaded(shop, "1,a")
    second = shop.load(ETL_RUN_ID="8", ETL_JOB="table-0")
    loads = query(shop.dsn, "SELECT id FROM etl.load")
    shop.file("goods.csv", HEAD + "1,a\n2,b\n")
    changed = shop.load(ETL_RUN_ID="9", ETL_JOB="table-0")
    third = shop.load()

    assert (second.metrics["cached"], second.metrics["load"], counts(second)) == (True, 1, (1, 0, 0, 0))
    assert "goods: not loaded, the source is unchanged since the load of 20" in second.stdout
    assert "(table-0, load 1)" in second.stdout
    assert loads == [(1,)]
    assert ("cached" in changed.metrics, counts(changed)) == (False, (2, 1, 0, 0))
    assert "(run 9, table-0, load 2)" in third.stdout


@pytest.mark.parametrize(
    "change",
    [
        lambda shop: shop.redeclare(0, 'key = ["id"]', 'key = ["id"]\nrequired = ["name"]'),
        lambda shop: shop.file("makers.csv", "name\na\nb\n"),
        lambda shop: query(shop.dsn, "DROP TABLE shop.goods"),
        lambda shop: says(shop, '[source.csv]\nnull = "a"'),
        lambda shop: says(shop, '[source.csv]\nencoding = "LATIN1"'),
    ],
    ids=["another declaration", "a parent's source", "a dropped target", "another null", "another encoding"],
)
def test_what_else_changes_a_load_is_a_reason_to_load(shop: Shop, change: object) -> None:
    reference = '{ columns = ["name"], table = "makers", to = ["name"] }'
    shop.table("goods", GOODS, f'key = ["id"]\nskip_unchanged = true\nreferences = [{reference}]')
    shop.table("makers", {"name": "text"}, 'key = ["name"]')
    shop.file("makers.csv", "name\na\n")
    loaded(shop, "1,a")
    assert shop.load().metrics["cached"] is True
    change(shop)  # type: ignore[operator]

    assert "cached" not in shop.load().metrics


def test_a_fresh_table_is_not_loaded_until_it_is_old(shop: Shop) -> None:
    shop.table("goods", GOODS, 'key = ["id"]\nfresh_for = "6 hours"')
    loaded(shop, "1,a")
    shop.file("goods.csv", HEAD + "1,b\n")
    early = shop.load()
    final = shop.run("final")
    query(shop.dsn, "UPDATE etl.load SET finished = now() - interval '7 hours'")
    late = shop.load()

    assert early.metrics["cached"] is True
    assert "is fresh for 6 hours" in early.stdout
    assert final.status == 0, final.stderr
    assert counts(late) == (1, 0, 1, 0)


def test_a_time_that_is_none_is_configuration(shop: Shop) -> None:
    shop.table("goods", GOODS, 'key = ["id"]\nfresh_for = "soon"')
    shop.file("goods.csv", "id,name\n1,a\n")
    ended = shop.load()

    assert ended.status == 78
    assert "table 'goods': fresh_for: expected a span of time such as" in ended.stderr


@pytest.mark.parametrize(
    "older",
    [
        "DROP TABLE etl.batch; ALTER TABLE etl.load DROP COLUMN declared, DROP COLUMN rejected, DROP COLUMN warnings",
        "ALTER TABLE etl.load DROP COLUMN held_columns",
        'ALTER TABLE etl.load DROP COLUMN "interval"',
        "ALTER TABLE etl.load DROP COLUMN run_started, ADD UNIQUE (run, job, target)",
    ],
)
def test_load_records_of_an_older_version_get_what_is_new(shop: Shop, older: str) -> None:
    shop.table("goods", GOODS, 'key = ["id"]')
    loaded(shop, "1,a")
    query(shop.dsn, older)

    assert loaded(shop, "1,a") == (1, 0, 0, 0)


def test_a_history_of_many_changes_takes_no_time_that_grows_with_their_square(shop: Shop) -> None:
    shop.table("goods", GOODS, 'key = ["id"]\nstrategy = "scd2"')
    for name in "ab":
        shop.file("goods.csv", HEAD + "".join(f"{n},{name}\n" for n in range(40_000)))
        ended = shop.load(PGOPTIONS="-c statement_timeout=8s")
        assert ended.status == 0, ended.stderr

    assert counts(ended) == (40_000, 0, 40_000, 0)
