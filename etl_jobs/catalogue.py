"""Reading a catalogue (`tables.toml`): everything wrong with it is said at once, with a guess at what was meant."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from etl_jobs.errors import MisconfiguredError
from etl_jobs.tables import Catalogue, Reference, SourceSettings, Table

PACKAGED = Path(__file__).with_name("tables.toml")
_TYPE = re.compile(r'"?[A-Za-z_][\w.]*"?( [A-Za-z]+)*( ?\(\d+(, ?\d+)?\))?( with(out)? time zone)?( ?\[\d*\])*', re.I)
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_LONGEST_NAME = 63  # bytes; PostgreSQL cuts longer ones


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a value must be: in words, and as a test."""

    said: str
    fits: Callable[[object], bool]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TEXT = _Kind("a text", lambda value: isinstance(value, str))
_WHOLE = _Kind("a whole number", lambda value: isinstance(value, int) and not isinstance(value, bool))
_NUMBER = _Kind("a number", _is_number)
_TEXT_OR_NUMBER = _Kind("a text or a number", lambda value: isinstance(value, str) or _is_number(value))
_TEXTS = _Kind("a list of texts", lambda value: isinstance(value, list) and all(isinstance(v, str) for v in value))
_LIST = _Kind("a list", lambda value: isinstance(value, list))
_PART = _Kind("a table", lambda value: isinstance(value, dict))

