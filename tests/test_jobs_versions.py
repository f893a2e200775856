"""Every PostgreSQL that is installed here: a table of each strategy, and the sample, end the same on all of them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import psycopg
import pytest

from etl_jobs.catalogue import PACKAGED, read_catalogue
from etl_jobs.complaints import Skipped
from etl_jobs.errors import DataRejectedError
from etl_jobs.load import load_table
from etl_jobs.pre import OLDEST_SERVER
from etl_jobs.records import Attempt
from etl_jobs.rejects import unreadable
from etl_jobs.sources.csv import CsvSource
from etl_jobs.tables import SourceSettings, Table
from etl_jobs.warehouse import connect
from etl_runner.postgres.binaries import BIN_VARIABLE, find_binaries
from tests.support.jobs import Shop, query, run_job
from tests.support.servers import Warehouse, server_for_tests


def installed() -> dict[str, Path]:
    """The programs of every major version that is not too old: those that come with us, and the system's."""
    folders = [*find_binaries({}).folder.parents[1].glob("*/bin"), *Path("/usr/lib/postgresql").glob("*/bin")]
    servers = [folder for folder in folders if (folder / "initdb").exists() and (folder / "psql").exists()]
    majors = {find_binaries({BIN_VARIABLE: str(folder)}).major: folder for folder in servers}
    return {major: folder for major, folder in majors.items() if int(major) >= OLDEST_SERVER}


# Each version is one worker's: its server starts once.
VERSIONS = [
    pytest.param(major, id=f"postgresql-{major}", marks=pytest.mark.xdist_group(f"postgresql-{major}"))
    for major in sorted(installed(), key=int)
]


