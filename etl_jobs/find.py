"""Which tables there are, one per line: `python -m etl_jobs.find`, for a `matrix` that nobody lists."""

from __future__ import annotations

from pathlib import Path

from etl_jobs.command import arguments, catalogue_of, run
from etl_jobs.errors import MisconfiguredError
from etl_runner.job import report


def main() -> None:
    parser = arguments("Print the names of the tables of a catalogue, and report them as `tables`.")
    parser.add_argument("folder", nargs="?", type=Path, help="a folder (or a catalogue) in place of --catalogue")
    options = parser.parse_args()
    if options.folder is not None:
        options.catalogue = options.folder
    names = [table.name for table in catalogue_of(options).tables]
    if several := [name for name in names if "\n" in name]:
        raise MisconfiguredError(f"table {several[0]!r}: a name of more than one line cannot be printed as one")
    report(tables=names)
    print("\n".join(names))


if __name__ == "__main__":
    run(main)