_TOP_KEYS = {"source": _PART, "warehouse": _PART, "table": _LIST}
_WAREHOUSE_KEYS = {"schema": _TEXT, "marts": _TEXT}
_SOURCE_KEYS = {"kind": _TEXT, "folder": _TEXT, "csv": _PART, "scale": _NUMBER, "seed": _WHOLE}
_CSV_KEYS = {"delimiter": _TEXT, "quote": _TEXT, "null": _TEXT, "encoding": _TEXT}
_REFERENCE_KEYS = {"columns": _TEXTS, "table": _TEXT, "to": _TEXTS, "orphans": _TEXT}
_TABLE_KEYS = {
    "name": _TEXT,
    "file": _TEXT,
    "columns": _PART,
    "required": _TEXTS,
    "key": _TEXTS,
    "duplicates": _TEXT,
    "references": _LIST,
    "strategy": _TEXT,
    "where": _TEXT,
    "watermark": _TEXT,
    "lag": _TEXT_OR_NUMBER,
    "min_rows": _WHOLE,
    "max_delete": _NUMBER,
    "comment": _TEXT,
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
    reader = _Reader(path=path, env=env, problems=[])
    catalogue = reader.catalogue(document, scale=scale)
    if reader.problems:
        raise MisconfiguredError("\n".join(f"{path}: {problem}" for problem in reader.problems))
    return catalogue


@dataclass(frozen=True, slots=True)
class _Reader:
    """Builds a catalogue from TOML and collects what is wrong on the way."""

    path: Path
    env: Mapping[str, str]
    problems: list[str]

    def catalogue(self, document: dict[str, Any], *, scale: float | None) -> Catalogue:
        top = self._known(document, "", _TOP_KEYS)
        warehouse = self._known(top.get("warehouse", {}), "warehouse", _WAREHOUSE_KEYS, needed=("schema",))
        tables = tuple(self._table(n, entry) for n, entry in enumerate(top.get("table", [])))
        if not tables:
            self.problems.append("no [[table]] in it")
        for table in tables:
            self._check(table, tables)
        marts = warehouse.get("marts")
        return Catalogue(
            path=self.path,
            source=self._source(top.get("source", {}), scale=scale),
            schema=warehouse.get("schema", ""),
            tables=tables,
            marts=self._path(marts) if marts else None,
        )

    def _source(self, entry: dict[str, Any], *, scale: float | None) -> SourceSettings:
        found = self._known(entry, "source", _SOURCE_KEYS, needed=("kind",))
        csv = self._known(found.pop("csv", {}), "source.csv", _CSV_KEYS)
        self._one_of(found.get("kind", "csv"), ("csv", "sample"), "source.kind")
        for key in ("delimiter", "quote"):
            if len(csv.get(key, "x").encode()) != 1:
                self.problems.append(f"source.csv.{key}: expected one character, got {csv[key]!r}")
        folder = found.pop("folder", None)
        if folder is None and found.get("kind") == "csv":
            self.problems.append("source.folder: missing, say where the files are")
        found["scale"] = self._scale(scale, found.get("scale", 1.0))
        return SourceSettings(
            **{"kind": "csv", **found}, **csv, folder=self._path(folder) if folder is not None else None
        )

    def _scale(self, option: float | None, own: float) -> float:
        text = self.env.get("ETL_SCALE")
        try:
            scale = option if option is not None else float(text) if text else own
        except ValueError:
            self.problems.append(f"ETL_SCALE: expected a number, got {text!r}")
            return 1.0
        if not 0 < scale < 100_000:
            self.problems.append(f"scale: expected a number above 0, got {scale:g}")
        return scale

    def _path(self, text: str) -> Path:
        """A path of the file: variables filled in, relative to the catalogue's folder."""

        def value(match: re.Match[str]) -> str:
            if not self.env.get(match[1]):
                self.problems.append(f"{text!r}: the environment variable {match[1]} is not set")
            return self.env.get(match[1], "")

        return self.path.absolute().parent / Path(_VARIABLE.sub(value, text)).expanduser()

    def _table(self, number: int, entry: dict[str, Any]) -> Table:
        where = f"table {entry['name']!r}" if "name" in entry else f"table {number}"
        found = self._known(entry, where, _TABLE_KEYS, needed=("name", "columns"))
        found.setdefault("name", f"#{number}")
        found.setdefault("columns", {})
        for key in ("required", "key"):
            found[key] = tuple(found.get(key, ()))
        found["references"] = tuple(
            self._reference(f"{where}: references.{n}", r) for n, r in enumerate(found.get("references", ()))
        )
        usual = {"file": f"{found['name']}.csv", "max_delete": 1.0 if found.get("strategy") == "slice" else 0.5}
        return Table(**{**usual, **found}, id=number)

    def _reference(self, where: str, entry: dict[str, Any]) -> Reference:
        found = self._known(entry, where, _REFERENCE_KEYS, needed=("columns", "table"))
        self._one_of(found.get("orphans", "fail"), ("fail", "report"), f"{where}.orphans")
        columns = tuple(found.get("columns", ()))
        return Reference(
            columns=columns,
            table=found.get("table", ""),
            to=tuple(found.get("to", columns)),
            orphans=found.get("orphans", "fail"),
        )

    def _check(self, table: Table, tables: tuple[Table, ...]) -> None:
        where = f"table {table.name!r}"
        self._one_of(table.duplicates, ("fail", "report"), f"{where}: duplicates")
        self._one_of(table.strategy, ("snapshot", "slice", "incremental"), f"{where}: strategy")
        if sum(t.name == table.name for t in tables) > 1:
            self.problems.append(f"{where}: the name is used more than once")
        if not table.columns:
            self.problems.append(f"{where}: columns: name at least one")
        for name in (table.name, *table.columns):
            if len(name.encode()) > _LONGEST_NAME:
                self.problems.append(f"{where}: {name!r} is longer than PostgreSQL's {_LONGEST_NAME} bytes for a name")
        for column, kind in table.columns.items():
            if not isinstance(kind, str) or not _TYPE.fullmatch(kind):
                self.problems.append(f"{where}: columns.{column}: not a PostgreSQL type: {kind!r}")
        self._columns(f"{where}: required", table.required, table)
        self._columns(f"{where}: key", table.key, table)
        self._strategy(where, table)
        for reference in table.references:
            self._check_reference(where, table, reference, tables)

    def _strategy(self, where: str, table: Table) -> None:
        if table.strategy == "slice" and not table.where:
            self.problems.append(f"{where}: strategy 'slice' needs `where`: which rows are reloaded")
        if table.where and table.strategy != "slice":
            self.problems.append(f"{where}: `where` is for strategy 'slice'")
        if table.strategy == "incremental":
            if not table.identity:
                self.problems.append(f"{where}: strategy 'incremental' needs a key without duplicates")
            if not table.watermark:
                self.problems.append(f"{where}: strategy 'incremental' needs `watermark`: a column")
        if table.watermark:
            self._columns(f"{where}: watermark", (table.watermark,), table)

    def _check_reference(self, where: str, table: Table, reference: Reference, tables: tuple[Table, ...]) -> None:
        self._columns(f"{where}: references", reference.columns, table)
        parent = next((t for t in tables if t.name == reference.table), None)
        if parent is None:
            names = [t.name for t in tables]
            self.problems.append(
                f"{where}: references {reference.table!r}, which is no table here{_guess(reference.table, names)}"
            )
            return
        self._columns(f"{where}: references {parent.name}", reference.to, parent)
        if len(reference.to) != len(reference.columns):
            self.problems.append(f"{where}: references {parent.name}: `columns` and `to` differ in length")

    def _columns(self, where: str, names: tuple[str, ...], table: Table) -> None:
        for name in names:
            if name not in table.columns:
                self.problems.append(f"{where}: {table.name!r} has no column {name!r}{_guess(name, table.columns)}")

    def _one_of(self, value: str, allowed: tuple[str, ...], where: str) -> None:
        if value not in allowed:
            expected = " or ".join(repr(a) for a in allowed)
            self.problems.append(f"{where}: expected {expected}, got {value!r}{_guess(value, allowed)}")

    def _known(
        self, entry: object, where: str, kinds: Mapping[str, _Kind], *, needed: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """The entry's values of the right type; anything else is a problem."""
        dot = f"{where}: " if where else ""
        if not isinstance(entry, dict):
            self.problems.append(f"{dot}expected a table, got {entry!r}")
            return {}
        good = {}
        for key, value in entry.items():
            if key not in kinds:
                self.problems.append(f"{dot}unknown key {key!r}{_guess(key, kinds)}")
            elif not kinds[key].fits(value):
                self.problems.append(f"{dot}{key}: expected {kinds[key].said}, got {value!r}")
            else:
                good[key] = value
        self.problems.extend(f"{dot}{key!r} is missing" for key in needed if key not in entry)
        return good


def _guess(word: str, known: Iterable[str]) -> str:
    close = get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
