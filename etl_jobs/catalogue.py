"""Reading a catalogue (`tables.toml`): everything wrong with it is said at once, with a guess at what was meant."""

from __future__ import annotations

import os
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from etl_jobs.declared import EACH_KEYS, TABLE_KEYS, check_table, read_reference
from etl_jobs.declared_checks import read_check, read_rejects
from etl_jobs.entries import FILLED, LIST, PART, TEXT, Entries
from etl_jobs.errors import MisconfiguredError
from etl_jobs.found import NAMES, Found, claimed, file_document, find_tables, folder_document, problems_of
from etl_jobs.lines import line_of
from etl_jobs.names import LONGEST_NAME, clip, collisions
from etl_jobs.sources.settings import KINDS
from etl_jobs.tables import Catalogue, SourceSettings, Table
from etl_jobs.variables import check_interval, filled, interval_of, sql_filled

PACKAGED = Path(__file__).with_name("tables.toml")
_MOST_PROBLEMS = 20

_TOP_KEYS = {"source": PART, "warehouse": PART, "table": LIST}
_WAREHOUSE_KEYS = {"schema": FILLED, "marts": TEXT}


def default_path(env: Mapping[str, str]) -> Path:
    """`$ETL_CATALOGUE`, else the catalogue of the sample load."""
    return Path(env.get("ETL_CATALOGUE") or PACKAGED)


