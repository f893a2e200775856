"""Which tables there are, one per line: `python -m etl_jobs.find`, for a `matrix` that nobody lists."""

from __future__ import annotations

import sys
from pathlib import Path

from etl_jobs.command import arguments, catalogue_of, run
from etl_jobs.errors import MisconfiguredError
from etl_jobs.found import left_alone
from etl_runner.job import report

_SHOWN = 10


def main() -> None:
    parser = arguments("Print the names of the tables of a catalogue, and report them as `tables`.")
    parser.add_argument("folder", nargs="?", type=Path, help="a folder (or a catalogue) in place of --catalogue")
    options = parser.parse_args()
    if options.folder is not None:
        options.catalogue = options.folder
    catalogue = catalogue_of(options)
    names = [table.name for table in catalogue.tables]
    if several := [name for name in names if "\n" in name]:
        raise MisconfiguredError(f"table {several[0]!r}: a name of more than one line cannot be printed as one")
    others = []
    if folder := catalogue.source.folder:
        others = left_alone(folder, (file for table in catalogue.tables for file in table.files))
    report(tables=names, found=len(names), **({"left_alone": len(others)} if others else {}))
    print("\n".join(names))
    if others:
        shown = ", ".join(others[:_SHOWN]) + (f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else "")
        print(f"no table reads {shown}", file=sys.stderr)


if __name__ == "__main__":
    run(main)
