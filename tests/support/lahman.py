"""An oracle for the Lahman example: what a load must leave behind, from the CSV files alone.

It shares nothing with the jobs: keys are stated again here, types are read off the values, files are read
with the csv module. Files and warehouse are both reduced to order-independent sums of MD5 values.
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import psycopg
from psycopg import sql

KEYS: Mapping[str, tuple[str, ...]] = {
    "AllstarFull": ("playerID", "yearID", "gameNum"),
    "Appearances": ("yearID", "teamID", "playerID"),
    "AwardsManagers": ("playerID", "awardID", "yearID", "lgID"),
    "AwardsPlayers": ("playerID", "awardID", "yearID", "lgID", "notes"),
    "AwardsShareManagers": ("awardID", "yearID", "lgID", "playerID"),
    "AwardsSharePlayers": ("awardID", "yearID", "lgID", "playerID"),
    "Batting": ("playerID", "yearID", "stint"),
    "BattingPost": ("yearID", "round", "playerID"),
    "CollegePlaying": ("playerID", "schoolID", "yearID"),
    "Fielding": ("playerID", "yearID", "stint", "POS"),
    "FieldingOF": ("playerID", "yearID", "stint"),
    "FieldingOFsplit": ("playerID", "yearID", "stint", "POS"),
    "FieldingPost": ("playerID", "yearID", "round", "POS"),
    "HallOfFame": ("playerID", "yearID", "votedBy"),
    "HomeGames": ("year.key", "team.key", "park.key"),
    "Managers": ("yearID", "teamID", "inseason"),
    "ManagersHalf": ("yearID", "teamID", "inseason", "half"),
    "Parks": ("park.key",),
    "People": ("playerID",),
    "Pitching": ("playerID", "yearID", "stint"),
    "PitchingPost": ("playerID", "yearID", "round"),
    "Salaries": ("yearID", "teamID", "lgID", "playerID"),
    "Schools": ("schoolID",),
    "SeriesPost": ("yearID", "round"),
    "Teams": ("yearID", "lgID", "teamID"),
    "TeamsFranchises": ("franchID",),
    "TeamsHalf": ("yearID", "lgID", "teamID", "Half"),
}
TABLES = tuple(KEYS)
EDITIONS = ("2024", "2025")

Row = tuple[str, ...]
WHOLE_ROW = "*"


def lahman_folder() -> Path | None:
    """The folder that holds `2024` and `2025`: `$ETL_LAHMAN`, else beside the repository if it is there."""
    if named := os.environ.get("ETL_LAHMAN"):
        return Path(named)
    beside = Path(__file__).parents[2].parent / "shared" / "data" / "lahman"
    return beside if beside.is_dir() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What one table holds: its rows, and per column the values that are not missing and their checksum."""

    rows: int
    columns: Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What separates two editions. Where a key occurs twice, rows cannot be told apart: they come and go."""

    inserted: int
    updated: int
    deleted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What the files say about one table. `duplicates` and `contents` are by edition, `types` by column."""

    types: Mapping[str, str]
    contents: Mapping[str, Content]
    duplicates: Mapping[str, int]
    changes: Changes


def truth(folder: Path, table: str) -> Truth:
    headers, raw = {}, {}
    for edition in EDITIONS:
        headers[edition], raw[edition] = _read(folder / edition / f"{table}.csv")
    columns = headers["2025"]
    assert headers["2024"] == columns
    types = _types(columns, raw.values())
    normal = {edition: _normalise(rows, types.values()) for edition, rows in raw.items()}
    places = [columns.index(column) for column in KEYS[table]]
    return Truth(
        types=types,
        contents={edition: _content(rows, columns) for edition, rows in normal.items()},
        duplicates={edition: len(rows) - len(_by_key(rows, places)) for edition, rows in normal.items()},
        changes=_changes(normal["2024"], normal["2025"], places),
    )


def warehouse_content(connection: psycopg.Connection, schema: str, table: str) -> Content:
    """The same sums as a truth's, computed by PostgreSQL over a loaded table."""
    types = warehouse_types(connection, schema, table)
    target = sql.Identifier(schema, table)
    values = [_value(column, kind) for column, kind in types.items()]
    parts = [_sum_of_column(value, target) for value in values] + [_sum_of_rows(values, target)]
    numbered = (sql.SQL("SELECT {}, * FROM ({}) AS s").format(n, part) for n, part in enumerate(parts))
    query = sql.SQL("{} ORDER BY 1").format(sql.SQL(" UNION ALL ").join(numbered))
    sums = [(int(count), int(total)) for _, count, total in connection.execute(query)]
    return Content(rows=sums[-1][0], columns=dict(zip([*types, WHOLE_ROW], sums, strict=True)))


