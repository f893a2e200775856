"""The quality gate: what a catalogue may ask of the rows, and what becomes of those that do not fulfil it."""

# ruff: noqa: E501, F401, F811
from __future__ import annotations

import re
from pathlib import Path

import pytest

from etl_jobs.catalogue import read_catalogue
from etl_jobs.errors import MisconfiguredError
from tests.support.jobs import Ended, Shop, query
from tests.support.servers import database, warehouse

COLUMNS = {"id": "integer", "state": "text", "amount": "numeric(10,2)", "at": "date", "teamID": "text"}
HEAD = "id,state,amount,at,teamID\n"
GOOD = HEAD + "1,draft,10,2099-01-01,a\n2,done,20,2099-01-02,b\n"


@pytest.fixture
def shop(tmp_path: Path, database: str) -> Shop:
    return Shop(tmp_path, database)


def loaded(shop: Shop, settings: str, text: str, *, key: str = 'key = ["id"]') -> Ended:
    shop.table("sales", COLUMNS, f"{key}\n{settings}")
    shop.file("sales.csv", text)
    return shop.load()


CHECKS = {
    "not null": ('{ column = "state", not_null = true }', "3,,,,\n", "column 'state': 1 empty: .*line 4$"),
    "unique": ('{ unique = ["state", "teamID"] }', "3,done,,,b\n4,done,,,\n5,done,,,\n",
               r"unique \(state, teamID\): 1 rows too many: .*line 3 \(done,b\); .*line 4 \(done,b\)$"),
    "accepted": ('{ column = "state", accepted = ["draft", "done"] }', "3,dnoe,,,\n4,,,,\n",
                 r"column 'state': 1 values are not accepted: .*line 4 \(dnoe\)$"),
    "accepted numbers": ('{ column = "id", accepted = [1, 2] }', "3,,,,\n", r"1 values are not accepted: .*line 4 \(3\)"),
    "range": ('{ column = "amount", min = 0, max = 100.5 }', "3,,-1,,\n4,,100.5,,\n5,,100.51,,\n",
              r"column 'amount': 2 values are below 0 or above 100.5: .*line 4 \(-1.00\); .*line 6 \(100.51\)"),
    "range of days": ('{ column = "at", min = "2020-01-01" }', "3,,,2019-12-31,\n",
                      r"column 'at': 1 values are below 2020-01-01: .*line 4 \(2019-12-31\)"),
    "fresh": ('{ column = "at", fresh = "2 days" }', None,
              r"column 'at': the newest value is older than 2 days: .*line 3 \(2001-01-02\)"),
    "expression": ('{ name = "paid", sql = "amount > 0 OR state <> \'done\'" }', "3,done,0,,\n4,,,,\n",
                   r"check 'paid': 1 rows fail: .*line 4 \(3\)"),
    "expression in braces": ('{ name = "{0}{n}", sql = "id < 3" }', "3,done,0,,\n", r"check '\{0\}\{n\}': 1 rows fail: .*line 4 \(3\)"),
    "braces that are accepted": ('{ column = "state", min = "a{n}" }', "3,a{m,0,,\n", r"1 values are below a\{n\}: .*line 4 \(a\{m\)"),
    "expression over a name of the parent": ('{ sql = "\\"teamID\\" < \'z\'" }', "3,,,,z\n", r"1 rows fail: .*line 4 \(3\)"),
}  # fmt: skip


@pytest.mark.parametrize("case", CHECKS)
def test_a_check_rejects_the_load_and_names_rows(shop: Shop, case: str, tmp_path: Path) -> None:
    check, more, said = CHECKS[case]
    shop.table("teams", {"teamID": "text"}, 'key = ["teamID"]')
    shop.file("teams.csv", "teamID\na\nb\nz\n")
    reference = '{ columns = ["teamID"], table = "teams" }'
    shop.table("sales", COLUMNS, f'key = ["id"]\nreferences = [{reference}]\nchecks = [{check}]')
    shop.file("sales.csv", GOOD)
    good = shop.load(1)
    shop.file("sales.csv", GOOD.replace("2099", "2001") if more is None else GOOD + more)
    bad = shop.load(1)

    assert good.status == 0, good.stderr
    assert bad.status == 65
    assert_matches(said, bad.stderr)
    assert len(shop.rows("sales")) == 2


def assert_matches(pattern: str, text: str) -> None:
    assert re.search(pattern, text, re.MULTILINE), text


