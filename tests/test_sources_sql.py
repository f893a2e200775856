"""Any SQL database as source, tried with SQLite."""

# ruff: noqa: F401, F811
from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy
from psycopg.conninfo import conninfo_to_dict

from etl_jobs.errors import UnavailableError
from etl_jobs.sources import TypedSource
from etl_jobs.sources.database import DatabaseSource
from etl_jobs.sources.drivers import may_pass, told
from etl_jobs.sources.excerpts import Excerpts
from etl_jobs.tables import SourceSettings, Table
from tests.support.jobs import query, rows
from tests.support.servers import Warehouse, database, warehouse
from tests.support.sources import Load


@pytest.fixture
def load(tmp_path: Path, database: str) -> Load:
    run(tmp_path, "CREATE TABLE start (id)")
    return Load(
        tmp_path, database, kind="sql", top='url = "sqlite:///${FOLDER}/there.db"', env={"FOLDER": str(tmp_path)}
    )


@pytest.fixture
def there(warehouse: Warehouse) -> Iterator[str]:
    """Another PostgreSQL database."""
    with warehouse.database() as dsn:
        yield dsn


def run(folder: Path, *statements: str) -> None:
    session = sqlite3.connect(folder / "there.db")
    with session:
        for statement in statements:
            session.execute(statement)
    session.close()


def test_every_value_arrives_as_it_is(load: Load) -> None:
    run(
        load.folder,
        'CREATE TABLE "odd table" (id integer, "a b" text, n real, raw blob, day date, at timestamp,'
        " price decimal(9,2))",
        "INSERT INTO \"odd table\" VALUES (1, 'a,\"b\"' || char(10) || '\\.', 0.1, x'00ff', '2026-01-02',"
        " '2026-01-02 03:04:05.678', 1.5), (2, '', 1e300, x'', NULL, NULL, 9007199254740993)",
        'INSERT INTO "odd table" (id) VALUES (3)',
    )
    columns = {"id": "integer", "a b": "text", "n": "double precision", "raw": "bytea", "day": "date",
               "at": "timestamp", "price": "numeric(18,2)"}  # fmt: skip
    load.table("t", columns, 'source.table = "odd table"')

    ended = load.load()

    assert ended.status == 0, ended.stderr
    assert query(load.dsn, "SELECT t::text FROM shop.t ORDER BY id") == [
        ('(1,"a,""b""\n\\\\.",0.1,"\\\\x00ff",2026-01-02,"2026-01-02 03:04:05.678",1.50)',),
        ('(2,"",1e+300,"\\\\x",,,9007199254740993.00)',),
        ("(3,,,,,,)",),
    ]
    assert load.run("pre").status == 0


def test_a_row_of_nothing_but_null_is_a_row(load: Load) -> None:
    run(load.folder, "CREATE TABLE t (v text)", "INSERT INTO t VALUES (NULL)")
    load.table("t", {"v": "text"})
    load.table("some", {"v": "text"}, "source.table = 't'\nrejects = { limit = 5 }")

    assert [load.load(0).status, load.load(1).status] == [0, 0]
    assert query(load.dsn, "SELECT v FROM shop.t UNION ALL SELECT v FROM shop.some") == [(None,), (None,)]


def test_a_query_is_read_with_all_its_characters(load: Load) -> None:
    run(load.folder, "CREATE TABLE t (id integer, word text)", "INSERT INTO t VALUES (1, '100%'), (2, ':a'), (3, 'b')")
    select = "SELECT id, word FROM t WHERE word LIKE '%\\%' ESCAPE '\\' OR word = ':a' -- all\n;"
    load.table("t", {"id": "integer", "word": "text"}, f"source.query = '''{select}'''")

    ended = load.load()

    assert ended.status == 0, ended.stderr
    assert rows(load.dsn, "shop", "t") == [(1, "100%"), (2, ":a")]


def test_a_table_that_changes_before_its_rows_are_read_is_not_read(tmp_path: Path) -> None:
    run(tmp_path, "CREATE TABLE t (a, b)", "INSERT INTO t VALUES (1, 2)")
    table = Table(id=0, name="t", files=(), columns={})
    source = DatabaseSource(SourceSettings(kind="sql", url=f"sqlite:///{tmp_path}/there.db"), table)
    assert source.columns() == ("a", "b")
    run(tmp_path, *(f"ALTER TABLE t RENAME {a} TO {b}" for a, b in ("ac", "ba", "cb")))

    with pytest.raises(UnavailableError, match="t was changed while it was read"):
        next(source.blocks())

    assert source.columns() == ("b", "a")
    assert b"".join(source.blocks()) == b'"b","a"\n"1","2"\n'