def warehouse_types(connection: psycopg.Connection, schema: str, table: str) -> dict[str, str]:
    """Column → PostgreSQL type, in the order of the table."""
    found = connection.execute(
        "SELECT column_name, data_type FROM information_schema.columns"
        " WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position",
        (schema, table),
    )
    return dict(found.fetchall())


def _read(path: Path) -> tuple[Row, list[Row]]:
    with path.open(newline="", encoding="utf-8") as file:
        lines: Iterator[list[str]] = csv.reader(file)
        return tuple(next(lines)), [tuple(line) for line in lines]


_SHAPES = {
    "integer": re.compile(r"-?\d+"),
    "numeric": re.compile(r"-?\d+(\.\d+)?"),
    "date": re.compile(r"\d{4}-\d\d-\d\d"),
    "text": re.compile(r"(?s).*"),
}


def _types(columns: Row, editions: Iterable[list[Row]]) -> dict[str, str]:
    """The narrowest type every value of a column fits in; "" where a column is empty in all editions."""
    seen: list[set[str]] = [set() for _ in columns]
    for rows in editions:
        for values, column in zip(seen, zip(*rows, strict=True), strict=True):
            values.update(column)
    return {column: _type(values - {""}) for column, values in zip(columns, seen, strict=True)}


def _type(values: set[str]) -> str:
    if not values:
        return ""
    return next(name for name, shape in _SHAPES.items() if all(map(shape.fullmatch, values)))


def _normal_number(text: str) -> str:
    return format(Decimal(text).normalize(), "f") if text else ""


def _normal_integer(text: str) -> str:
    return str(int(text)) if text else ""


_NORMAL: Mapping[str, Callable[[str], str]] = {"numeric": _normal_number, "integer": _normal_integer}


def _normalise(rows: list[Row], types: Iterable[str]) -> list[Row]:
    """Every value as PostgreSQL would print it; missing values stay ''."""
    columns = list(zip(*rows, strict=True))
    other = {place: column for place, column in enumerate(map(_normal_column, columns, types)) if column}
    return list(zip(*(other.get(n, column) for n, column in enumerate(columns)), strict=True)) if other else rows


def _normal_column(column: Row, kind: str) -> Row | None:
    """The column normalised, None where it is so already."""
    normal = {value: _NORMAL.get(kind, str)(value) for value in set(column)}
    if all(before == after for before, after in normal.items()):
        return None
    return tuple(map(normal.__getitem__, column))


def _digest(text: str) -> int:
    return int(hashlib.md5(text.encode()).hexdigest()[:10], 16)


def _content(rows: list[Row], columns: Row) -> Content:
    sums = {}
    for name, column in zip(columns, zip(*rows, strict=True), strict=True):
        counts = Counter(column)
        counts.pop("", None)
        sums[name] = (counts.total(), sum(_digest(value) * n for value, n in counts.items()))
    sums[WHOLE_ROW] = (len(rows), sum(_digest("\x1f".join(row)) for row in rows))
    return Content(rows=len(rows), columns=sums)


def _by_key(rows: list[Row], places: list[int]) -> dict[Row, Row]:
    return {tuple(row[place] for place in places): row for row in rows}


def _changes(old: list[Row], new: list[Row], places: list[int]) -> Changes:
    before, after = _by_key(old, places), _by_key(new, places)
    if len(before) < len(old) or len(after) < len(new):
        come, go = Counter(new) - Counter(old), Counter(old) - Counter(new)
        return Changes(inserted=come.total(), updated=0, deleted=go.total())
    return Changes(
        inserted=len(after.keys() - before.keys()),
        updated=sum(before[key] != after[key] for key in before.keys() & after.keys()),
        deleted=len(before.keys() - after.keys()),
    )


def _value(column: str, kind: str) -> sql.Composed:
    name = sql.Identifier(column)
    return sql.SQL("trim_scale({})::text" if kind == "numeric" else "{}::text").format(name)


def _sum_of_column(value: sql.Composed, target: sql.Identifier) -> sql.Composed:
    return sql.SQL(
        "SELECT coalesce(sum(n), 0), coalesce(sum(n * ('x' || left(md5(v), 10))::bit(40)::bigint), 0)"
        " FROM (SELECT {} AS v, count(*) AS n FROM {} GROUP BY 1) AS counted WHERE v IS NOT NULL"
    ).format(value, target)


def _sum_of_rows(values: Iterable[sql.Composed], target: sql.Identifier) -> sql.Composed:
    present = [sql.SQL("coalesce({}, '')").format(value) for value in values]
    return sql.SQL(
        "SELECT count(*), coalesce(sum(('x' || left(md5(concat_ws(E'\\x1f', {})), 10))::bit(40)::bigint), 0) FROM {}"
    ).format(sql.SQL(", ").join(present), target)