@pytest.fixture(scope="module", params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def server(version: str) -> Iterator[Warehouse]:
    """A server of this version."""
    with server_for_tests({BIN_VARIABLE: str(installed()[version])}) as server:
        yield server


@pytest.fixture
def dsn(server: Warehouse) -> Iterator[str]:
    with server.database() as dsn:
        yield dsn


@contextmanager
def counting(dsn: str) -> Iterator[set[int]]:
    """How many rows two readers find: one who asks all the time, one whose transaction is older than the block."""
    seen: set[int] = set()
    done = Event()

    def count(session: psycopg.Connection[Any]) -> None:
        row = session.execute("SELECT count(*) FROM shop.goods", prepare=False).fetchone()
        assert row is not None
        seen.add(row[0])

    def ask() -> None:
        with psycopg.connect(dsn, autocommit=True) as session:
            while not done.wait(0.001):
                count(session)

    with psycopg.connect(dsn) as older, ThreadPoolExecutor(1) as pool:
        older.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        older.execute("SELECT 1")
        asking = pool.submit(ask)
        try:
            yield seen
        finally:
            done.set()
        asking.result()
        count(older)


HEAD = "id,name,price,day,odd\n"
FIRST = HEAD + '1,pump,10.50,2026-01-01,2026-02-28\n2,valve,,2026-01-31,2026-02-30\n\\.\n3,"two\nlines",7,,\n4\n'
NEXT = HEAD + "1,pump,10.5,2026-01-01,2026-02-28\n2,valve,many,,\n\\.\n3,seal,7,,\n5,hose,1,2026-02-30,\n6,tap,0.25,,\n"
LAST = HEAD + "2,valve,3,,x\n7,nut,,,\n"
TYPES = ["bigint", "text", "numeric", "date", "text"]
CANNOT_BE_READ = [("line 4", 'missing data for column "name"'), ("line 7", 'missing data for column "name"')]
DO_NOT_FIT = [
    ("line 3", "column 'price': 'many' is no numeric"),
    ("line 4", r"column 'id': '\\.' is no bigint"),
    ("line 6", "column 'day': '2026-02-30' is no date"),
]
FOLLOWED = [(1, "pump"), (3, "seal"), (6, "tap")]
# The settings of a strategy, the rows after NEXT, and what it then changed: inserted, updated, deleted.
STRATEGIES = {
    "snapshot": ("", FOLLOWED, (1, 1, 1)),
    "replace": ("", FOLLOWED, (3, 0, 3)),
    "slice": ('where = "id < 9"', FOLLOWED, (1, 1, 1)),
    "append": ("", [(1, "pump"), (2, "valve"), (3, "two\nlines"), (6, "tap")], (1, 0, 0)),
    "incremental": ('watermark = "id"\nlag = 9', [(1, "pump"), (2, "valve"), (3, "seal"), (6, "tap")], (1, 1, 0)),
    "scd2": ("", FOLLOWED, (1, 1, 1)),
}


class Goods(Shop):
    """A table whose columns nobody declares."""

    def follow(self, text: str, *arguments: object, run: int) -> tuple[int, ...]:
        """Load this text; how many rows that inserted, updated and deleted."""
        self.file("goods.csv", text)
        ended = self.load(0, *arguments, ETL_RUN_ID=str(run), ETL_JOB="goods")
        assert ended.status == 0, ended.stderr
        return tuple(ended.metrics[name] for name in ("inserted", "updated", "deleted"))

    def rejected(self, run: int) -> list[tuple[str, str]]:
        place = "regexp_replace(place, '.*csv ', '')"
        return query(self.dsn, f"SELECT {place}, reason FROM shop.goods__rejects WHERE run = {run} ORDER BY 1")

    def current(self) -> list[tuple[int, str]]:
        """Id and name of every row that is so now."""
        rows = query(self.dsn, "SELECT id, name, to_jsonb(g) -> 'is_current' FROM shop.goods AS g ORDER BY id")
        return [(number, name) for number, name, current in rows if current is not False]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_table_ends_the_same_whatever_the_version(tmp_path: Path, dsn: str, version: str, strategy: str) -> None:
    settings, followed, changed = STRATEGIES[strategy]
    goods = Goods(tmp_path, dsn)
    goods.tables.append(
        f'[[table]]\nname = "goods"\nkey = ["id"]\nstrategy = "{strategy}"\n{settings}\n'
        "max_delete = 1\nrejects = { limit = 3 }\n"
    )
    goods._write()

    assert goods.follow(FIRST, run=1) == (3, 0, 0)
    assert query(dsn, "SHOW server_version_num")[0][0].startswith(version)
    kinds = "SELECT format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = 'shop.goods'::regclass"
    assert [kind for (kind,) in query(dsn, f"{kinds} AND attnum > 0 ORDER BY attnum LIMIT 5")] == TYPES
    assert (goods.current(), goods.rejected(1)) == ([(1, "pump"), (2, "valve"), (3, "two\nlines")], CANNOT_BE_READ)

    with counting(dsn) as seen:
        assert goods.follow(NEXT, run=2) == changed
        assert (goods.current(), goods.rejected(2)) == (followed, DO_NOT_FIT)
        assert goods.follow(NEXT, run=3) == (changed if strategy == "replace" else (0, 0, 0))
        goods.follow(LAST, "--full-refresh", run=4)
        assert (goods.current(), goods.rejected(4)) == ([(2, "valve"), (7, "nut")], [])
    assert len(seen) > 1 and 0 not in seen
    assert goods.run("final", "--reread").status == 0


@pytest.mark.parametrize(("secret", "shown"), [("", "'y'"), ('secret = ["id"]', None)], ids=["shown", "secret"])
def test_too_many_bad_values_are_told_with_one_of_them(
    tmp_path: Path, dsn: str, secret: str, shown: str | None
) -> None:
    goods = Goods(tmp_path, dsn)
    goods.table("goods", {"id": "integer"}, f"rejects = {{ limit = 1 }}\n{secret}")
    goods.file("goods.csv", "id\n1\nx\ny\n")
    ended = goods.load()

    assert (ended.status, "goods.csv line 4, column 'id'" in ended.stderr) == (65, True)
    assert (f"line 4, column 'id', value {shown}" in ended.stderr) is bool(shown), ended.stderr
    assert ("'y'" in ended.stderr) is bool(shown)


def test_where_a_server_counts_no_rejects_we_tell_the_values(tmp_path: Path) -> None:
    """As PostgreSQL 17, which leaves out any number of records."""
    path = tmp_path / "goods.csv"
    path.write_text("id,name\nx,\n2,y\n")
    table = Table(id=0, name="goods", files=("goods.csv",), columns={}, secret=("name",), reject_limit=1)
    skipped = [Skipped(line=2, column="id", value="x"), Skipped(line=3, column="name", value="y")]

    with pytest.raises(DataRejectedError) as caught:
        unreadable(CsvSource(SourceSettings(kind="csv", folder=tmp_path), table), ("id", "name"), skipped, table=table)

    assert f"{path} line 2, column 'id', value 'x'; {path} line 3, column 'name', value ***" in caught.value.message


def test_the_sample_is_loaded_and_reconciled_whatever_the_version(dsn: str, tmp_path: Path) -> None:
    catalogue = read_catalogue(PACKAGED, env={}, scale=0.02)
    before = run_job(dsn, "pre", ETL_SCALE="0.02")
    with connect({"DATABASE_URL": dsn}) as session:
        tables = [(t, Attempt(run=None, job=t.name)) for t in catalogue.tables]
        loaded = [load_table(session, catalogue, t, attempt=attempt, wait=5) for t, attempt in tables]
        again = [load_table(session, catalogue, t, attempt=attempt, wait=5) for t, attempt in tables]
        copied_again = session.execute(
            "SELECT array_agg(relname) FROM pg_class WHERE relname ~ 'all records'"
        ).fetchone()
    final = run_job(dsn, "final", "--reread", output=tmp_path / "output.jsonl", ETL_SCALE="0.02")

    assert (before.status, final.status) == (0, 0), before.stderr + final.stderr
    assert (final.metrics["tables"], final.metrics["marts"], final.metrics["differences"]) == (20, 3, 0)
    assert min(one.inserted for one in loaded) > 0
    assert [(one.inserted, one.updated, one.deleted) for one in again] == [(0, 0, 0)] * 20
    assert copied_again == (None,)  # where nothing is rejected, nobody asks where rows stand