def read_catalogue(path: Path, *, env: Mapping[str, str] = os.environ, scale: float | None = None) -> Catalogue:
    """Read and check a catalogue; `scale` wins over `$ETL_SCALE` and the file's own.

    A folder is a catalogue as well: every file in it is a table.
    Raises MisconfiguredError that lists everything wrong with it at once.
    """
    try:
        text = "" if path.is_dir() else path.read_text("utf-8")
        document = folder_document(path) if path.is_dir() else tomllib.loads(text)
    except OSError as error:
        raise MisconfiguredError(f"cannot read the catalogue {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise MisconfiguredError(f"{path}: {error}") from error
    return _checked(path, document, env=env, scale=scale, text=text)


def catalogue_of_file(path: Path, *, env: Mapping[str, str] = os.environ) -> Catalogue:
    """A catalogue whose only table is this file."""
    return _checked(path, file_document(path), env=env, scale=None)


def _checked(
    path: Path, document: dict[str, Any], *, env: Mapping[str, str], scale: float | None, text: str = ""
) -> Catalogue:
    reader = _Reader(path=path, env=env, entries=Entries(), common=document.get("source"))
    catalogue = reader.catalogue(document, scale=scale)
    if problems := reader.entries.problems:
        lines = (line_of(text, problem) for problem in problems)
        places = (f"{path}:{line}" if line else str(path) for line in lines)
        said = [f"{place}: {problem}" for place, problem in zip(places, problems[:_MOST_PROBLEMS], strict=False)]
        more = len(problems) - len(said)
        raise MisconfiguredError("\n".join([*said, *([f"{path}: … and {more} more"] if more else [])]))
    return catalogue


@dataclass(frozen=True, slots=True)
class _Reader:
    """Builds a catalogue from TOML and collects what is wrong on the way. `common` is `[source]` as it is written."""

    path: Path
    env: Mapping[str, str]
    entries: Entries
    common: object

    def catalogue(self, document: dict[str, Any], *, scale: float | None) -> Catalogue:
        top = self.entries.known(document, "", _TOP_KEYS)
        warehouse = self.entries.known(top.get("warehouse", {}), "warehouse", _WAREHOUSE_KEYS, needed=("schema",))
        self._check_schema(warehouse.get("schema", ""))
        source = self._source(top.get("source", {}), scale=scale)
        tables = self._tables(top.get("table", []), source, is_known=not self.entries.problems)
        if not tables and not self.entries.problems:
            self.entries.problems.append("no [[table]] in it")
        for name in (name for name, times in Counter(table.name for table in tables).items() if times > 1):
            self.entries.problems.append(f"table {name!r}: the name is used more than once")
        for table in tables:
            check_table(self.entries, table, tables)
        marts = warehouse.get("marts")
        return Catalogue(
            path=self.path,
            source=source,
            schema=warehouse.get("schema", ""),
            tables=tables,
            marts=self._path(marts) if marts else None,
        )

    def _check_schema(self, name: str) -> None:
        said = ""
        if len(name.encode()) > LONGEST_NAME:
            said = f"longer than PostgreSQL's {LONGEST_NAME} bytes for a name: {name!r}"
        elif name == "etl":
            said = "'etl' is for load records, tables need another one"
        elif name.startswith("pg_") or name == "information_schema":
            said = f"{name!r} is the server's own"
        if said:
            self.entries.problems.append(f"warehouse: schema: {said}")

    def _source(self, entry: object, *, scale: float | None) -> SourceSettings:
        name = entry.get("kind") if isinstance(entry, dict) else None
        if name is not None:
            self.entries.one_of(name, KINDS, "source.kind")
        kind = KINDS.get(str(name))
        if kind is None or not isinstance(entry, dict):
            if name is None:
                self.entries.problems.append("source: 'kind' is missing")
            return SourceSettings(kind="")
        found = self.entries.known(entry, "source", {"kind": TEXT, str(name): PART, **kind.top}, needed=())
        for key in kind.needed:
            if key not in entry:
                self.entries.problems.append(f"source.{key}: missing, kind {name!r} needs it")
        where = f"source.{name}"
        part = self.entries.known(found.get(str(name), {}), where, kind.part, needed=kind.part_needed)
        kind.check(where, part, self.entries)
        folder = found.get("folder")
        return SourceSettings(
            kind=str(name),
            folder=self._path(folder) if folder is not None else None,
            url=self._filled(found.get("url", "")),
            scale=self._scale(scale, found.get("scale", 1.0)),
            seed=found.get("seed", 1),
            options=self._filled(part),
        )

    def _scale(self, option: float | None, own: float) -> float:
        text = self.env.get("ETL_SCALE")
        try:
            scale = option if option is not None else float(text) if text else own
        except ValueError:
            self.entries.problems.append(f"ETL_SCALE: expected a number, got {text!r}")
            return 1.0
        if not 0 < scale < 100_000:
            self.entries.problems.append(f"scale: expected a number above 0, got {scale:g}")
        return scale

    def _path(self, text: str) -> Path:
        """A path of the file: variables filled in, relative to the catalogue's folder."""
        return self.path.absolute().parent / Path(self._filled(text)).expanduser()

    def _filled(self, value: Any) -> Any:
        """The value with the environment's variables in all its texts."""
        return filled(value, self.env, self.entries.problems.append)

    def _sql(self, text: str) -> str:
        return sql_filled(text, self.env, self.entries.problems.append)

    def _tables(self, listed: list[Any], source: SourceSettings, *, is_known: bool) -> tuple[Table, ...]:
        """The listed tables in their order, then those that are found: a new file moves no other table's place.

        Nothing is looked for where the source is not known.
        """
        own = [(n, entry) for n, entry in enumerate(listed) if not (isinstance(entry, dict) and "each" in entry)]
        tables = [self._table(place, n, entry, source.kind) for place, (n, entry) in enumerate(own)]
        for number, entry in enumerate(listed):
            if isinstance(entry, dict) and "each" in entry:
                found = self._each(f"table {number}", entry, source if is_known else None, tables)
                tables += [self._table(len(tables) + n, number, one, source.kind) for n, one in enumerate(found)]
        return tuple(tables)

    def _each(
        self, where: str, entry: dict[str, Any], source: SourceSettings | None, before: Iterable[Table]
    ) -> list[dict[str, Any]]:
        """The entry as one for every file that its patterns find and no table before it reads."""
        found = self.entries.known(entry, where, EACH_KEYS)
        patterns, names = found.pop("each", []), found.pop("names", "exact")
        self.entries.one_of(names, NAMES, f"{where}: names")
        if source is None:
            return []
        if source.folder is None or not source.folder.is_dir():
            missing = (
                f"the source folder {source.folder} does not exist" if source.folder else "the source has no folder"
            )
            self.entries.problems.append(f"{where}: each: {missing}")
            return []
        listed = [Found(name=table.name, file=table.file) for table in before]
        taken = claimed(source.folder, [file for table in before for file in table.files])
        try:
            tables = find_tables(source.folder, [patterns] if isinstance(patterns, str) else patterns, names=names)
        except ValueError as error:
            self.entries.problems.append(f"{where}: each: {error}")
            return []
        if not tables:
            self.entries.problems.append(f"{where}: each: no file in {source.folder} matches {patterns!r}")
        free = [table for table in tables if table.file not in taken]
        problems = [f"{where}: each: {said}" for said in problems_of(free, listed)]
        self.entries.problems.extend(problems)
        return [] if problems else [{**found, "name": table.name, "file": table.file} for table in free]

    def _table(self, place: int, number: int, entry: dict[str, Any], source: str) -> Table:
        named = isinstance(entry, dict) and "name" in entry
        where = f"table {entry['name']!r}" if named else f"table {number}"
        found = self.entries.known(entry, where, TABLE_KEYS, needed=("name",))
        found.setdefault("name", f"#{number}")
        self.entries.problems.extend(f"{where}: columns: {said}" for said in collisions(found.get("columns", {})))
        found = clipped(found)
        check_interval(self.entries, where, found, common=self.common)
        interval = interval_of(self.env, found, common=self.common)
        for key in ("required", "key", "secret"):
            found[key] = tuple(found.get(key, ()))
        found["written_where"] = found.get("where", "")
        found["where"] = self._sql(found["written_where"])
        found["source"] = self._table_source(f"{where}: source", found.get("source", {}), source)
        found["references"] = tuple(
            read_reference(self.entries, f"{where}: references.{n}", r)
            for n, r in enumerate(found.get("references", ()))
        )
        checks = (read_check(self.entries, f"{where}: checks.{n}", c) for n, c in enumerate(found.get("checks", ())))
        found["checks"] = tuple(replace(check, sql=self._sql(check.sql), written=check.sql) for check in checks)
        found["reject_limit"] = read_rejects(self.entries, f"{where}: rejects", found.pop("rejects", "fail"))
        usual_file = f"{found['name']}.{'parquet' if source == 'parquet' else 'csv'}"
        files = found.pop("file", None) or usual_file
        found["files"] = (files,) if isinstance(files, str) else tuple(files)
        usual = {"max_delete": 1.0 if found.get("strategy") == "slice" else 0.5}
        return Table(**{**usual, **found}, id=place, interval=interval)

    def _table_source(self, where: str, entry: object, source: str) -> dict[str, Any]:
        if source not in KINDS:
            return {}
        found = self.entries.known(entry, where, KINDS[source].table)
        KINDS[source].check_table(where, found, self.entries)
        return {key: self._sql(value) if key == "query" else self._filled(value) for key, value in found.items()}


def clipped(entry: dict[str, Any]) -> dict[str, Any]:
    """A table's entry with the names of columns as the server will keep them."""
    names = {key: [clip(name) for name in entry.get(key, ())] for key in ("key", "required", "secret")}
    columns = {clip(name): kind for name, kind in entry.get("columns", {}).items()}
    return (
        entry | names | {"columns": columns} | ({"watermark": clip(entry["watermark"])} if "watermark" in entry else {})
    )