@pytest.mark.parametrize("case", CHECKS)
def test_a_check_that_only_warns_lets_the_rows_in(shop: Shop, case: str) -> None:
    check, more, said = CHECKS[case]
    shop.table("teams", {"teamID": "text"}, 'key = ["teamID"]')
    text = GOOD.replace("2099", "2001") if more is None else GOOD + more
    warning = check.removesuffix("}") + ', severity = "warn" }'
    ended = loaded_second(shop, f"checks = [{warning}]", text)

    assert ended.status == 0, ended.stderr
    assert_matches("warning: .*sales.csv: .*" + said, ended.stdout)
    assert ended.metrics["warnings"] == 1
    assert query(shop.dsn, "SELECT warnings FROM etl.load") == [(1,)]
    assert len(shop.rows("sales")) == len(text.splitlines()) - 1


def loaded_second(shop: Shop, settings: str, text: str) -> Ended:
    shop.table("sales", COLUMNS, f'key = ["id"]\n{settings}')
    shop.file("sales.csv", text)
    return shop.load(1)


def test_a_number_of_rows_that_changes_too_much_is_refused(shop: Shop) -> None:
    first = loaded(shop, "checks = [{ row_change = 0.5 }]\nmax_delete = 1", GOOD)
    shop.file("sales.csv", GOOD + "3,,,,\n4,,,,\n")
    more = shop.load()
    shop.file("sales.csv", GOOD + "3,,,,\n")
    some = shop.load()

    assert (first.status, more.status, some.status) == (0, 65, 0)
    assert "4 rows, 2 in the last load, more change than row_change = 0.5 allows" in more.stderr


def test_after_a_load_of_nothing_any_number_of_rows_is_right(shop: Shop) -> None:
    statuses = [loaded(shop, "checks = [{ row_change = 0.5 }]\nmax_delete = 1", HEAD).status]
    for text in (GOOD, HEAD, GOOD):
        shop.file("sales.csv", text)
        statuses.append(shop.load().status)

    assert statuses == [0, 0, 65, 0]


def test_rows_since_a_watermark_are_no_measure_for_the_whole_table(shop: Shop) -> None:
    settings = 'strategy = "incremental"\nwatermark = "id"'
    assert loaded(shop, settings, GOOD).metrics["rows"] == 2
    assert shop.load().metrics["rows"] == 1
    shop.redeclare(0, settings, "checks = [{ row_change = 0.4 }]")
    ended = shop.load()

    assert (ended.status, ended.metrics["rows"]) == (0, 2), ended.stderr


def test_a_check_the_server_cannot_read_is_configuration(shop: Shop) -> None:
    ended = loaded(shop, 'checks = [{ sql = "amuont > 0" }]', GOOD)

    assert ended.status == 78
    assert "table 'sales': column \"amuont\" does not exist" in ended.stderr


REJECTS = "rejects = { limit = 4 }"
BAD = GOOD + "x3,done,1,2099-01-01,a\n4,dnoe,1,,a\n2,again,1,,a\n,,1,,a\n5,ok,1,,a\n"


def test_bad_rows_go_beside_the_table_with_their_reasons(shop: Shop) -> None:
    check = 'checks = [{ column = "state", accepted = ["draft", "done", "again", "ok"] }]'
    ended = loaded(shop, f"{REJECTS}\n{check}", BAD)
    again = shop.load()

    assert ended.status == 0, ended.stderr
    assert [row[0] for row in shop.rows("sales")] == [1, 2, 5]
    assert (ended.metrics["rows"], ended.metrics["rejected"], again.metrics["rejected"]) == (3, 4, 4)
    assert query(shop.dsn, "SELECT rejected FROM etl.load") == [(4,), (4,)]
    assert "4 rows rejected, see sales__rejects" in ended.stdout
    rejects = query(
        shop.dsn,
        "SELECT regexp_replace(place, '.*csv ', ''), reason, record->>'id', record->>'state' FROM shop.sales__rejects"
        " ORDER BY place",
    )
    assert rejects == [
        ("line 4", "column 'id': 'x3' is no integer", "x3", "done"),
        ("line 5", "column 'state' has a value that is not accepted", "4", "dnoe"),
        ("line 6", "key (id) is there already", "2", "again"),
        ("line 7", "column 'id' is empty", None, None),
    ]
    assert shop.run("final").status == 0
    assert shop.run("final", "--reread").status == 0


def test_rejected_rows_that_have_been_mended_leave_the_rejects(shop: Shop) -> None:
    loaded(shop, REJECTS, BAD)
    shop.file("sales.csv", GOOD)
    ended = shop.load()

    assert (ended.status, ended.metrics["rejected"]) == (0, 0)
    assert query(shop.dsn, "SELECT count(*) FROM shop.sales__rejects") == [(0,)]


