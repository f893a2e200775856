"""1,000,000 rows of ten mixed columns from a CSV file into PostgreSQL, against psql's \\copy of the same file."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.commands import ROOT, environment
from benchmarks.measure import Result, Rounds, Spent, run
from etl_runner.postgres import EmbeddedPostgres
from etl_runner.postgres.server import Server

ROWS = 1_000_000
ROUNDS = 5

CATALOGUE = """\
[source]
kind = "csv"
folder = "."

[warehouse]
schema = "bench"

[[table]]
name = "sale"
columns = {{ {columns} }}
key = ["id"]
required = ["customer", "amount"]
"""
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
 ((hashint4(i + 1) & 1048575) / 100.0)::numeric(12,2) AS amount, sqrt(i) AS rate, date '2020-01-01' + i % 2000 AS day,
 timestamptz '2020-01-01 00:00+00' + i * interval '53 seconds' AS at, i % 3 = 0 AS paid,
 CASE WHEN i % 5 = 0 THEN NULL WHEN i % 11 = 0 THEN 'says "later", perhaps' ELSE 'delivered' END AS remark,
 upper(substr(md5((i + 7)::text), 1, 12)) AS code
FROM generate_series(1, {rows}) AS i"""

STAGING = """\
import sys
from pathlib import Path
from psycopg import sql
from etl_jobs.catalogue import read_catalogue
from etl_jobs.sources import open_source
from etl_jobs.staging import check_header, copy_into, create_staging
from etl_jobs.warehouse import connect

catalogue = read_catalogue(Path(sys.argv[1]))
table = catalogue.table(0)
source = open_source(catalogue, table)
target = sql.Identifier("ours")
with connect() as session:
    create_staging(session, target, table)
    copy_into(session, target, source, check_header(source, table))
"""


def bench(folder: Path, *, rounds: int | None) -> Result:
    """Whole processes on both sides, into tables of the same kind on the same server."""
    with EmbeddedPostgres(folder / "postgres").hold() as server:
        catalogue = _prepare(folder, server)
        env = environment(DATABASE_URL=server.url, TZ="UTC")
        table = [sys.executable, "-m", "etl_jobs.table", "--id", "0", "--catalogue", str(catalogue)]
        file = folder / "sale.csv"
        cases: dict[str, Callable[[], Spent]] = {
            "psql \\copy": partial(_psql, server, f"\\copy a FROM '{file}' CSV HEADER", before=_staging_like("a")),
            "psql \\copy, with key": partial(
                _psql, server, f"\\copy b FROM '{file}' CSV HEADER", before=_target_like("b")
            ),
            "staging": partial(run, [sys.executable, "-c", STAGING, str(catalogue)], cwd=ROOT, env=env),
            "first": partial(_after, server, "DROP SCHEMA IF EXISTS bench CASCADE", table, env=env),
            "again": partial(run, table, cwd=ROOT, env=env),
        }
        measured = Rounds(cases, rounds=rounds or ROUNDS)
    size = file.stat().st_size / 2**20
    return Result(
        rows=[
            measured.row("COPY of 1M rows × 10 columns from CSV", "staging", "psql \\copy", target=1.3),
            measured.row("the whole load: checks, key, first time", "first", "psql \\copy, with key"),
            measured.row("the whole load once more, nothing new", "again", "psql \\copy, with key"),
        ],
        notes=[f"COPY: {size:.0f} MiB of CSV; python's start and imports are in our times, psql's in its own"],
    )


def _prepare(folder: Path, server: Server) -> Path:
    """The file and the catalogue that describes it."""
    values = " ".join(VALUES.format(rows=ROWS).split("\n"))
    _psql(server, f"\\copy ({values}) TO '{folder / 'sale.csv'}' CSV HEADER")
    columns = ", ".join(f'{name} = "{kind}"' for name, kind in COLUMNS.items())
    catalogue = folder / "tables.toml"
    catalogue.write_text(CATALOGUE.format(columns=columns), encoding="utf-8")
    return catalogue


def _staging_like(name: str) -> str:
    """SQL that makes an empty table as our staging is: unlogged, without constraints."""
    return f"DROP TABLE IF EXISTS {name}; CREATE UNLOGGED TABLE {name} ({_columns()}) WITH (autovacuum_enabled = false)"


def _target_like(name: str) -> str:
    """SQL that makes an empty table as our targets are: it survives a crash, and its key is one."""
    return f"DROP TABLE IF EXISTS {name}; CREATE TABLE {name} ({_columns()}, PRIMARY KEY (id))"


def _columns() -> str:
    return ", ".join(f'"{column}" {kind}' for column, kind in COLUMNS.items())


def _psql(server: Server, command: str, *, before: str = "") -> Spent:
    words = [str(server.psql), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", server.url]
    if before:
        words += ["-c", before]
    return run([*words, "-c", command], env=environment(TZ="UTC", PGTZ="UTC"))


def _after(server: Server, statement: str, argv: list[str], *, env: dict[str, str]) -> Spent:
    """Time a command in a state that is made first and is not part of it."""
    words = [str(server.psql), "-X", "-q", "-d", server.url, "-c", f"SET client_min_messages = error; {statement}"]
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
    return run(argv, cwd=ROOT, env=env)
