"""Tables that nobody lists: one for every file that a pattern finds, and a folder as a catalogue of its own."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from etl_jobs.errors import JobError, MisconfiguredError
from etl_jobs.names import clip
from etl_jobs.sources.files import find_files, is_pattern, matching

NAMES = ("exact", "plain")
SCHEMA = "raw"  # where the tables of a folder without a catalogue go
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
_CSV = tuple(f"*.[cC][sS][vV]{ending}" for ending in ("", *_COMPRESSED))
_PARQUET = ("*.[pP][aA][rR][qQ][uU][eE][tT]",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A file below the source's folder, and the table that it becomes."""

    name: str
    file: str


def find_tables(folder: Path, patterns: Iterable[str], *, names: str = "exact") -> list[Found]:
    """One table for every file, those of each pattern in the order of their names; a file counts once.

    Hidden files are passed over, but where the pattern says the dot. Raises ValueError for what is no pattern.
    """
    found: dict[str, Found] = {}
    for pattern in patterns:
        for path in sorted(_matching(folder, pattern)):
            file = path.relative_to(folder)
            found.setdefault(str(file), Found(name=table_name(file, pattern, names=names), file=str(file)))
    return list(found.values())


def table_name(file: PurePath, pattern: str, *, names: str) -> str:
    """What a file's table is called: the file without its endings, behind the folders that the pattern left open.

    `plain` names are of small letters, digits and "_" alone. All are cut as the server does it.
    """
    parts = PurePath(pattern).parts
    fixed = next((n for n, part in enumerate(parts[:-1]) if is_pattern(part)), len(parts) - 1)
    last = file.with_suffix("") if file.suffix.lower() in _COMPRESSED else file
    name = "_".join([*file.parts[fixed:-1], last.stem]).strip()
    name = plain(name) if names == "plain" else name
    return clip(name) if name.isprintable() else name  # bytes that are no text cannot be cut, nor be a name


def plain(name: str) -> str:
    """`Sales 2024-EU` → `sales_2024_eu`; letters of any alphabet stay letters."""
    return re.sub(r"\W+", "_", name.lower()).strip("_")


def problems_of(found: Iterable[Found], listed: Iterable[Found]) -> Iterator[str]:
    """What is wrong with names: no name at all, or two files (or a file and a listed table) with the same one."""
    files = {table.name: table.file for table in listed}
    for table in found:
        if not table.name or not table.name.isprintable():
            yield f"{table.file!r} gives the name {table.name!r}, which no table can have: rename the file"
        elif other := files.get(table.name):
            yield f"{other!r} and {table.file!r} are both table {table.name!r}: rename one or give it a [[table]]"
        files.setdefault(table.name, table.file)


def claimed(folder: Path, files: Iterable[str]) -> set[str]:
    """The files that listed tables read already; those that are missing are no matter here."""
    taken: set[str] = set()
    for pattern in files:
        with contextlib.suppress(JobError, ValueError):
            taken.update(str(path.relative_to(folder)) for path in find_files(folder, [pattern]))
    return taken


def left_alone(folder: Path, files: Iterable[str]) -> list[str]:
    """The files right in the folder that no table reads; catalogues and hidden files are none."""
    taken = claimed(folder, files)
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    return [name for name in names if name not in taken and not name.startswith(".") and not name.endswith(".toml")]


def folder_document(folder: Path) -> dict[str, Any]:
    """A catalogue for a folder that has none: each of its CSV files, or of its Parquet files, is a table.

    Raises MisconfiguredError where it has both, or none.
    """
    texts, columnar = find_tables(folder, _CSV), find_tables(folder, _PARQUET)
    if texts and columnar:
        raise MisconfiguredError(
            f"{folder} has CSV files ({texts[0].file}, …) and Parquet files ({columnar[0].file}, …)",
            hint="write a catalogue that says which ones to load",
        )
    if not texts and not columnar:
        raise MisconfiguredError(f"{folder} has no CSV or Parquet file", hint="files deeper in it need a catalogue")
    return _document(folder, "parquet" if columnar else "csv", _PARQUET if columnar else _CSV)


def file_document(path: Path) -> dict[str, Any]:
    """A catalogue of one file alone."""
    kind = "parquet" if path.suffix.lower() == ".parquet" else "csv"
    name = table_name(PurePath(path.name), path.name, names="exact")
    return _document(path.parent, kind) | {"table": [{"name": name, "file": path.name}]}


def _document(folder: Path, kind: str, patterns: Iterable[str] = ()) -> dict[str, Any]:
    source = {"kind": kind, "folder": str(folder.absolute())}
    return {"source": source, "warehouse": {"schema": SCHEMA}, "table": [{"each": list(patterns)}]}


def _matching(folder: Path, pattern: str) -> Iterator[Path]:
    try:
        yield from matching(folder, pattern)
    except NotImplementedError as error:
        raise ValueError(f"{pattern!r} is no pattern of files: {error}") from None
