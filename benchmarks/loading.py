"""What the benches of loads share: a million rows of ten mixed columns, a server, our jobs, and psql beside them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.commands import ROOT, environment
from benchmarks.measure import Rounds, Row, Spent, run
from etl_runner.postgres import EmbeddedPostgres, Server

ROWS = 1_000_000
ROUNDS = 5
SCHEMA = "bench"

COLUMNS = {
    "id": "bigint",
    "customer": "integer",
    "name": "text",
    "amount": "numeric(12,2)",
    "rate": "double precision",
    "day": "date",
    "at": "timestamptz",
    "paid": "boolean",
    "remark": "text",
    "code": "varchar(12)",
}
VALUES = """\
SELECT i AS id, hashint4(i) & 65535 AS customer, 'Customer ' || md5(i::text) AS name,
 ((hashint4(i + 1) & 1048575) / 100.0)::numeric(12,2) + CASE WHEN {changed} THEN 1 ELSE 0 END AS amount,
 sqrt(i) AS rate, date '2020-01-01' + i % 2000 AS day,
 timestamptz '2020-01-01 00:00+00' + i * interval '53 seconds' AS at, i % 3 = 0 AS paid,
 CASE WHEN i % 5 = 0 THEN NULL WHEN i % 11 = 0 THEN 'says "later", perhaps' ELSE 'delivered' END AS remark,
 upper(substr(md5((i + 7)::text), 1, 12)) AS code
FROM generate_series(1, {rows}) AS i"""
TABLE = """
[[table]]
name = "{name}"
columns = {{ {columns} }}
key = ["id"]
required = ["customer", "amount"]
{settings}
"""

STAGING = """\
import gc
import sys
from pathlib import Path
from psycopg import sql
from etl_jobs.catalogue import read_catalogue
from etl_jobs.copying import Copy
from etl_jobs.sources import open_source
from etl_jobs.staging import check_header, create_staging
from etl_jobs.transfer import copy_rows
from etl_jobs.warehouse import connect

catalogue = read_catalogue(Path(sys.argv[1]))
table = catalogue.table(0)
source = open_source(catalogue, table)
target = sql.Identifier("ours")
with connect() as session:
    create_staging(session, target, table)
    columns = check_header(source, table)
    copy_rows(Copy(session=session, target=target, source=source, columns=columns, secret=table.secret))
gc.freeze()  # as every job does before it ends
"""


@contextmanager
def server_in(folder: Path) -> Iterator[Server]:
    """A PostgreSQL of its own for one bench, gone with it."""
    with EmbeddedPostgres(folder / "postgres").hold() as server:
        yield server


def values(rows: int, *, changed: str = "false") -> str:
    """The rows as a query, in one line; those for which `changed` holds have another amount."""
    return " ".join(VALUES.format(rows=rows, changed=changed).split("\n"))


def write_csv(server: Server, file: Path, query: str) -> None:
    psql(server, f"\\copy ({query}) TO '{file}' CSV HEADER")


def write_catalogue(folder: Path, source: str, tables: Iterable[tuple[str, str]]) -> Path:
    """A catalogue of tables that differ in name and further settings alone."""
    columns = ", ".join(f'{name} = "{kind}"' for name, kind in COLUMNS.items())
    text = f'[source]\n{source}\n\n[warehouse]\nschema = "{SCHEMA}"\n'
    text += "".join(TABLE.format(name=name, columns=columns, settings=settings) for name, settings in tables)
    catalogue = folder / "tables.toml"
    catalogue.write_text(text, encoding="utf-8")
    return catalogue


def load(server: Server, catalogue: Path, *, table: int = 0, **more: str) -> Spent:
    """`python -m etl_jobs.table`, the whole job."""
    return run(job_words(catalogue, table=table), cwd=ROOT, env=job_environment(server, **more))


def job_words(catalogue: Path, *, table: int = 0) -> list[str]:
    return [sys.executable, "-m", "etl_jobs.table", "--id", str(table), "--catalogue", str(catalogue)]


def load_staging(server: Server, catalogue: Path) -> Spent:
    """The part of a job that copies its source into staging, in a process of its own."""
    return run([sys.executable, "-c", STAGING, str(catalogue)], cwd=ROOT, env=job_environment(server))


def job_environment(server: Server, **more: str) -> dict[str, str]:
    return environment(DATABASE_URL=server.url, TZ="UTC", **more)


def psql(server: Server, *commands: str, once: bool = False) -> Spent:
    """Time psql doing the commands, in one transaction if `once`."""
    return run(psql_words(server, *commands, once=once), env=psql_environment())


def psql_copy(server: Server, file: Path, create: str, table: str) -> Spent:
    """Time psql making a table and filling it from a CSV file."""
    return psql(server, create, f"\\copy {table} FROM '{file}' CSV HEADER")


def psql_words(server: Server, *commands: str, once: bool = False) -> list[str]:
    words = [str(server.psql), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", server.url, *(["-1"] if once else [])]
    return [*words, *(word for command in commands for word in ("-c", command))]


def psql_environment() -> dict[str, str]:
    return environment(TZ="UTC", PGTZ="UTC", PGOPTIONS="-c client_min_messages=warning")


def after(server: Server, statement: str, case: Callable[[], Spent]) -> Callable[[], Spent]:
    """The case in a state that is made first and is not part of its time."""

    def timed() -> Spent:
        psql(server, statement)
        return case()

    return timed


def staging_like(name: str) -> str:
    """SQL that makes an empty table as our staging is: unlogged, without constraints."""
    return f"CREATE UNLOGGED TABLE {name} ({_columns()}) WITH (autovacuum_enabled = false)"


def target_like(name: str) -> str:
    """SQL that makes an empty table as our targets are: it survives a crash, and its key is one."""
    return f"CREATE TABLE {name} ({_columns()}, PRIMARY KEY (id))"


def _columns() -> str:
    return ", ".join(f'"{column}" {kind}' for column, kind in COLUMNS.items())


class Contest:
    """Loads of one source into tables that are not there yet, ours beside a peer's; ends in rows of the table.

    `copy` is the peer: it makes a table by the statement it gets first, and fills the one it gets second.
    """

    def __init__(self, server: Server, catalogue: Path, copy: Callable[[str, str], Spent], *, by: str) -> None:
        self._plain, self._keyed = by, f"{by}, with key"
        gone = "DROP TABLE IF EXISTS"
        self.cases: dict[str, Callable[[], Spent]] = {
            self._plain: after(server, f"{gone} a", partial(copy, staging_like("a"), "a")),
            self._keyed: after(server, f"{gone} b", partial(copy, target_like("b"), "b")),
            "staging": after(server, f"{gone} ours", partial(load_staging, server, catalogue)),
            "first": after(server, f"{gone} {SCHEMA}.sale", partial(load, server, catalogue)),
        }

    def rows(self, rounds: Rounds, *, of: str, rows: int, target: float) -> list[Row]:
        """The copying alone, then the whole job."""
        return [
            rounds.row(
                f"{of}: copying {count(rows)} rows × {len(COLUMNS)} columns", "staging", self._plain, target=target
            ),
            self.row(rounds, f"{of}: the whole load, first time", "first", target=target),
        ]

    def row(self, rounds: Rounds, what: str, ours: str, *, target: float | None = None) -> Row:
        return rounds.row(what, ours, self._keyed, target=target)


def count(rows: int) -> str:
    """1M, 50k, 123."""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if rows % size == 0:
            return f"{rows // size}{letter}"
    return f"{rows:,}"
