"""1,000,000 rows from a Parquet file into PostgreSQL, against psql's \\copy of the same rows as CSV."""

from __future__ import annotations

import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from benchmarks.loading import (
    COLUMNS,
    ROUNDS,
    ROWS,
    Contest,
    psql_copy,
    server_in,
    values,
    write_catalogue,
    write_csv,
)
from benchmarks.measure import Result, Rounds, run

TARGET = 1.0
NEEDED = ("duckdb", "pgpq", "pyarrow")
MISSING = f"parquet: not all of {', '.join(NEEDED)} are here: pip install -e '.[test]'"


def is_missing() -> bool:
    return any(find_spec(name) is None for name in NEEDED)


CONVERT = """\
import duckdb, sys
csv, parquet, columns = sys.argv[1:]
duckdb.execute("SET TimeZone = 'UTC'")
duckdb.execute(f"COPY (FROM read_csv('{csv}', header = true, columns = {{{columns}}})) TO '{parquet}'"
               " (FORMAT parquet, ROW_GROUP_SIZE 51200)")
"""


def bench(folder: Path, *, rounds: int | None, rows: int | None) -> Result:
    """As `copy`; the file has the same types as the table, or its nearest."""
    if is_missing():
        return Result(rows=[], notes=[MISSING])
    rows, file = rows or ROWS, folder / "sale.csv"
    with server_in(folder) as server:
        write_csv(server, file, values(rows))
        size = write_parquet(file, folder / "sale.parquet")
        catalogue = write_catalogue(folder, 'kind = "parquet"\nfolder = "."', [("sale", "")])
        contest = Contest(server, catalogue, partial(psql_copy, server, file), by="psql \\copy of CSV")
        measured = Rounds(contest.cases, rounds=rounds or ROUNDS)
    return Result(
        rows=contest.rows(measured, of="Parquet", rows=rows, target=TARGET),
        notes=[f"parquet: {size / 2**20:.0f} MiB, the same rows as CSV {file.stat().st_size / 2**20:.0f} MiB"],
    )


def write_parquet(csv: Path, parquet: Path) -> int:
    """The file's rows as Parquet, in row groups of one size for small and large files; returns how many bytes."""
    columns = ", ".join(f"'{name}': '{kind}'" for name, kind in COLUMNS.items())
    run([sys.executable, "-c", CONVERT, str(csv), str(parquet), columns])
    return parquet.stat().st_size
