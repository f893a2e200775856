"""1,000,000 rows from one database into another, against two psql with binary COPY and a pipe between them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from benchmarks.loading import (
    ROUNDS,
    ROWS,
    Contest,
    after,
    psql,
    psql_environment,
    psql_words,
    server_in,
    staging_like,
    target_like,
    values,
    write_catalogue,
)
from benchmarks.measure import Result, Rounds, Spent, piped
from etl_runner.postgres import Server

TARGET = 1.2
TEXT = "two psql, CSV"  # which is how we do it


def bench(folder: Path, *, rounds: int | None, rows: int | None) -> Result:
    """Both databases are of one server, so source and target share its memory and the machine's cores."""
    rows = rows or ROWS
    with server_in(folder) as server:
        source = make_source(server, rows)
        settings = f'kind = "postgresql"\nurl = "{source.url}"'
        catalogue = write_catalogue(folder, settings, [("sale", "")])
        contest = Contest(server, catalogue, partial(_two_psql, source, server, "binary"), by="two psql, binary")
        text = partial(_two_psql, source, server, "csv", staging_like("a"), "a")
        cases = {**contest.cases, TEXT: after(server, "DROP TABLE IF EXISTS a", text)}
        measured = Rounds(cases, rounds=rounds or ROUNDS)
    copying, whole = contest.rows(measured, of="PostgreSQL", rows=rows, target=TARGET)
    return Result(rows=[copying, measured.row(copying.what, "staging", TEXT), whole])


def make_source(server: Server, rows: int) -> Server:
    """Another database of the server, with the rows in a table that is settled."""
    psql(server, "CREATE DATABASE shop")
    source = Server(url=server.url.replace("/warehouse?", "/shop?"), psql=server.psql)
    psql(source, target_like("sale"), f"INSERT INTO sale {values(rows)}")
    psql(source, "VACUUM (ANALYZE, FREEZE) sale")
    return source


def _two_psql(source: Server, server: Server, kind: str, create: str, table: str) -> Spent:
    writing = psql_words(source, f"COPY sale TO STDOUT (FORMAT {kind})")
    reading = psql_words(server, create, f"COPY {table} FROM STDIN (FORMAT {kind})")
    return piped(writing, reading, env=psql_environment())
