"""Load one table of the catalogue: `python -m etl_jobs.table --id 3`, `… --table sales`, `… --file in/sales.csv`."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from etl_jobs.catalogue import catalogue_of_file
from etl_jobs.command import arguments, catalogue_of, run, this_attempt
from etl_jobs.load import load_table
from etl_jobs.records import Loaded
from etl_jobs.tables import Catalogue, Table
from etl_jobs.warehouse import connect
from etl_runner.job import report


def main() -> None:
    parser = arguments("Load one table of the catalogue into the warehouse.")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--id", type=int, help="the table's place in the catalogue, from 0")
    which.add_argument("--table", metavar="NAME", help="the table's name in the catalogue")
    which.add_argument("--file", type=Path, metavar="PATH", help="a file alone, without a catalogue")
    parser.add_argument("--wait", type=float, default=60.0, help="seconds to wait for another load of the table")
    parser.add_argument(
        "--full-refresh",
        action="store_true",
        help="read the source from its beginning, whatever the watermark or an earlier load says",
    )
    parser.add_argument("--explain", action="store_true", help="print what would be done, as SQL, and do nothing")
    options = parser.parse_args()
    catalogue, table = chosen(options)
    if options.explain:
        from etl_jobs.explain import explain

        with connect() as session:
            print(explain(session, catalogue, table, full=options.full_refresh))
        return
    with connect() as session:
        loaded = load_table(
            session,
            catalogue,
            table,
            attempt=this_attempt(f"table-{table.name if options.id is None else options.id}"),
            wait=options.wait,
            full=options.full_refresh,
        )
    tell(table, loaded)


def tell(table: Table, loaded: Loaded) -> None:
    """Metrics to the runner, a few lines to the log."""
    metrics = asdict(loaded) | {"cached": bool(loaded.cached)}
    del metrics["warned"]
    report(table=table.name, **{k: v for k, v in metrics.items() if v or k not in {"recorded", "cached"}})
    if loaded.cached:
        print(f"{table.name}: not loaded, {loaded.cached}")
        return
    print(
        f"{table.name}: {loaded.rows:,} rows, {loaded.inserted:,} inserted, {loaded.updated:,} updated,"
        f" {loaded.deleted:,} deleted" + (", as recorded by an earlier attempt" if loaded.recorded else "")
    )
    for count, what in ((loaded.duplicates, "rows repeat a key"), (loaded.orphans, "rows refer to no parent")):
        if count:
            print(f"{table.name}: {count:,} {what}, as the catalogue allows")
    if loaded.rejected:
        print(f"{table.name}: {loaded.rejected:,} rows rejected, see {table.rejects_name}")
    for warning in loaded.warned:
        print(f"warning: {warning}")


def chosen(options: argparse.Namespace) -> tuple[Catalogue, Table]:
    """The catalogue, and the table of it that the options name."""
    if options.file is not None:
        catalogue = catalogue_of_file(options.file)
        return catalogue, catalogue.tables[0]
    catalogue = catalogue_of(options)
    return catalogue, catalogue.named(options.table) if options.id is None else catalogue.table(options.id)


if __name__ == "__main__":
    run(main)
