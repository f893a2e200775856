"""Another PostgreSQL as source: what arrives, what is refused, what happens when it dies."""

# ruff: noqa: F401, F811
from __future__ import annotations

import socket
import sqlite3
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from etl_jobs.errors import UnavailableError
from etl_jobs.sources import TypedSource
from etl_jobs.sources.postgresql import PostgresSource
from etl_jobs.sources.trail import Trail
from etl_jobs.sources.types import Type, lost, parse
from etl_jobs.tables import SourceSettings, Table
from tests.support.jobs import nobody_left, query, rows, run_job, wait_for
from tests.support.servers import Warehouse, database, warehouse
from tests.support.sources import Load

ODD = {"id": "integer", "a b": "text", "n": "numeric(10,2)", "at": "timestamptz", "raw": "bytea", "tags": "text[]"}


@pytest.fixture
def there(warehouse: Warehouse) -> Iterator[str]:
    """The source: a database of its own."""
    with warehouse.database() as dsn:
        yield dsn


@pytest.fixture
def load(tmp_path: Path, database: str, there: str) -> Load:
    return Load(tmp_path, database, kind="postgresql", top='url = "${THERE}"', env={"THERE": there})


def source_of(there: str, **settings: str) -> PostgresSource:
    """Table `t` of the database, or a query, as nobody has declared it."""
    table = Table(id=0, name="t", files=(), columns={}, source=settings)
    return PostgresSource(SourceSettings(kind="postgresql", url=there), table)


def test_every_value_arrives_as_it_is(load: Load, there: str) -> None:
    kinds = ", ".join(f'"{name}" {kind}' for name, kind in ODD.items())
    query(there, f"CREATE TABLE odd ({kinds}, f double precision, span interval)")
    query(there, "INSERT INTO odd VALUES (1, E'a,\"b\"\\n\\\\.', 1.50, '2026-01-01 10:00+02', '\\x00ff',"
          " '{a,NULL,\"\"}', 0.1::float8 + 0.2, '1 mon -2 days'), (2, '', NULL, 'infinity', '', '{}', 'NaN', NULL),"
          " (3, NULL, -0.01, NULL, NULL, NULL, '-Infinity', '-00:00:01')")  # fmt: skip
    load.table("odd", {**ODD, "f": "double precision", "span": "interval"}, 'key = ["id"]')

    ended = load.load()

    assert ended.status == 0, ended.stderr
    assert query(load.dsn, "SELECT t::text FROM shop.odd t ORDER BY id") == query(
        there, "SELECT t::text FROM odd t ORDER BY id"
    )


def test_a_query_and_a_table_of_any_schema_are_read(load: Load, there: str) -> None:
    query(there, 'CREATE SCHEMA "S x"; CREATE TABLE "S x"."T" (id int, price numeric(12,4));'
          ' INSERT INTO "S x"."T" VALUES (1, 1.2345), (2, 2)')  # fmt: skip
    load.table("t", {"id": "int4", "price": "decimal(12, 4)"}, 'source = { schema = "S x", table = "T" }')
    select = 'SELECT id, (price / 10 % 7)::numeric(4,1) AS share FROM "S x"."T" -- all\n;'
    load.table("q", {"id": "bigint", "share": "numeric(4,1)"}, f"source.query = '''{select}'''")

    assert [load.load(0).status, load.load(1).status] == [0, 0]
    assert [tuple(map(str, row)) for row in rows(load.dsn, "shop", "t")] == [("1", "1.2345"), ("2", "2.0000")]
    assert [tuple(map(str, row)) for row in rows(load.dsn, "shop", "q")] == [("1", "0.1"), ("2", "0.2")]


