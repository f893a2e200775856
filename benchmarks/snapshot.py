"""A table of 1,000,000 rows that is there already: what changed is loaded, against deleting and copying all."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from statistics import median

from benchmarks.loading import (
    ROUNDS,
    ROWS,
    SCHEMA,
    count,
    load,
    psql,
    server_in,
    target_like,
    values,
    write_catalogue,
    write_csv,
)
from benchmarks.measure import Result, Rounds, Row, Spent
from etl_runner.postgres import Server

TARGET = 0.35
SHARES = {1: "i % 100 = 0", 10: "i % 10 = 0", 100: "true"}  # percent, spread over the whole table
BARE, INDEXED = "key only", "indexed"
INDEXES = {BARE: (), INDEXED: ("customer", "day")}
CASES = [(1, INDEXED), (10, INDEXED), (100, INDEXED), (1, BARE), (10, BARE), (100, BARE)]
CHANGE = "the change alone"
PARTS = ("copy_seconds", "check_seconds", "load_seconds")


def bench(folder: Path, *, rounds: int | None, rows: int | None) -> Result:
    """Every run finds the rows of the run before, all vacuumed, and a file in which a share of them is different."""
    rows = rows or ROWS
    with server_in(folder) as server:
        catalogue = _prepare(folder, server, rows)
        cases = {_peer_name(indexes): _peer(folder, server, indexes) for indexes in INDEXES}
        cases |= {_name(case): _ours(folder, server, catalogue, case) for case in CASES}
        measured = Rounds(cases, rounds=rounds or ROUNDS)
        changes = _reported(folder, (1, BARE), "load_seconds")
        measured.spent[CHANGE] = [Spent(seconds=seconds) for seconds in changes]
    found = [_row(measured, case, rows) for case in CASES]
    found.append(measured.row(f"of {_name((1, BARE))}: {CHANGE}", CHANGE, _peer_name(BARE)))
    return Result(rows=found, notes=[_parts(folder, case) for case in CASES])


def _name(case: tuple[int, str]) -> str:
    share, indexes = case
    return f"{share} % changed, {indexes}"


def _peer_name(indexes: str) -> str:
    return f"delete, \\copy; {indexes}"


def _row(measured: Rounds, case: tuple[int, str], rows: int) -> Row:
    what, target = f"snapshot of {count(rows)} rows, {_name(case)}", TARGET if case[0] == 1 else None
    return measured.row(what, _name(case), _peer_name(case[1]), target=target)


def _prepare(folder: Path, server: Server, rows: int) -> Path:
    """The files before and after; a table of its own for every case, for each comes from another file."""
    for name, changed in {"before": "false", **{f"after-{share}": SHARES[share] for share in SHARES}}.items():
        (folder / name).mkdir()
        write_csv(server, folder / name / "sale.csv", values(rows, changed=changed))
    for number, indexes in enumerate(INDEXES):
        psql(server, target_like(f"peer_{number}"), *_indexes(f"peer_{number}", indexes))
    tables = [(f"sale_{number}", 'file = "sale.csv"') for number in range(len(CASES))]
    return write_catalogue(folder, 'kind = "csv"\nfolder = "${ETL_SOURCE}"', tables)


def _indexes(table: str, indexes: str) -> list[str]:
    """SQL that gives a table what people have who look things up in it."""
    name = table.replace(".", "_")
    return [f"CREATE INDEX IF NOT EXISTS {name}_{column} ON {table} ({column})" for column in INDEXES[indexes]]


def _ours(folder: Path, server: Server, catalogue: Path, case: tuple[int, str]) -> Callable[[], Spent]:
    """The whole job, from the one file and from the other in turns; the first time fills the table."""
    share, indexes = case
    sources = cycle([folder / "before", folder / f"after-{share}"])
    number = CASES.index(case)
    target = f"{SCHEMA}.sale_{number}"

    def timed() -> Spent:
        source, output = next(sources), _output(folder, case)
        if output.exists():
            psql(server, *_indexes(target, indexes), f"VACUUM (ANALYZE) {target}")
        more = {"ETL_SOURCE": str(source), "ETL_OUTPUT": str(output)}
        return load(server, catalogue, table=number, **more)

    return timed


def _peer(folder: Path, server: Server, indexes: str) -> Callable[[], Spent]:
    """All rows deleted and copied again in one transaction: readers do not wait, too."""
    sources = cycle([folder / "before", folder / "after-1"])
    table = f"peer_{list(INDEXES).index(indexes)}"

    def timed() -> Spent:
        psql(server, f"VACUUM (ANALYZE) {table}")
        file = next(sources) / "sale.csv"
        return psql(server, f"DELETE FROM {table}", f"\\copy {table} FROM '{file}' CSV HEADER", once=True)

    return timed


def _output(folder: Path, case: tuple[int, str]) -> Path:
    return folder / f"{CASES.index(case)}.jsonl"


def _reported(folder: Path, case: tuple[int, str], metric: str) -> list[float]:
    """What the jobs themselves said, without the first that filled the table."""
    lines = _output(folder, case).read_text(encoding="utf-8").splitlines()
    return [json.loads(line)[metric] for line in lines][1:]


def _parts(folder: Path, case: tuple[int, str]) -> str:
    copy, check, change = (median(_reported(folder, case, part)) for part in PARTS)
    return f"snapshot, {_name(case)}: {copy:.2f} s to copy, {check:.2f} s to check, {change:.2f} s to change"
