"""The catalogue (`tables.toml`): every table of a load, with its source, key, checks and strategy."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from etl_jobs.errors import MisconfiguredError

_TYPE = re.compile(r'"?[A-Za-z_][\w.]*"?( [A-Za-z]+)*( ?\(\d+(, ?\d+)?\))?( with(out)? time zone)?( ?\[\d*\])*', re.I)
_VARIABLE = re.compile(r"\$\{(\w+)\}")
PACKAGED = Path(__file__).with_name("tables.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """`columns` of the table are found in `to` of the table called `table`; rows with a null in them are free.

    `orphans` says what an unknown parent means: "fail" rejects the load, "report" counts.
    """

    columns: tuple[str, ...]
    table: str
    to: tuple[str, ...]
    orphans: str = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One row of the catalogue; `id` is its index. docs/jobs.md says what each setting means."""

    id: int
    name: str
    file: str
    columns: dict[str, str]
    required: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    duplicates: str = "fail"
    references: tuple[Reference, ...] = ()
    strategy: str = "snapshot"
    where: str = ""
    watermark: str = ""
    lag: str | int | float = 0
    min_rows: int = 0
    max_delete: float = 0.5
    comment: str = ""

    @property
    def identity(self) -> tuple[str, ...]:
        """The columns that name a row, empty where rows may repeat."""
        return self.key if self.duplicates == "fail" else ()

    @property
    def never_null(self) -> tuple[str, ...]:
        """Columns that take no nulls: the required ones and the identity."""
        return tuple(dict.fromkeys((*self.required, *self.identity)))


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSettings:
    """The `[source]` part: what kind, where, and the dialect of its text."""

    kind: str
    folder: Path | None = None
    delimiter: str = ","
    quote: str = '"'
    null: str = ""
    encoding: str = "UTF8"
    scale: float = 1.0
    seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """A checked catalogue: every name in it leads somewhere."""

    path: Path
    source: SourceSettings
    schema: str
    tables: tuple[Table, ...]
    marts: Path | None = None

    @property
    def staging_schema(self) -> str:
        return f"{self.schema}_staging"

    @property
    def mart_schema(self) -> str:
        return f"{self.schema}_mart"

    def table(self, number: int) -> Table:
        """The table with this `--id`."""
        if not 0 <= number < len(self.tables):
            raise MisconfiguredError(
                f"{self.path.name} has no table {number}", hint=f"--id is 0 to {len(self.tables) - 1}"
            )
        return self.tables[number]

    def named(self, name: str) -> Table:
        """The table called `name`, which must exist."""
        return next(t for t in self.tables if t.name == name)


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
        top = self._known(document, "", {"source": dict, "warehouse": dict, "table": list})
        warehouse = self._known(
            top.get("warehouse", {}), "warehouse", {"schema": str, "marts": str}, needed=("schema",)
        )
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
        kinds = {"kind": str, "folder": str, "csv": dict, "scale": float, "seed": int}
        found = self._known(entry, "source", kinds, needed=("kind",))
        dialect = {"delimiter": str, "quote": str, "null": str, "encoding": str}
        csv = self._known(found.pop("csv", {}), "source.csv", dialect)
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
        kinds = {"columns": list, "table": str, "to": list, "orphans": str}
        found = self._known(entry, where, kinds, needed=("columns", "table"))
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
        self, entry: object, where: str, kinds: Mapping[str, Any], *, needed: tuple[str, ...] = ()
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
            elif not _is(value, kinds[key]):
                self.problems.append(f"{dot}{key}: expected {_KIND_NAMES[kinds[key]]}, got {value!r}")
            else:
                good[key] = value
        self.problems.extend(f"{dot}{key!r} is missing" for key in needed if key not in entry)
        return good


_KIND_NAMES: dict[Any, str] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "a table",
    (str, float): "a text or a number",
}
_TABLE_KEYS: dict[str, Any] = {
    "name": str,
    "file": str,
    "columns": dict,
    "required": list,
    "key": list,
    "duplicates": str,
    "references": list,
    "strategy": str,
    "where": str,
    "watermark": str,
    "lag": (str, float),
    "min_rows": int,
    "max_delete": float,
    "comment": str,
}


def _is(value: object, kind: Any) -> bool:
    if isinstance(kind, tuple):
        return any(_is(value, k) for k in kind)
    if isinstance(value, bool):
        return False
    return isinstance(value, (int, float) if kind is float else kind)


def _guess(word: str, known: Any) -> str:
    close = get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