BINARY = {
    "id": ("bigint", "1"), "i2": ("smallint", "-2"), "b": ("boolean", "true"), "t": ("text", "E'a,\\n\"ñ\"'"),
    "v": ("character varying(9)", "''"), "c": ("character(3)", "'x'"), "n": ("numeric(10,2)", "1.5"),
    "big": ("numeric", "'NaN'"), "f4": ("real", "'-Infinity'"), "f8": ("double precision", "0.1 + 0.2"),
    "d": ("date", "'infinity'"), "ts": ("timestamp(3) without time zone", "'2026-03-29 02:30:00.1234'"),
    "tz": ("timestamp with time zone", "'2026-03-29 02:30+02'"), "tt": ("time with time zone", "'24:00+05'"),
    "span": ("interval", "'1 mon -2 days 3 ms'"), "u": ("uuid", "'00000000-0000-0000-0000-00000000000f'"),
    "jb": ("jsonb", "'[1, null]'"), "ip": ("inet", "'10.0.0.1/8'"),
    "raw": ("bytea", "'\\x00ff'"), "texts": ("text[]", "'{a,NULL,\"\"}'"), "ns": ("numeric(4,1)[]", "'{{1.5},{2}}'"),
}  # fmt: skip
SIGNATURE = b"PGCOPY\n\xff\r\n\x00"


def there_with(dsn: str, kinds: dict[str, tuple[str, str]]) -> None:
    columns = ", ".join(f'"{name}" {kind}' for name, (kind, _) in kinds.items())
    nulls = ", ".join(["2", *["NULL"] * (len(kinds) - 1)])
    query(dsn, f"CREATE TABLE t ({columns})")
    query(dsn, f"INSERT INTO t VALUES ({', '.join(value for _, value in kinds.values())}), ({nulls})")


def test_values_of_every_type_arrive_as_they_are_in_the_binary_format(load: Load, there: str) -> None:
    there_with(there, BINARY)
    load.table("t", {name: kind for name, (kind, _) in BINARY.items()}, 'key = ["id"]')
    source = source_of(there)
    blocks = source.binary([kind for kind, _ in BINARY.values()])
    assert blocks is not None
    assert b"".join(blocks).startswith(SIGNATURE)

    first, again = load.load(), load.load()

    assert (first.status, again.status) == (0, 0), first.stderr + again.stderr
    assert again.metrics["updated"] == 0
    assert query(load.dsn, "SELECT t::text FROM shop.t ORDER BY id") == query(
        there, "SELECT t::text FROM t ORDER BY id"
    )


def test_types_that_differ_in_the_least_or_belong_to_one_server_go_as_text(there: str) -> None:
    query(there, "CREATE TYPE mood AS ENUM ('ok'); CREATE TABLE t (a int, b numeric(4,1), m mood, r regclass)")
    source = source_of(there)
    own = ["integer", "numeric(4,1)", "text", "regclass"]

    assert source.binary(own) is None
    query(there, "ALTER TABLE t DROP COLUMN m, DROP COLUMN r")
    assert source.binary(own[:2]) is not None
    assert source.binary(["bigint", "numeric(4,1)"]) is None
    assert source.binary(["integer", "numeric(5,1)"]) is None
    assert source.binary(["integer"]) is None


