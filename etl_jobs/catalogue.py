"""Reading a catalogue (`tables.toml`): everything wrong with it is said at once, with a guess at what was meant."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etl_jobs.entries import LIST, NUMBER, PART, TEXT, TEXT_OR_NUMBER, TEXT_OR_TEXTS, TEXTS, WHOLE, Entries, guess
from etl_jobs.errors import MisconfiguredError
from etl_jobs.sources.settings import KINDS
from etl_jobs.tables import Catalogue, Reference, SourceSettings, Table

PACKAGED = Path(__file__).with_name("tables.toml")
_TYPE = re.compile(r'"?[A-Za-z_][\w.]*"?( [A-Za-z]+)*( ?\(\d+(, ?\d+)?\))?( with(out)? time zone)?( ?\[\d*\])*', re.I)
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_LONGEST_NAME = 63  # bytes; PostgreSQL cuts longer ones


_TOP_KEYS = {"source": PART, "warehouse": PART, "table": LIST}
_WAREHOUSE_KEYS = {"schema": TEXT, "marts": TEXT}
_REFERENCE_KEYS = {"columns": TEXTS, "table": TEXT, "to": TEXTS, "orphans": TEXT}
_TABLE_KEYS = {
    "name": TEXT,
    "file": TEXT_OR_TEXTS,
    "source": PART,
    "columns": PART,
    "required": TEXTS,
    "key": TEXTS,
    "duplicates": TEXT,
    "references": LIST,
    "strategy": TEXT,
    "where": TEXT,
    "watermark": TEXT,
    "lag": TEXT_OR_NUMBER,
    "min_rows": WHOLE,
    "max_delete": NUMBER,
    "comment": TEXT,
}


def default_path(env: Mapping[str, str]) -> Path:
    """`$ETL_CATALOGUE`, else the catalogue of the sample load."""
    return Path(env.get("ETL_CATALOGUE") or PACKAGED)


def read_catalogue(path: Path, *, env: Mapping[str, str] = os.environ, scale: float | None = None) -> Catalogue:
    """Read and check a catalogue; `scale` wins over `$ETL_SCALE` and the file's own.

    Raises MisconfiguredError that lists everything wrong with it at once.
    """
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise MisconfiguredError(f"cannot read the catalogue {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise MisconfiguredError(f"{path}: {error}") from error
    reader = _Reader(path=path, env=env, entries=Entries())
    catalogue = reader.catalogue(document, scale=scale)
    if reader.entries.problems:
        raise MisconfiguredError("\n".join(f"{path}: {problem}" for problem in reader.entries.problems))
    return catalogue


@dataclass(frozen=True, slots=True)
class _Reader:
    """Builds a catalogue from TOML and collects what is wrong on the way."""

    path: Path
    env: Mapping[str, str]
    entries: Entries

    def catalogue(self, document: dict[str, Any], *, scale: float | None) -> Catalogue:
        top = self.entries.known(document, "", _TOP_KEYS)
        warehouse = self.entries.known(top.get("warehouse", {}), "warehouse", _WAREHOUSE_KEYS, needed=("schema",))
        source = self._source(top.get("source", {}), scale=scale)
        tables = tuple(self._table(n, entry, source.kind) for n, entry in enumerate(top.get("table", [])))
        if not tables:
            self.entries.problems.append("no [[table]] in it")
        for table in tables:
            self._check(table, tables)
        marts = warehouse.get("marts")
        return Catalogue(
            path=self.path,
            source=source,
            schema=warehouse.get("schema", ""),
            tables=tables,
            marts=self._path(marts) if marts else None,
        )

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
        if isinstance(value, str):
            return _VARIABLE.sub(lambda match: self._variable(value, match[1]), value)
        if isinstance(value, dict):
            return {key: self._filled(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._filled(inner) for inner in value]
        return value

    def _variable(self, text: str, name: str) -> str:
        if not self.env.get(name):
            self.entries.problems.append(f"{text!r}: the environment variable {name} is not set")
        return self.env.get(name, "")

    def _table(self, number: int, entry: dict[str, Any], source: str) -> Table:
        where = f"table {entry['name']!r}" if "name" in entry else f"table {number}"
        found = self.entries.known(entry, where, _TABLE_KEYS, needed=("name", "columns"))
        found.setdefault("name", f"#{number}")
        found.setdefault("columns", {})
        for key in ("required", "key"):
            found[key] = tuple(found.get(key, ()))
        found["source"] = self._table_source(f"{where}: source", found.get("source", {}), source)
        found["references"] = tuple(
            self._reference(f"{where}: references.{n}", r) for n, r in enumerate(found.get("references", ()))
        )
        files = found.pop("file", None) or f"{found['name']}.csv"
        found["files"] = (files,) if isinstance(files, str) else tuple(files)
        usual = {"max_delete": 1.0 if found.get("strategy") == "slice" else 0.5}
        return Table(**{**usual, **found}, id=number)

    def _table_source(self, where: str, entry: object, source: str) -> dict[str, Any]:
        if source not in KINDS:
            return {}
        found = self.entries.known(entry, where, KINDS[source].table)
        KINDS[source].check_table(where, found, self.entries)
        filled: dict[str, Any] = self._filled(found)
        return filled

    def _reference(self, where: str, entry: dict[str, Any]) -> Reference:
        found = self.entries.known(entry, where, _REFERENCE_KEYS, needed=("columns", "table"))
        self.entries.one_of(found.get("orphans", "fail"), ("fail", "report"), f"{where}.orphans")
        columns = tuple(found.get("columns", ()))
        return Reference(
            columns=columns,
            table=found.get("table", ""),
            to=tuple(found.get("to", columns)),
            orphans=found.get("orphans", "fail"),
        )

    def _check(self, table: Table, tables: tuple[Table, ...]) -> None:
        where = f"table {table.name!r}"
        self.entries.one_of(table.duplicates, ("fail", "report"), f"{where}: duplicates")
        self.entries.one_of(table.strategy, ("snapshot", "slice", "incremental"), f"{where}: strategy")
        if sum(t.name == table.name for t in tables) > 1:
            self.entries.problems.append(f"{where}: the name is used more than once")
        if not table.columns:
            self.entries.problems.append(f"{where}: columns: name at least one")
        for name in (table.name, *table.columns):
            if len(name.encode()) > _LONGEST_NAME:
                self.entries.problems.append(
                    f"{where}: {name!r} is longer than PostgreSQL's {_LONGEST_NAME} bytes for a name"
                )
        for column, kind in table.columns.items():
            if not isinstance(kind, str) or not _TYPE.fullmatch(kind):
                self.entries.problems.append(f"{where}: columns.{column}: not a PostgreSQL type: {kind!r}")
        self._columns(f"{where}: required", table.required, table)
        self._columns(f"{where}: key", table.key, table)
        self._strategy(where, table)
        for reference in table.references:
            self._check_reference(where, table, reference, tables)

    def _strategy(self, where: str, table: Table) -> None:
        if table.strategy == "slice" and not table.where:
            self.entries.problems.append(f"{where}: strategy 'slice' needs `where`: which rows are reloaded")
        if table.where and table.strategy != "slice":
            self.entries.problems.append(f"{where}: `where` is for strategy 'slice'")
        if table.strategy == "incremental":
            if not table.identity:
                self.entries.problems.append(f"{where}: strategy 'incremental' needs a key without duplicates")
            if not table.watermark:
                self.entries.problems.append(f"{where}: strategy 'incremental' needs `watermark`: a column")
        if table.watermark:
            self._columns(f"{where}: watermark", (table.watermark,), table)

    def _check_reference(self, where: str, table: Table, reference: Reference, tables: tuple[Table, ...]) -> None:
        self._columns(f"{where}: references", reference.columns, table)
        parent = next((t for t in tables if t.name == reference.table), None)
        if parent is None:
            names = [t.name for t in tables]
            self.entries.problems.append(
                f"{where}: references {reference.table!r}, which is no table here{guess(reference.table, names)}"
            )
            return
        self._columns(f"{where}: references {parent.name}", reference.to, parent)
        if len(reference.to) != len(reference.columns):
            self.entries.problems.append(f"{where}: references {parent.name}: `columns` and `to` differ in length")

    def _columns(self, where: str, names: tuple[str, ...], table: Table) -> None:
        for name in names:
            if name not in table.columns:
                self.entries.problems.append(
                    f"{where}: {table.name!r} has no column {name!r}{guess(name, table.columns)}"
                )
