"""After all loads: reconcile the warehouse with its sources, then build the marts and write the report."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from etl_jobs.command import arguments, catalogue_of, run
from etl_jobs.errors import DataRejectedError
from etl_jobs.marts import Built, build_marts
from etl_jobs.reconcile import Compared, compare
from etl_jobs.warehouse import connect, prepare
from etl_runner.job import report


def main() -> None:
    parser = arguments("Compare the warehouse with its sources, then build the marts.")
    parser.add_argument(
        "--reread", action="store_true", help="read the sources again instead of trusting the load records"
    )
    parser.add_argument("--wait", type=float, default=60.0, help="seconds to wait for another build of the marts")
    options = parser.parse_args()
    catalogue = catalogue_of(options)
    with connect() as session:
        prepare(session)
        compared = [compare(session, catalogue, table, reread=options.reread) for table in catalogue.tables]
        different = [c for c in compared if c.differences]
        marts = [] if different else build_marts(session, catalogue, wait=options.wait)
    _tell(compared, marts)
    if different:
        said = [f"{c.table}: {'; '.join(c.differences)}" for c in different]
        raise DataRejectedError(
            f"the warehouse differs from its sources in {len(different)} of {len(compared)} tables,"
            f" the marts are as they were\n" + "\n".join(said),
            hint="load these tables again, with --full-refresh those that only grow or keep their history;"
            " docs/loading.md says how to take them as they are",
        )


def _tell(compared: Sequence[Compared], marts: Sequence[Built]) -> None:
    """Metrics to the runner, the report to the log and into the run's folder."""
    report(
        tables=len(compared),
        rows=sum(c.warehouse_rows or 0 for c in compared),
        differences=sum(bool(c.differences) for c in compared),
        marts=len(marts),
        mart_rows=sum(m.rows for m in marts),
        inserted=sum(m.changed.inserted for m in marts),
        deleted=sum(m.changed.deleted for m in marts),
    )
    text = written(compared, marts)
    print(text)
    if folder := os.environ.get("ETL_RUN_DIR"):
        Path(folder, "reconciliation.md").write_text(text + "\n", "utf-8")


def written(compared: Sequence[Compared], marts: Sequence[Built]) -> str:
    """The report: every table on both sides, every mart."""
    lines = ["| Table | Source | Warehouse | |", "|---|---:|---:|---|"]
    for one in compared:
        result = "; ".join(one.differences) or "equal"
        lines.append(f"| {one.table} | {_number(one.source_rows)} | {_number(one.warehouse_rows)} | {result} |")
    if marts:
        lines += ["", "| Mart | Rows | Inserted | Deleted |", "|---|---:|---:|---:|"]
        lines += [f"| {m.name} | {m.rows:,} | {m.changed.inserted:,} | {m.changed.deleted:,} |" for m in marts]
    return "\n".join(lines)


def _number(rows: int | None) -> str:
    return "–" if rows is None else f"{rows:,}"


if __name__ == "__main__":
    run(main)