CHANGES = {
    "swapped": "ALTER TABLE t RENAME a TO c; ALTER TABLE t RENAME b TO a; ALTER TABLE t RENAME c TO b",
    "retyped": "ALTER TABLE t ALTER a TYPE numeric(12,4), ALTER b TYPE numeric(12,4)",
    "widened": "ALTER TABLE t ALTER a TYPE numeric(12,3)",
    "one more": "ALTER TABLE t ADD c int",
    "one less": "ALTER TABLE t DROP b",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_table_that_changes_before_its_rows_are_read_is_not_read(there: str, change: str) -> None:
    query(there, "CREATE TABLE t (a numeric(12,2), b numeric(12,2)); INSERT INTO t VALUES (1, 2)")
    source = source_of(there)
    assert source.columns() == ("a", "b")
    query(there, change)

    with pytest.raises(UnavailableError, match="t was changed while it was read"):
        source.binary(["numeric(12,2)", "numeric(12,2)"])
    with pytest.raises(UnavailableError, match="t was changed while it was read"):
        next(source.blocks())
    assert source.columns()
    assert b"".join(source.blocks())


@pytest.mark.parametrize("text", [True, False])
def test_a_table_cannot_change_between_its_description_and_its_rows(there: str, *, text: bool) -> None:
    query(there, "CREATE TABLE t (a int, b int); INSERT INTO t VALUES (1, 2)")
    source = source_of(there)
    blocks = source.blocks() if text else source.binary(["integer", "integer"])
    assert blocks is not None
    first = next(blocks) if text else b""  # the header

    with pytest.raises(psycopg.errors.LockNotAvailable):
        query(there, f"SET lock_timeout = '100ms'; {CHANGES['swapped']}")

    sent = first + b"".join(blocks)
    assert sent == b'"a","b"\n1,2\n' if text else sent.endswith(b"\0\2\0\0\0\4\0\0\0\1\0\0\0\4\0\0\0\2\xff\xff")
    query(there, CHANGES["swapped"])


@pytest.mark.parametrize("text", [True, False])
def test_rows_that_are_put_in_while_the_table_is_waited_for_are_read(there: str, *, text: bool) -> None:
    query(there, "CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
    source = source_of(there)

    def read() -> int:
        return len(b"".join(source.blocks() if text else source.binary(["integer"]) or ()))

    before = read()
    with psycopg.connect(there) as other, ThreadPoolExecutor(1) as readers:
        other.execute("TRUNCATE t; INSERT INTO t SELECT 1 FROM generate_series(1, 100)")
        reading = readers.submit(read)
        wait_for(lambda: query(there, "SELECT true FROM pg_locks WHERE relation = 't'::regclass AND NOT granted") != [])
        other.commit()

        assert reading.result() > before + 99


def test_the_source_is_described_once_for_its_names_and_types_and_read_in_one_session(there: str) -> None:
    query(there, "CREATE TABLE t (a int, m text); INSERT INTO t VALUES (1, 'x')")
    source = source_of(there)
    before = sessions(there)

    source.columns(), source.types()
    assert b"".join(source.binary(["integer", "text"]) or ())

    assert sessions(there) == before + 2


def sessions(dsn: str) -> int:
    """How many there have been in the database. They are counted when they have ended."""
    name = conninfo_to_dict(dsn)["dbname"]
    elsewhere = make_conninfo(dsn, dbname="postgres")
    wait_for(lambda: not query(elsewhere, f"SELECT FROM pg_stat_activity WHERE datname = '{name}'"))
    [(number,)] = query(elsewhere, f"SELECT sessions FROM pg_stat_database WHERE datname = '{name}'")
    return int(number)


def test_columns_of_the_same_name_are_said(load: Load, there: str) -> None:
    load.table("t", {"a": "integer"}, 'source.query = "SELECT 1 AS a, 2 AS a"')

    ended = load.load()

    assert ended.status == 65
    assert "a query for t line 1: column 'a' is there twice" in ended.stderr


def test_the_urls_own_time_to_connect_holds(there: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://127.0.0.1:{silent.getsockname()[1]}/db?connect_timeout=2"  # the least there is
        begun = time.monotonic()
        with pytest.raises(UnavailableError, match="timeout"):
            source_of(url).columns()

    assert time.monotonic() - begun < 8


def test_rows_that_a_check_refuses_are_named_in_the_binary_format_too(load: Load, there: str) -> None:
    query(there, "CREATE TABLE t (id int, n int)")
    query(there, "INSERT INTO t SELECT n, nullif(n, 777) FROM generate_series(1, 5000) n")
    load.table("t", {"id": "integer", "n": "integer"}, 'key = ["id"]\nchecks = [{ column = "n", not_null = true }]')

    ended = load.load()

    assert ended.status == 65
    assert "row 777" in ended.stderr


def test_a_text_that_the_warehouse_cannot_hold_is_said_by_the_text_format(load: Load, warehouse: Warehouse) -> None:
    with psycopg.connect(warehouse.url, autocommit=True) as session:
        session.execute("CREATE DATABASE raw TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")
    try:
        load.env["THERE"] = warehouse.url.replace("/warehouse?", "/raw?")
        query(load.env["THERE"], "CREATE TABLE t (id int, word text); INSERT INTO t VALUES (1, 'x'), (2, E'\\xff')")
        load.table("t", {"id": "integer", "word": "text"}, 'key = ["id"]')

        ended = load.load()

        assert ended.status in (65, 78)
        assert "t, row 2" in ended.stderr or "invalid byte sequence" in ended.stderr
    finally:
        with psycopg.connect(warehouse.url, autocommit=True) as session:
            session.execute("DROP DATABASE raw WITH (FORCE)")


def test_what_would_be_lost_silently_is_refused_with_every_column(load: Load, there: str) -> None:
    query(there, "CREATE TABLE t (id bigint, price numeric(12,4), at timestamptz, ratio float8)")
    query(there, "INSERT INTO t VALUES (1, 1.2345, now(), 0.5)")
    load.table("t", {"id": "integer", "price": "numeric(12,2)", "at": "date", "ratio": "real"})
    load.table("t2", {"id": "integer", "price": "numeric(12,2)", "at": "date", "ratio": "real"},
               'source = { table = "t", lossy = ["price", "at", "ratio"] }')  # fmt: skip

    refused = load.load(0)

    assert refused.status == 78
    assert "'price' is numeric(12,4) there, numeric(12,2) here: digits would be lost" in refused.stderr
    assert "'at' is timestamp with time zone there, date here: a part of the time would be lost" in refused.stderr
    assert "'ratio' is double precision there, real here" in refused.stderr
    assert "'id'" not in refused.stderr
    assert load.load(1).status == 0


def test_the_source_knows_its_types(there: str) -> None:
    query(there, "CREATE TABLE t (id bigint, price numeric(12,4), tags text[], at timestamptz(3))")
    source = source_of(there)

    assert isinstance(source, TypedSource)
    assert source.types() == {
        "id": "bigint", "price": "numeric(12,4)", "tags": "text[]", "at": "timestamp(3) with time zone",
    }  # fmt: skip
    assert source.columns() == ("id", "price", "tags", "at")


def test_columns_that_nobody_declared_get_the_sources_types(load: Load, there: str) -> None:
    query(
        there,
        "CREATE TYPE mood AS ENUM ('ok'); CREATE TABLE t (id int, code text, price numeric(12,4), m mood, d date)",
    )
    query(there, "INSERT INTO t VALUES (1, '007', 1.5, 'ok', '2026-01-01'), (2, '8', NULL, NULL, NULL)")
    load.tables.append('[[table]]\nname = "t"\nkey = ["id"]\n')

    ended, again = load.load(), load.load()

    assert (ended.status, again.status) == (0, 0), ended.stderr + again.stderr
    assert query(load.dsn, "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
                 " WHERE attrelid = 'shop.t'::regclass AND attnum > 0") == [
        ("id", "integer"), ("code", "text"), ("price", "numeric(12,4)"), ("m", "text"), ("d", "date"),
    ]  # fmt: skip
    assert query(load.dsn, "SELECT t::text FROM shop.t ORDER BY id") == [
        ("(1,007,1.5000,ok,2026-01-01)",),
        ("(2,8,,,)",),
    ]


def test_a_value_that_does_not_fit_is_named_with_its_row(load: Load, there: str) -> None:
    query(there, "CREATE TABLE t (id int, word text)")
    query(there, "INSERT INTO t SELECT n, CASE WHEN n = 777 THEN 'x' ELSE n::text END FROM generate_series(1, 2000) n")
    load.table("t", {"id": "integer", "word": "integer"})

    ended = load.load()

    assert (ended.status, rows(load.dsn, "shop", "t")) == (65, [])
    assert "t, row 777, column 'word', value 'x'" in ended.stderr


def test_columns_that_differ_are_named(load: Load, there: str) -> None:
    query(there, "CREATE TABLE t (id int, extra text)")
    load.table("t", {"id": "integer", "word": "integer"})

    assert "no column 'word' and unexpected column 'extra'" in load.load().stderr


def test_a_source_that_dies_in_the_middle_leaves_the_table_and_says_what_was_read(load: Load, there: str) -> None:
    query(there, "CREATE TABLE t (id int, filler text); INSERT INTO t SELECT 1, 'old'")
    load.table("t", {"id": "integer", "filler": "text"}, 'key = ["id"]')
    assert load.load().status == 0
    query(there, "CREATE FUNCTION die(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN"
          " IF n = 30000 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; RETURN n; END $$")  # fmt: skip
    query(there, "ALTER TABLE t RENAME TO u; CREATE VIEW t AS SELECT die(n) AS id, repeat('x', 100) AS filler"
          " FROM generate_series(1, 40000) n")  # fmt: skip

    ended = load.load()

    assert (ended.status, rows(load.dsn, "shop", "t")) == (75, [(1, "old")])
    assert "t failed after 2" in ended.stderr
    assert "rows (" in ended.stderr
    assert "terminating connection due to administrator command" in ended.stderr


def test_an_error_in_the_middle_of_a_query_is_said_as_the_sources(load: Load, there: str) -> None:
    load.table("t", {"id": "integer"}, 'source.query = "SELECT 1 / (5 - n) AS id FROM generate_series(1, 9) n"')

    ended = load.load()

    assert ended.status == 78
    assert "a query for t failed" in ended.stderr
    assert "division by zero" in ended.stderr


def test_an_error_of_a_query_that_may_quote_a_secret_is_told_by_its_code(load: Load, there: str) -> None:
    columns = {"id": "integer", "iban": "text"}
    load.table("t", columns, "source.query = \"SELECT 1 AS id, v::int::text AS iban FROM (VALUES ('DE99')) AS x (v)\"")
    load.table("u", columns, f"secret = ['iban']\n{load.tables[0].splitlines()[-1]}")

    plain, secret = load.load(0), load.load(1)

    assert (plain.status, secret.status) == (78, 78)
    assert 'invalid input syntax for type integer: "DE99"' in plain.stderr
    assert "the server refuses it; its words may quote a secret value [22P02]" in secret.stderr
    assert "DE99" not in secret.stdout + secret.stderr


@pytest.mark.parametrize("kind", ["integer", "bigint"])
def test_an_error_in_the_middle_is_all_that_is_said(load: Load, kind: str) -> None:
    select = "SELECT n AS id, 1 / (n - 90000) AS v FROM generate_series(1, 100000) AS n"
    load.table("t", {"id": kind, "v": "integer"}, f'source.query = "{select}"')

    ended = load.load()

    assert ended.status == 78
    assert ended.stderr.startswith("error: the source ")
    assert "a query for t failed after " in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize("kind", ["postgresql", "sql"])
def test_a_query_with_one_name_for_two_columns_is_refused(load: Load, there: str, tmp_path: Path, kind: str) -> None:
    load.kind = kind
    if kind == "sql":
        sqlite3.connect(tmp_path / "there.db").execute("CREATE TABLE t (a)").close()
        load.top = f'url = "sqlite:///{tmp_path}/there.db"'
    load.table("t", {"a": "integer"}, 'source.query = "SELECT 1 AS a, 2 AS a"')
    load.tables.append('[[table]]\nname = "u"\nsource.query = "SELECT 1 AS a, 2 AS a"\n')

    for ended in (load.load(0), load.load(1)):
        assert ended.status == 65, ended.stderr
        assert "'a" in ended.stderr
        assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("wrong", ["dbname", "user"])
def test_a_database_or_a_user_that_is_not_there_is_for_a_person(load: Load, there: str, wrong: str) -> None:
    load.env["THERE"] = make_conninfo(there, **{wrong: "nowhere"})
    load.table("t", {"id": "integer"})

    ended = load.load()

    assert ended.status == 78, ended.stderr
    assert '"nowhere" does not exist' in ended.stderr
    assert "hint: " in ended.stderr


@pytest.mark.parametrize(
    ("url", "status", "said"),
    [
        ("postgresql://u:secret@127.0.0.1:1/db", 75, "the source 127.0.0.1/db: t failed: connection"),
        ("host=x secret", 78, "source.url is no connection string"),
        ("", 78, "the environment variable THERE is not set"),
    ],
)
def test_a_source_that_cannot_be_reached_is_said_without_its_password(
    load: Load, url: str, status: int, said: str
) -> None:
    load.env["THERE"] = url
    load.table("t", {"id": "integer"})

    ended = load.load()

    assert ended.status == status
    assert said in ended.stderr
    assert "secret" not in ended.stderr


def test_a_source_is_only_read(load: Load, there: str) -> None:
    query(there, "CREATE TABLE t (id int)")
    query(there, "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'INSERT INTO t VALUES (1) RETURNING id'")
    load.table("t", {"id": "integer"}, 'source.query = "SELECT f() AS id"')

    assert "read-only transaction" in load.load().stderr


def test_the_warehouses_options_are_not_the_sources(load: Load, there: str) -> None:
    load.table(
        "t", {"n": "integer", "mem": "text"}, "source.query = \"SELECT 1 AS n, current_setting('work_mem') AS mem\""
    )

    assert load.load(PGOPTIONS="-c work_mem=77MB").status == 0
    assert rows(load.dsn, "shop", "t") != [(1, "77MB")]


def test_pre_and_final_work_with_a_source_that_has_no_fingerprint(load: Load, there: str) -> None:
    query(there, "CREATE TABLE t AS SELECT n AS id FROM generate_series(1, 3) n")
    load.table("t", {"id": "integer"}, 'key = ["id"]')

    assert [load.run(job).status for job in ("pre", "table --id 0", "final", "final --reread")] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("source", "declared", "expected"),
    [
        ("int4", "integer", ""), ("integer", "bigint", ""), ("bigint", "integer", ""), ("numeric", "integer", ""),
        ("numeric(10,2)", "numeric(12,2)", ""), ("numeric(10,2)", "numeric(12,1)", "digits"),
        ("numeric", "numeric", ""), ("numeric", "numeric(12,2)", "digits"), ("integer", "numeric(5,2)", ""),
        ("numeric(5)", "numeric(9)", ""),
        ("double precision", "numeric(9,2)", "digits"), ("float8", "float4", "digits"), ("bigint", "float8", "digits"),
        ("integer", "double precision", ""), ("timestamptz", "timestamp with time zone", ""),
        ("timestamp with time zone", "timestamp", "zone"), ("timestamptz(3)", "timestamptz(0)", "digits"),
        ("timestamp", "date", "time"), ("timestamp", "time", "time"), ("date", "timestamp", ""),
        ("timestamp", "text", ""), ("text", "integer", ""), ("character varying(10)", "varchar(3)", ""),
        ("timetz", "time", "zone"),
    ],
)  # fmt: skip
def test_loss_is_told_from_what_the_server_refuses_by_itself(source: str, declared: str, expected: str) -> None:
    said = lost(parse(source), parse(declared))

    assert expected in said
    assert bool(said) == bool(expected)


def test_a_source_of_any_size_is_read_in_little_memory(there: str) -> None:
    select = "SELECT n, repeat('x', 100) AS filler FROM generate_series(1, 400000) n"
    source = source_of(there, query=select)

    tracemalloc.start()
    sent = sum(map(len, source.blocks()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert sent > 40_000_000
    assert peak < 4_000_000


def test_a_reader_that_stops_ends_the_sources_session(there: str, caplog: pytest.LogCaptureFixture) -> None:
    blocks = source_of(there, query="SELECT generate_series(1, 10000000) AS n").blocks()
    next(blocks), next(blocks)

    blocks.close()

    wait_for(lambda: nobody_left(there))
    assert caplog.text == ""


def test_types_are_known_by_all_their_names() -> None:
    assert parse(" Numeric ( 10 , 2 )") == Type("numeric", (10, 2))
    assert parse("timestamp(3) without time zone") == Type("timestamp without time zone", (3,))
    assert parse("int8[]") == Type("bigint", (), array=True)
    assert parse("varchar(3)") == Type("character varying", (3,))


def test_the_row_on_a_line_is_known_or_its_neighbourhood() -> None:
    trail = Trail()
    trail.add(b"1\n2\n", records=2)
    trail.add(b'"a\nb"\n4\n', records=2)
    trail.add(b"5\n", records=1)

    assert [trail.at_line(n) for n in (2, 3, 4, 6, 7, 9)] == [
        "row 1",
        "row 2",
        "rows 3–4",
        "rows 3–4",
        "row 5",
        "row 6",
    ]
    assert str(trail) == "5 rows (14 bytes)"


def test_a_trail_of_plain_rows_needs_no_more_memory_however_long_it_is() -> None:
    trail = Trail()
    for _ in range(1000):
        trail.add(b"1\n2\n", records=2)
    trail.add(b'"a\nb"\n', records=1)

    tracemalloc.start()
    for _ in range(10_000):
        trail.add(b"1\n2\n", records=2)
        trail.add(b"\n\n\n", records=1, text=False)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert held < 2000
    assert [trail.at_line(n) for n in (1501, 2003, 2005)] == ["row 1,500", "row 2,001", "row 2,003"]