def test_what_would_be_lost_silently_is_refused(load: Load) -> None:
    run(load.folder, "CREATE TABLE t (price decimal(12,4), at timestamp)")
    load.table("t", {"price": "numeric(12,2)", "at": "date"})

    ended = load.load()

    assert ended.status == 78
    assert "'price' is numeric(12, 4) there, numeric(12,2) here: digits would be lost" in ended.stderr
    assert "'at' is timestamp without time zone there, date here" in ended.stderr


SQLITE = {  # what a column is called there → the type that holds all it may have
    "INTEGER": "bigint", "SMALLINT": "bigint", "REAL": "double precision", "DECIMAL(10,2)": "numeric",
    "NUMERIC": "numeric", "VARCHAR(3)": "text", "CHAR(3)": "text", "TEXT": "text", "DATE": "text", "DATETIME": "text",
    "TIME": "text", "BOOLEAN": "boolean", "BLOB": "bytea", "": "text",
}  # fmt: skip


def test_columns_of_sqlite_that_nobody_declared_hold_whatever_it_holds(load: Load) -> None:
    names = [f"c{number}" for number in range(len(SQLITE))]
    run(load.folder, f"CREATE TABLE t ({', '.join(f'{n} {kind}' for n, kind in zip(names, SQLITE, strict=True))})")
    run(load.folder, "INSERT INTO t VALUES (3000000000, -70000, 0.1, 1.005, 1e20, 'abcd  ', 'x   ', '', "
        "'2024-02-29 23:00:00', '2024-02-29T12:00:00+05:00', '23:59:59.1234567', 1, x'00ff', 'any')")  # fmt: skip
    load.tables.append('[[table]]\nname = "t"\n')

    ended = load.load()

    assert ended.status == 0, ended.stderr
    types = query(load.dsn, "SELECT format_type(atttypid, atttypmod) FROM pg_attribute"
                  " WHERE attrelid = 'shop.t'::regclass AND attnum > 0 ORDER BY attnum")  # fmt: skip
    assert [kind for (kind,) in types] == list(SQLITE.values())
    assert query(load.dsn, "SELECT t::text FROM shop.t") == [
        ('(3000000000,-70000,0.1,1.005,100000000000000000000,"abcd  ","x   ","",'
         '"2024-02-29 23:00:00",2024-02-29T12:00:00+05:00,23:59:59.1234567,t,"\\\\x00ff",any)',)
    ]  # fmt: skip


LOSSES = {
    "time": ("DATE", "date", "'2024-02-29 23:00:00'", "'2024-02-29 00:00:00'", "a part of the time would be lost"),
    "zone": ("DATETIME", "timestamp", "'2024-02-29T12:00:00+05:00'", "'2024-02-29 12:00:00'", "the time zone would be"),
    "utc": ("DATETIME", "timestamp", "'2024-02-29 12:00Z'", "'2024-02-29'", "the time zone would be lost"),
    "nanoseconds": ("DATETIME", "timestamp", "'2024-02-29 12:00:00.1234567'", "'2024-02-29 12:00:00.123456000'",
                    "digits would be lost"),
    "precision": ("TEXT", "timestamptz(0)", "'2024-02-29 12:00:00.5Z'", "'2024-02-29 12:00:00.0+01'", "digits"),
    "day": ("TIME", "time", "'2024-02-29 12:00:00'", "'12:00:00'", "a part of the time would be lost"),
    "digits": ("DECIMAL(10,2)", "numeric(10,2)", "1.005", "1.05", "digits would be lost"),
    "digits in text": ("TEXT", "numeric(10,2)", "'1.005'", "'1.50000'", "digits would be lost"),
    "many digits": ("TEXT", "numeric(40,2)", "'123456789012345678901234567890.125'",
                    "'123456789012345678901234567890.5'", "digits would be lost"),
    "scale": ("DECIMAL(10)", "numeric(10)", "1.5", "2.0", "digits would be lost"),
}  # fmt: skip


