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
from benchmarks.measure import Result, Rounds, Spent
from etl_runner.postgres import Server

TARGET = 0.35
SHARES = {1: "i % 100 = 0", 10: "i % 10 = 0", 100: "true"}  # percent, spread over the whole table
PEER = "psql: delete, \\copy"
PARTS = ("copy_seconds", "check_seconds", "load_seconds")


def bench(folder: Path, *, rounds: int | None, rows: int | None) -> Result:
    """Every run finds the rows of the run before, all vacuumed, and a file in which a share of them is different."""
    rows = rows or ROWS
    with server_in(folder) as server:
        catalogue = _prepare(folder, server, rows)
        ours = {share: _ours(folder, server, catalogue, share) for share in SHARES}
        cases = {PEER: _peer(folder, server), **{f"{share} %": case for share, case in ours.items()}}
        measured = Rounds(cases, rounds=rounds or ROUNDS)
        measured.spent["change"] = [Spent(seconds=seconds) for seconds in _reported(folder, 1, "load_seconds")]
    what = f"snapshot of {count(rows)} rows"
    return Result(
        rows=[
            measured.row(f"{what}, 1 % changed", "1 %", PEER, target=TARGET),
            measured.row("of it the change alone", "change", PEER),
            measured.row(f"{what}, 10 % changed", "10 %", PEER),
            measured.row(f"{what}, 100 % changed", "100 %", PEER),
        ],
        notes=[_parts(folder, share) for share in SHARES],
    )


def _prepare(folder: Path, server: Server, rows: int) -> Path:
    """The files before and after; a table of its own for every share, for each comes from another file."""
    for name, changed in {"before": "false", **{f"after-{share}": SHARES[share] for share in SHARES}}.items():
        (folder / name).mkdir()
        write_csv(server, folder / name / "sale.csv", values(rows, changed=changed))
    psql(server, target_like("b"))
    tables = [(f"sale_{share}", 'file = "sale.csv"') for share in SHARES]
    return write_catalogue(folder, 'kind = "csv"\nfolder = "${ETL_SOURCE}"', tables)


def _ours(folder: Path, server: Server, catalogue: Path, share: int) -> Callable[[], Spent]:
    """The whole job, from the one file and from the other in turns; the first time fills the table."""
    sources = cycle([folder / "before", folder / f"after-{share}"])
    table, target = list(SHARES).index(share), f"{SCHEMA}.sale_{share}"

    def timed() -> Spent:
        source = next(sources)
        if (folder / f"{share}.jsonl").exists():
            psql(server, f"VACUUM (ANALYZE) {target}")
        more = {"ETL_SOURCE": str(source), "ETL_OUTPUT": str(folder / f"{share}.jsonl")}
        return load(server, catalogue, table=table, **more)

    return timed


def _peer(folder: Path, server: Server) -> Callable[[], Spent]:
    """All rows deleted and copied again in one transaction: readers do not wait, too."""
    sources = cycle([folder / "before", folder / "after-1"])

    def timed() -> Spent:
        psql(server, "VACUUM (ANALYZE) b")
        file = next(sources) / "sale.csv"
        return psql(server, "DELETE FROM b", f"\\copy b FROM '{file}' CSV HEADER", once=True)

    return timed


def _reported(folder: Path, share: int, metric: str) -> list[float]:
    """What the jobs themselves said, without the first that filled the table."""
    lines = (folder / f"{share}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)[metric] for line in lines][1:]


def _parts(folder: Path, share: int) -> str:
    copy, check, change = (median(_reported(folder, share, part)) for part in PARTS)
    return f"snapshot, {share} % changed: {copy:.2f} s to copy, {check:.2f} s to check, {change:.2f} s to change"