@pytest.mark.parametrize("bad", ["{0},a,1,,\n", "{0},a,x,,\n"], ids=["key twice", "no number"])
def test_more_than_the_limit_reject_the_load(shop: Shop, bad: str) -> None:
    rows = "".join(bad.format(7) for _ in range(4))
    ended = loaded(shop, "rejects = { limit = 2 }", GOOD + rows)

    assert ended.status == 65
    assert "limit of rejects" in ended.stderr or "more than 2 rows are rejected: " in ended.stderr
    assert "sales.csv line" in ended.stderr
    assert shop.rows("sales") == []


def test_a_row_without_a_parent_is_rejected_and_so_are_its_children(shop: Shop) -> None:
    shop.table("tree", {"id": "integer", "up": "integer"},
               'key = ["id"]\nreferences = [{ columns = ["up"], table = "tree", to = ["id"] }]\nrejects = { limit = 9 }')  # fmt: skip
    shop.file("tree.csv", "id,up\n1,\n2,9\n3,2\n4,3\n5,1\n")
    ended = shop.load()

    assert ended.status == 0, ended.stderr
    assert shop.rows("tree") == [(1, None), (5, 1)]
    places = "SELECT array_agg(regexp_replace(place, '.*csv ', '') ORDER BY place) FROM shop.tree__rejects"
    assert query(shop.dsn, places) == [(["line 3", "line 4", "line 5"],)]
    assert shop.run("final").status == 0


def test_increments_keep_what_earlier_ones_rejected(shop: Shop) -> None:
    key = 'key = ["id"]\nstrategy = "incremental"\nwatermark = "id"'
    loaded(shop, "rejects = { limit = 1 }", HEAD + "1,,,,\n2,,x,,\n3,,,,\n", key=key)
    shop.file("sales.csv", HEAD + "5,,,,\n6,,y,,\n7,,,,\n")
    shop.load()
    shop.load()

    assert [row[0] for row in shop.rows("sales")] == [1, 3, 5, 7]
    assert query(shop.dsn, "SELECT record->>'id' FROM shop.sales__rejects ORDER BY 1") == [("2",), ("6",)]


def test_a_slice_outside_of_a_backfill_keeps_none_but_its_own_rejects(shop: Shop) -> None:
    where = "at >= ${ETL_INTERVAL_START:-2026-02-01} AND at < '${ETL_INTERVAL_END:-infinity}'"
    slices = f'key = ["id"]\nstrategy = "slice"\nwhere = "{where}"\nchecks = [{{ column = "amount", min = 0 }}]'
    rows = HEAD + "1,,-1,2026-01-01,\n2,,-1,2026-02-01,\n3,,-1,2026-03-01,\n4,,1,2026-03-01,\n"
    shop.table("sales", COLUMNS, f"{slices}\n{REJECTS}")
    shop.file("sales.csv", rows)
    kept = []
    for start, end in (("2026-01-01", "2026-02-01"), ("2026-02-01", "2026-03-01"), (None, None)):
        span = {"ETL_INTERVAL_START": start, "ETL_INTERVAL_END": end} if start and end else {}
        ended = shop.load(0, ETL_JOB=f"sales@{start}" if start else "sales", **span)
        assert ended.status == 0, ended.stderr
        kept.append(query(shop.dsn, "SELECT job, record->>'id' FROM shop.sales__rejects ORDER BY 2"))

    first, second = ("sales@2026-01-01", "1"), ("sales@2026-02-01", "2")
    assert kept == [[first], [first, second], [("sales", "2"), ("sales", "3")]]


def test_the_place_of_a_row_is_right_where_only_a_part_is_read(shop: Shop) -> None:
    slice_ = 'key = ["id"]\nstrategy = "slice"\nwhere = "amount >= 5"'
    text = HEAD + "1,,1,,\n2,,9,,\n3,,1,,\n4,,x,,\n5,,1,,\n,,9,,\n7,,9,,\n7,,9,,\n"
    shop.table("sales", COLUMNS, slice_)
    shop.file("sales.csv", text.replace("x", "1"))
    failed = shop.load()
    shop.redeclare(0, "strategy", "rejects = { limit = 5 }\nstrategy")
    shop.file("sales.csv", text)
    passed = shop.load()

    assert "sales.csv line 7" in failed.stderr
    assert "line 8 (7); " in failed.stderr
    assert passed.status == 0, passed.stderr
    rejects = "SELECT array_agg(regexp_replace(place, '.*csv ', '') ORDER BY place) FROM shop.sales__rejects"
    assert query(shop.dsn, rejects) == [(["line 5", "line 7", "line 9"],)]