@pytest.mark.parametrize("case", LOSSES)
def test_a_value_of_sqlite_that_would_lose_something_is_refused_and_only_that(load: Load, case: str) -> None:
    there, declared, bad, good, said = LOSSES[case]
    run(load.folder, f"CREATE TABLE t (id integer, v {there})", f"INSERT INTO t VALUES (1, {good}), (2, NULL)")
    load.table("t", {"id": "integer", "v": declared})
    load.table("lossy", {"id": "integer", "v": declared}, "source = { table = 't', lossy = ['v'] }")
    load.table("secret", {"id": "integer", "v": declared}, "source.table = 't'\nsecret = ['v']")

    fine = load.load()
    run(load.folder, f"INSERT INTO t VALUES (3, {bad})")
    refused, lossy, secret = load.load(0), load.load(1), load.load(2)

    assert fine.status == 0, fine.stderr
    value = bad.strip("'")
    assert (refused.status, lossy.status, secret.status) == (65, 0, 65), lossy.stderr
    assert "there.db: t, row 3, column 'v', value " in refused.stderr
    assert value in refused.stderr
    assert said in refused.stderr
    assert value not in secret.stderr


def test_the_source_knows_a_tables_types(tmp_path: Path) -> None:
    run(tmp_path, "CREATE TABLE t (id bigint, price decimal(12,4), at timestamp)")
    settings = SourceSettings(kind="sql", url=f"sqlite:///{tmp_path}/there.db")
    of_table = DatabaseSource(settings, Table(id=0, name="t", files=(), columns={}))
    of_query = DatabaseSource(settings, Table(id=0, name="q", files=(), columns={}, source={"query": "SELECT 1 AS a"}))

    assert isinstance(of_table, TypedSource)
    assert of_table.types() == {"id": "bigint", "price": "numeric", "at": "text"}
    assert of_query.types() == {"a": "text"}


def test_a_bad_value_is_named_with_its_row(load: Load) -> None:
    run(load.folder, "CREATE TABLE t (id integer)", "INSERT INTO t VALUES (1), (2), ('three')")
    load.table("t", {"id": "integer"})

    ended = load.load()

    assert (ended.status, rows(load.dsn, "shop", "t")) == (65, [])
    assert "there.db: t, row 3, column 'id', value 'three'" in ended.stderr


def test_a_source_that_dies_in_the_middle_leaves_the_table_and_says_what_was_read(load: Load) -> None:
    load.table("t", {"id": "bigint", "n": "bigint"}, 'key = ["id"]')
    run(load.folder, "CREATE TABLE t AS SELECT 1 AS id, 1 AS n")
    assert load.load().status == 0
    numbers = "WITH RECURSIVE c(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM c WHERE id < 9000) SELECT id,"
    overflow = "CASE WHEN id = 5000 THEN abs(-9223372036854775807 - 1) ELSE id END AS n"
    run(load.folder, "DROP TABLE t", f"CREATE VIEW t AS {numbers} {overflow} FROM c")

    ended = load.load()

    assert (ended.status, rows(load.dsn, "shop", "t")) == (78, [(1, 1)])
    assert "there.db: t failed after 4,000 rows (" in ended.stderr
    assert "integer overflow" in ended.stderr


def test_a_database_that_is_busy_is_another_matter_than_one_that_is_wrong(load: Load) -> None:
    load.table("t", {"id": "integer"})
    missing = load.load()
    run(load.folder, "CREATE TABLE t (id integer)")
    load.top = 'url = "sqlite:///${FOLDER}/there.db?timeout=0.05"'
    holder = sqlite3.connect(load.folder / "there.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    busy = load.load()
    holder.close()

    assert (missing.status, busy.status) == (78, 75)
    assert "no such table: t" in missing.stderr
    assert "database is locked" in busy.stderr


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite:////nowhere/x.db", "the source /nowhere/x.db does not exist"),
        ("nodatabase://u:secret@h/d", "there is no database called 'nodatabase'"),
        ("mysql+pymysql://u:secret@h/d", "mysql+pymysql needs pymysql, which is not installed"),
        ("u:secret", "source.url is no URL of a database"),
    ],
)
def test_an_url_that_leads_nowhere_is_said_without_its_password(load: Load, url: str, said: str) -> None:
    load.top = f'url = "{url}"'
    load.table("t", {"id": "integer"})

    ended = load.load()

    assert ended.status == 78
    assert said in ended.stderr
    assert "secret" not in ended.stderr
    assert not Path("/nowhere").exists()


