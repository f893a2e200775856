"""Twenty loads with five workers, against the same with one: how much of four cores a run makes use of."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.commands import ROOT, etl_run
from benchmarks.loading import SCHEMA, after, count, job_environment, server_in, values, write_catalogue, write_csv
from benchmarks.measure import Result, Rounds, Spent, run
from etl_runner.postgres import Server

TABLES = 20
ROWS = 50_000  # in each
ROUNDS = 5
WORKERS = (5, 1)

PIPELINE = f"""\
[pipeline]
name = "tables"
warehouse = true
preload = ["psycopg"]

[jobs.table]
matrix = {{ id = "0..{TABLES - 1}" }}
run = "python -m etl_jobs.table --id {{id}} --catalogue tables.toml"
"""


def bench(folder: Path, *, rounds: int | None, rows: int | None) -> Result:
    """The sample pipeline, and as many tables of the same size; every run makes all tables anew."""
    rows = rows or ROWS
    place = folder / "tables"
    place.mkdir()
    with server_in(folder) as server:
        write_csv(server, place / "sale.csv", values(rows))
        write_catalogue(place, 'kind = "csv"\nfolder = "."', [(f"t{n}", 'file = "sale.csv"') for n in range(TABLES)])
        (place / "etl.toml").write_text(PIPELINE, encoding="utf-8")
        scale = f"{rows / ROWS:g}"  # tiny where the tables are
        cases = {}
        for workers in WORKERS:
            cases[f"tables, {workers}"] = _case(server, workers, cwd=place, home=place / "home", schemas=SCHEMA)
            cases[f"sample, {workers}"] = _case(
                server, workers, cwd=ROOT, home=folder / "home", schemas="erp, erp_mart", ETL_SCALE=scale
            )
        measured = Rounds(cases, rounds=rounds or ROUNDS)
    many, one = WORKERS
    return Result(
        rows=[
            measured.row(f"{TABLES} tables of {count(rows)} rows, {many} workers", f"tables, {many}", f"tables, {one}"),
            measured.row(f"the sample pipeline, {many} workers", f"sample, {many}", f"sample, {one}"),
        ]
    )


def _case(server: Server, workers: int, *, cwd: Path, home: Path, schemas: str, **env: str) -> Callable[[], Spent]:
    env = job_environment(server, ETL_HOME=str(home), PYTHONPATH=str(ROOT), **env)
    whole = partial(run, etl_run("all", "-q", "-w", str(workers)), cwd=cwd, env=env)
    return after(server, f"DROP SCHEMA IF EXISTS {schemas} CASCADE", whole)