def test_a_secret_value_is_shown_nowhere(shop: Shop) -> None:
    columns = {"id": "integer", "pin": "integer"}
    settings = 'key = ["id", "pin"]\nsecret = ["pin"]\nchecks = [{ column = "pin", max = 9999 }]'
    shop.table("cards", columns, settings)
    said = []
    for text in ("1,s3cret\n", "1,54321\n", "1,4321\n1,4321\n"):
        shop.file("cards.csv", "id,pin\n" + text)
        ended = shop.load()
        assert ended.status == 65, ended.stderr
        said.append(ended.stdout + ended.stderr)
    shop.redeclare(0, "secret", "rejects = { limit = 9 }\nsecret")
    shop.file("cards.csv", "id,pin\n1,s3cret\n2,54321\n3,1\n")
    ended = shop.load()
    rejects = query(shop.dsn, "SELECT reason || record FROM shop.cards__rejects")

    assert ended.status == 0, ended.stderr
    assert len(rejects) == 2
    everything = "".join([*said, ended.stdout, ended.stderr, str(rejects)])
    assert [secret for secret in ("s3cret", "4321") if secret in everything] == []
    assert "column 'pin': the value does not fit" in said[0]
    assert "above 9999: " in said[1]


BAD_SETTINGS = {
    'checks = [{ column = "id" }]': "checks.0: expected one of not_null, unique",
    'checks = [{ column = "id", min = 1, not_null = true }]': "expected one of",
    'checks = [{ min = 1 }]': "checks.0: 'column' is missing",
    'checks = [{ column = "idd", min = 1 }]': "has no column 'idd' (did you mean 'id'?)",
    'checks = [{ unique = [] }]': "checks.0.unique: name at least one",
    'checks = [{ column = "id", min = 1, severity = "wran" }]': "did you mean 'warn'?",
    'checks = [{ colunm = "id", min = 1 }]': "unknown key 'colunm' (did you mean 'column'?)",
    'checks = [{ column = "id", accepted = [[1]] }]': "accepted: expected texts, numbers",
    "rejects = 5": 'rejects: expected "fail" or { limit = … }',
    "rejects = { limit = 0 }": "rejects.limit: expected 1 to 100000, got 0",
    "rejects = { }": "rejects: 'limit' is missing",
    "checks = [5]": "checks.0: expected a table, got 5",
}  # fmt: skip


@pytest.mark.parametrize("settings", BAD_SETTINGS)
def test_a_mistake_in_the_checks_is_named(settings: str, tmp_path: Path) -> None:
    shop = Shop(tmp_path, "")
    shop.table("sales", COLUMNS, f'key = ["id"]\n{settings}')
    with pytest.raises(MisconfiguredError) as caught:
        read_catalogue(shop.catalogue, env={})

    assert BAD_SETTINGS[settings] in caught.value.message


def test_a_good_row_does_not_repeat_a_bad_one(shop: Shop) -> None:
    settings = 'rejects = { limit = 9 }\nchecks = [{ column = "amount", min = 0 }, { unique = ["teamID"] }]'
    ended = loaded(shop, settings, HEAD + "1,,-1,,\n1,,7,,a\n1,,8,,b\n2,,2,,b\n3,,3,,b\n")

    assert (ended.status, ended.metrics["rejected"]) == (0, 3), ended.stderr
    assert [(row[0], row[2], row[4]) for row in shop.rows("sales")] == [(1, 7, "a"), (2, 2, "b")]
    assert [(place.rpartition(" ")[2], reason) for place, reason in query(
        shop.dsn, "SELECT place, reason FROM shop.sales__rejects ORDER BY 1")] == [
        ("2", "column 'amount' is below 0"),
        ("4", "key (id) is there already"),
        ("6", "unique (teamID) is there already"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ('checks = [{ column = "name", accepted = [1] }]', "checks.0.accepted: column 'name' is text, got 1"),
        ('checks = [{ column = "name", min = 3 }]', "checks.0.min: column 'name' is text, got 3"),
        ('checks = [{ column = "id", fresh = "2 days" }]', "checks.0.fresh: column 'id' is bigint, not a time"),
        (
            'strategy = "append"\nwatermark = "id"\nlag = "2 days"',
            "lag: column 'id' is bigint, got '2 days', not a number",
        ),
        ('strategy = "append"\nwatermark = "day"\nlag = 3.5', "lag: column 'day' is date, got 3.5, not a span of time"),
    ],
)
def test_what_does_not_fit_a_type_that_was_found_is_refused_before_anything_is_loaded(
    shop: Shop, settings: str, said: str
) -> None:
    shop.table("goods", {}, f'key = ["id"]\n{settings}')
    shop.catalogue.write_text(shop.catalogue.read_text().replace("columns = {  }\n", ""))
    shop.file("goods.csv", "id,name,day\n1,a,2026-01-01\n")
    ended = shop.load()

    assert ended.status == 78
    assert f"table 'goods': {said}" in ended.stderr
    assert shop.rows("goods") == []


