"""1,000,000 rows of ten mixed columns from a CSV file into PostgreSQL, against psql's \\copy of the same file."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.loading import (
    ROUNDS,
    ROWS,
    SCHEMA,
    Contest,
    after,
    load,
    psql_copy,
    server_in,
    values,
    write_catalogue,
    write_csv,
)
from benchmarks.measure import Result, Rounds, Spent

TARGET = 1.2


def bench(folder: Path, *, rounds: int | None, rows: int | None) -> Result:
    """Whole processes on both sides, into tables of the same kind on the same server."""
    rows, file = rows or ROWS, folder / "sale.csv"
    with server_in(folder) as server:
        write_csv(server, file, values(rows))
        tables = [("sale", ""), ("other", 'file = "sale.csv"\nstrategy = "replace"')]
        catalogue = write_catalogue(folder, 'kind = "csv"\nfolder = "."', tables)
        contest = Contest(server, catalogue, partial(psql_copy, server, file), by="psql \\copy")
        replace = partial(load, server, catalogue, table=1)
        cases: dict[str, Callable[[], Spent]] = {
            **contest.cases,
            "again": partial(load, server, catalogue),
            "replace": after(server, f"DROP TABLE IF EXISTS {SCHEMA}.other", replace),
        }
        measured = Rounds(cases, rounds=rounds or ROUNDS)
    return Result(
        rows=[
            *contest.rows(measured, of="CSV", rows=rows, target=TARGET),
            contest.row(measured, "CSV: the whole load as replace", "replace", target=TARGET),
            contest.row(measured, "CSV: the whole load, nothing new", "again"),
        ],
        notes=[f"copy: {file.stat().st_size / 2**20:.0f} MiB of CSV"],
    )