def test_rows_are_streamed(tmp_path: Path) -> None:
    run(tmp_path, "CREATE VIEW t AS WITH RECURSIVE c(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM c) SELECT id FROM c")
    settings = SourceSettings(kind="sql", url=f"sqlite:///{tmp_path}/there.db")
    endless = DatabaseSource(settings, Table(id=0, name="t", files=(), columns={"id": "bigint"})).blocks()

    assert next(endless) == b'"id"\n'
    assert [next(endless).splitlines()[0] for _ in range(3)] == [b'"1"', b'"2001"', b'"4001"']
    endless.close()


def of_the_driver(*said: object) -> sqlalchemy.exc.OperationalError:
    return sqlalchemy.exc.OperationalError("SELECT 1", {}, Exception(*said))


@pytest.mark.parametrize(
    ("backend", "said", "expected"),
    [
        ("mysql", (1044, "Access denied for user 'u'@'%' to database 'd'"), False),
        ("mysql", (1045, "Access denied for user 'u'@'h' (using password: YES)"), False),
        ("mariadb", (1049, "Unknown database 'd'"), False),
        ("mysql", (1054, "Unknown column 'x' in 'field list'"), False),
        ("mysql", (1040, "Too many connections"), True),
        ("mysql", (1205, "Lock wait timeout exceeded"), True),
        ("mysql", (2003, "Can't connect to MySQL server on 'h'"), True),
        ("mysql", (2013, "Lost connection to MySQL server during query"), True),
        ("mysql", (), True),
        ("oracle", (1045, "something else altogether"), True),
        ("postgresql", ('FATAL:  password authentication failed for user "u"',), False),
        ("postgresql", ("FATAL:  the database system is starting up",), True),
        ("sqlite", ("database is locked",), True),
        ("sqlite", ("no such table: t",), False),
    ],
)
def test_which_errors_of_a_driver_may_pass(backend: str, said: tuple[object, ...], *, expected: bool) -> None:
    assert may_pass(of_the_driver(*said), backend=backend) is expected


def test_a_code_that_is_no_first_argument_is_found() -> None:
    error = of_the_driver("Access denied for user 'u'@'h'")
    error.orig.errno = 1045  # type: ignore[union-attr]

    assert not may_pass(error, backend="mariadb")


TOLD: dict[str, tuple[str, Exception, str]] = {  # of a table with secret columns
    "no such table": ("mysql", Exception(1146, "Table 'd.t' doesn't exist"), "(1146, \"Table 'd.t' doesn't exist\")"),
    "a value": ("mysql", Exception(1292, "Truncated incorrect DOUBLE value: 'DE99'"), "UNTOLD [Exception 1292]"),
    "a query": ("mariadb", Exception(1064, "near 'SELEC'"), "(1064, \"near 'SELEC'\")"),
    "no server": ("mysql", Exception(2003, "Can't connect"), "(2003, \"Can't connect\")"),
    "oracle's value": ("oracle", Exception("ORA-01722: invalid number 'DE99'"), "UNTOLD [Exception 01722]"),
    "oracle's table": ("oracle", Exception("ORA-00942: no table"), "ORA-00942: no table"),
    "odbc's value": ("mssql", Exception("22018", "converting 'DE99'"), "UNTOLD [Exception 22018]"),
    "odbc's table": ("mssql", Exception("42S02", "Invalid object 't'"), "('42S02', \"Invalid object 't'\")"),
    "anybody's": ("firebird", Exception("DE99"), "UNTOLD [Exception]"),
    "a column": ("x", Exception("column 'v': DE99, column 'w'"), "it, column 'v'; UNTOLD ["),
}  # fmt: skip


@pytest.mark.parametrize("case", TOLD)
def test_words_that_may_quote_a_value_are_not_told_where_columns_are_secret(case: str) -> None:
    backend, cause, expected = TOLD[case]
    error = sqlalchemy.exc.OperationalError("SELECT 'DE98'", {"x": "DE97"}, cause)

    said = told(error, backend=backend, excerpts=Excerpts(quiet=True), columns=["v"])
    open_words = told(error, backend=backend, excerpts=Excerpts())

    assert expected.replace("UNTOLD", "its words may quote a secret value") in said
    assert "DE9" not in said
    assert open_words == str(cause)