UNASKED = HEAD + "1,5,1,,\n2,x,1,,\n3,,0,,\n4,7,1,,\n5,6,-1,,\n4,8,1,,\n"


@pytest.mark.parametrize("severity", ["fail", "warn"])
def test_a_row_that_a_check_cannot_be_asked_about_is_rejected_with_the_reason(shop: Shop, severity: str) -> None:
    checks = f"""checks = [
        {{ name = "word", sql = "state::int > 0", severity = "{severity}" }},
        {{ name = "zero", sql = "10 / amount < 20", severity = "{severity}" }},
        {{ column = "amount", min = 0 }} ]"""
    ended = loaded(shop, f"rejects = {{ limit = 4 }}\n{checks}", UNASKED)
    shop.redeclare(0, "limit = 4", "limit = 1")
    too_many = shop.load()

    assert ended.status == 0, ended.stderr
    assert [row[0] for row in shop.rows("sales")] == [1, 4]
    kept = query(shop.dsn, "SELECT regexp_replace(place, '.*csv ', ''), reason FROM shop.sales__rejects ORDER BY 1")
    assert kept == [
        ("line 3", "check 'word' cannot be asked: invalid input syntax for type integer: \"x\""),
        ("line 4", "check 'zero' cannot be asked: division by zero"),
        ("line 6", "column 'amount' is below 0"),
        ("line 7", "key (id) is there already"),
    ]
    assert too_many.status == 65
    assert "more than 1 rows are rejected: " in too_many.stderr
    assert "sales.csv line 3: check 'word' cannot be asked" in too_many.stderr


def test_what_a_check_says_of_a_secret_value_it_cannot_be_asked_about_is_not_told(shop: Shop) -> None:
    checks = 'secret = ["state"]\nchecks = [{ name = "word", sql = "state::int > 0" }]'
    ended = loaded(shop, f"rejects = {{ limit = 4 }}\n{checks}", UNASKED.replace("x", "s3cret"))
    [(reason, record)] = query(
        shop.dsn, "SELECT reason, record::text FROM shop.sales__rejects WHERE place LIKE '%line 3'"
    )

    assert ended.status == 0, ended.stderr
    assert reason == "check 'word' cannot be asked: the server refuses it; its words may quote a secret value [22P02]"
    assert '"state": "***"' in record


def test_a_check_that_raises_names_the_row_too(shop: Shop) -> None:
    query(
        shop.dsn,
        """CREATE FUNCTION public.picky(i integer) RETURNS boolean LANGUAGE plpgsql AS
        $$ BEGIN IF i = 2 THEN RAISE 'not %', i; END IF; RETURN true; END $$""",
    )
    failed = loaded(shop, 'checks = [{ name = "own", sql = "public.picky(id)" }]', GOOD)
    shop.redeclare(0, "checks", "rejects = { limit = 4 }\nchecks")
    passed = shop.load()

    assert (failed.status, passed.status) == (65, 0), passed.stderr
    assert "sales.csv line 3: check 'own' cannot be asked: not 2" in failed.stderr
    assert query(shop.dsn, "SELECT reason FROM shop.sales__rejects") == [("check 'own' cannot be asked: not 2",)]


def test_a_rejected_row_keeps_every_digit(shop: Shop) -> None:
    shop.table(
        "exact", {"id": "bigint", "n": "numeric"}, 'rejects = { limit = 4 }\nchecks = [{ column = "id", max = 0 }]'
    )
    shop.file("exact.csv", "id,n\n9007199254740993,12345678901234567890.1234567890\n")
    ended = shop.load()

    assert ended.status == 0, ended.stderr
    assert query(shop.dsn, "SELECT record->>'id', record->>'n' FROM shop.exact__rejects") == [
        ("9007199254740993", "12345678901234567890.1234567890")
    ]