SPEAKERS: dict[str, tuple[list[str], str]] = {
    "a value that is no text": (["CREATE TABLE t (id, v)", "INSERT INTO t VALUES (1, cast(x'44453939ff' AS text))"],
                                "the server refuses it, column 'v'; its words may quote a secret value"),
    "a function": (["CREATE TABLE u (id, w)", "INSERT INTO u VALUES (1, 'DE99')",
                    "CREATE VIEW t AS SELECT id, json_extract('{}', w) AS v FROM u"],
                   "its words may quote a secret value [OperationalError SQLITE_ERROR]"),
    "a missing table": ([], "no such table: t"),
}  # fmt: skip


@pytest.mark.parametrize("case", SPEAKERS)
def test_a_driver_tells_no_value_of_a_table_with_secret_columns(load: Load, case: str) -> None:
    statements, said = SPEAKERS[case]
    run(load.folder, *statements)
    load.table("t", {"id": "integer", "v": "text"})
    load.table("s", {"id": "integer", "v": "text"}, 'source.table = "t"\nsecret = ["v"]')

    spoken, quiet = load.load(0), load.load(1)

    assert (spoken.status, quiet.status) == (78, 78), quiet.stderr
    assert "DE99" in spoken.stderr or not statements
    assert said in quiet.stderr
    assert "DE99" not in quiet.stdout + quiet.stderr


def test_what_a_driver_makes_of_a_value_it_does_not_understand_is_no_traceback(load: Load) -> None:
    load.top = 'url = "sqlite:///${FOLDER}/there.db?detect_types=1"'  # Python's own converters
    run(load.folder, "CREATE TABLE t (id integer, v date)", "INSERT INTO t VALUES (1, 'DE99')")
    load.table("t", {"id": "integer", "v": "text"})
    load.table("s", {"id": "integer", "v": "text"}, 'source.table = "t"\nsecret = ["v"]')

    spoken, quiet = load.load(0), load.load(1)

    assert (spoken.status, quiet.status) == (65, 65), spoken.stderr
    assert "there.db: t failed: invalid literal for int() with base 10: b'DE99'" in spoken.stderr
    assert "t failed: the server refuses it; its words may quote a secret value [ValueError]" in quiet.stderr
    assert "DE99" not in quiet.stderr


def test_a_driver_that_echoes_the_password_is_not_quoted(load: Load, warehouse: Warehouse) -> None:
    load.top = 'url = "postgresql+psycopg://sk4711abcdef:sk4711abcdef@/x?host=${RUN}&application_name=a"'
    load.env["RUN"] = str(conninfo_to_dict(load.dsn)["host"])
    load.table("t", {"id": "integer"})

    ended = load.load()

    assert ended.status == 78
    assert 'role "***" does not exist' in ended.stderr
    assert "sk4711abcdef" not in ended.stderr


@pytest.mark.parametrize("url", ["sqlite:///${FOLDER}/there.db?timeout=s3cret", "mysql+pymysql://u:p@h:s3cret/d"])
def test_an_url_that_a_driver_does_not_understand_is_the_catalogues_mistake(load: Load, url: str) -> None:
    load.top = f'url = "{url}"'
    load.table("t", {"id": "integer"})

    ended = load.load()

    assert ended.status == 78
    assert "Traceback" not in ended.stderr
    assert "source.url" in ended.stderr


def test_a_value_that_the_driver_cannot_make_anything_of_is_no_traceback(load: Load, there: str) -> None:
    query(there, "CREATE TABLE t (id int, v date); INSERT INTO t VALUES (1, 'infinity')")
    load.top = 'url = "${THERE}"'
    found = conninfo_to_dict(there)
    load.env["THERE"] = f"postgresql+psycopg://{found['user']}@/{found['dbname']}?host={found['host']}"
    load.table("t", {"id": "integer", "v": "date"})
    load.table("s", {"id": "integer", "v": "date"}, 'source.table = "t"\nsecret = ["v"]')

    spoken, quiet = load.load(0), load.load(1)

    assert "Traceback" not in spoken.stderr + quiet.stderr
    assert "'infinity'" in spoken.stderr
    assert "infinity" not in quiet.stderr
