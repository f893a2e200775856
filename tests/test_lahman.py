"""The Lahman example on the real data: two editions of 27 tables, loaded and compared with the files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from etl_runner.paths import Home
from etl_runner.postgres import EmbeddedPostgres
from tests.support import lahman
from tests.support.folders import entered_by_all
from tests.support.lahman import EDITIONS, TABLES, Changes, Content, Truth

FOLDER = lahman.lahman_folder()
EXAMPLE = Path(__file__).parents[1] / "examples" / "lahman"
LOADS = {"2024": "2024", "2025": "2025", "2025 again": "2025"}

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("lahman"),
    pytest.mark.skipif(
        FOLDER is None,
        reason="the Lahman data is not here: set ETL_LAHMAN to the folder that holds 2024 and 2025",
    ),
]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One `etl-run all`: its exit status, what it wrote, and the last event of every job."""

    status: int
    text: str
    finished: Mapping[str, dict[str, Any]]

    def metrics(self, table: str) -> dict[str, Any]:
        """What the job of a table reported."""
        metrics: dict[str, Any] = self.finished[f"table-{TABLES.index(table)}"]["metrics"]
        return metrics


@dataclass(frozen=True, kw_only=True)
class Loads:
    """Three runs one after the other, and what the warehouse at `url` held after each."""

    url: str
    runs: Mapping[str, Run]
    held: Mapping[str, Mapping[str, Content]]


@pytest.fixture(scope="module")
def loads() -> Iterator[Loads]:
    assert FOLDER is not None
    runs, contents = {}, {}
    with entered_by_all() as home, EmbeddedPostgres(Home(home).postgres).hold() as server:
        for load, edition in LOADS.items():
            runs[load] = etl_run_all(home, source=FOLDER / edition)
            if runs[load].status:
                pytest.fail(f"the load of {load} failed:\n{runs[load].text[-5000:]}")
            with ThreadPoolExecutor(4) as pool:
                contents[load] = dict(zip(TABLES, pool.map(partial(held, server.url), TABLES), strict=True))
        yield Loads(url=server.url, runs=runs, held=contents)


def surroundings(**more: str) -> dict[str, str]:
    """The environment without anything that names a server or a run."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("PG", "ETL_", "DATABASE_URL"))} | more


def etl_run_all(home: Path, *, source: Path) -> Run:
    """The command as a user gives it: no server is named, so it brings its own."""
    done = subprocess.run(
        [sys.executable, "-m", "etl_runner", "all", "-o", "json", "-c", str(EXAMPLE / "etl.toml")],
        cwd=home,
        env=surroundings(ETL_HOME=str(home), ETL_SOURCE=str(source)),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    events = [json.loads(line) for line in done.stdout.splitlines()]
    finished = {event["job"]: event for event in events if event["event"] == "job_finished"}
    return Run(status=done.returncode, text=done.stdout + done.stderr, finished=finished)


def held(url: str, table: str) -> Content:
    with psycopg.connect(url) as connection:
        return lahman.warehouse_content(connection, "lahman", table)


@cache
def truth(table: str) -> Truth:
    assert FOLDER is not None
    return lahman.truth(FOLDER, table)


def changes(metrics: Mapping[str, Any]) -> Changes:
    return Changes(**{name: metrics[name] for name in ("inserted", "updated", "deleted")})


def test_the_catalogue_lists_every_file_of_the_edition_in_alphabetical_order() -> None:
    assert FOLDER is not None
    catalogue = tomllib.loads((EXAMPLE / "tables.toml").read_text())

    names = [table["name"] for table in catalogue["table"]]

    for edition in EDITIONS:
        assert names == sorted(file.stem for file in (FOLDER / edition).glob("*.csv"))
    assert names == list(TABLES)


LINKS = {
    "People": {"playerID"},
    "Schools": {"schoolID"},
    "Teams": {"yearID", "lgID", "teamID"},
    "TeamsFranchises": {"franchID"},
    "Parks": {"park.key"},
}


def test_every_link_between_tables_is_declared_as_a_reference() -> None:
    catalogue = tomllib.loads((EXAMPLE / "tables.toml").read_text())

    declared = {
        (table["name"], reference["table"]) for table in catalogue["table"] for reference in table.get("references", ())
    }

    linked = {
        (table["name"], parent)
        for table in catalogue["table"]
        for parent, columns in LINKS.items()
        if columns <= set(table["columns"]) and table["name"] != parent
    }
    assert linked - declared == set()
    assert {("HomeGames", "Teams"), ("SeriesPost", "Teams")} <= declared


def test_keys_are_enforced_by_the_warehouse_where_the_data_has_them(loads: Loads) -> None:
    with psycopg.connect(loads.url) as connection:
        found = connection.execute(
            "SELECT c.relname::text, array_agg(a.attname::text ORDER BY array_position(i.indkey, a.attnum))"
            " FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid"
            " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY(i.indkey)"
            " WHERE i.indisprimary AND c.relnamespace = 'lahman'::regnamespace GROUP BY c.oid"
        ).fetchall()

    without = {"AllstarFull", "AwardsPlayers", "CollegePlaying"}
    assert {table: tuple(columns) for table, columns in found} == {
        table: key for table, key in lahman.KEYS.items() if table not in without
    }


@pytest.mark.parametrize("load", LOADS)
def test_a_run_of_the_example_succeeds(loads: Loads, load: str) -> None:
    run = loads.runs[load]

    assert run.status == 0, run.text
    jobs = {f"table-{number}" for number in range(len(TABLES))} | {"pre", "cleanup-1", "cleanup-2", "final"}
    assert {name: event["outcome"] for name, event in run.finished.items()} == dict.fromkeys(jobs, "succeeded")


@pytest.mark.parametrize("table", TABLES)
def test_a_loaded_table_has_the_types_its_values_have_in_both_editions(loads: Loads, table: str) -> None:
    with psycopg.connect(loads.url) as connection:
        types = lahman.warehouse_types(connection, "lahman", table)

    expected = {column: kind or types[column] for column, kind in truth(table).types.items()}
    assert types == expected


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("edition", EDITIONS)
def test_a_loaded_table_holds_exactly_what_its_file_holds(loads: Loads, edition: str, table: str) -> None:
    content = loads.held[edition][table]

    assert content == truth(table).contents[edition]


@pytest.mark.parametrize("table", TABLES)
def test_a_first_load_reports_its_rows_as_inserted(loads: Loads, table: str) -> None:
    metrics = loads.runs["2024"].metrics(table)

    rows = truth(table).contents["2024"].rows
    assert metrics["rows"] == rows
    assert changes(metrics) == Changes(inserted=rows, updated=0, deleted=0)


@pytest.mark.parametrize("table", TABLES)
def test_a_load_of_the_next_edition_reports_what_changed_between_the_files(loads: Loads, table: str) -> None:
    metrics = loads.runs["2025"].metrics(table)

    assert metrics["rows"] == truth(table).contents["2025"].rows
    assert changes(metrics) == truth(table).changes


def test_the_changes_from_2024_to_2025_are_those_known_from_outside(loads: Loads) -> None:
    known = {
        "People": Changes(inserted=2999, updated=743, deleted=0),
        "Batting": Changes(inserted=13149, updated=629, deleted=1),
        "Fielding": Changes(inserted=20678, updated=4, deleted=2),
        "Appearances": Changes(inserted=13158, updated=1, deleted=1),
        "Salaries": Changes(inserted=0, updated=2, deleted=0),
    }

    assert {table: changes(loads.runs["2025"].metrics(table)) for table in known} == known


def test_load_records_say_what_the_jobs_reported(loads: Loads) -> None:
    names = ("rows", "inserted", "updated", "deleted", "duplicates", "orphans")
    with psycopg.connect(loads.url) as connection:
        records = connection.execute(
            "SELECT run, target, rows_in, inserted, updated, deleted, duplicates, orphans FROM etl.load"
        ).fetchall()

    reported = [
        (number, f"lahman.{table}", *(run.metrics(table)[name] for name in names))
        for number, run in enumerate(loads.runs.values(), start=1)
        for table in TABLES
    ]
    assert sorted(records) == sorted(reported)


def test_loading_an_edition_twice_changes_nothing(loads: Loads) -> None:
    again = {table: changes(loads.runs["2025 again"].metrics(table)) for table in TABLES}

    assert again == dict.fromkeys(TABLES, Changes(inserted=0, updated=0, deleted=0))
    assert loads.held["2025 again"] == loads.held["2025"]


@pytest.mark.parametrize("edition", EDITIONS)
def test_duplicate_keys_are_reported_not_hidden(loads: Loads, edition: str) -> None:
    reported = {table: loads.runs[edition].metrics(table)["duplicates"] for table in TABLES}

    assert reported == {table: truth(table).duplicates[edition] for table in TABLES}
    assert reported["AwardsPlayers"] == {"2024": 170, "2025": 0}[edition]
    assert reported["AllstarFull"] == {"2024": 1, "2025": 48}[edition]


@pytest.mark.parametrize(
    ("edition", "known"),
    [
        ("2024", {"CollegePlaying": 10, "FieldingOF": 8, "SeriesPost": 1}),
        ("2025", {"AllstarFull": 689, "FieldingOF": 8}),
    ],
)
def test_references_that_lead_nowhere_are_counted(loads: Loads, edition: str, known: dict[str, int]) -> None:
    orphans = {table: loads.runs[edition].metrics(table)["orphans"] for table in TABLES}

    assert orphans == {table: known.get(table, 0) for table in TABLES}


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A copy of the 2025 edition: links, to be replaced by files that are not as they should be."""
    assert FOLDER is not None
    folder = tmp_path / "edition"
    folder.mkdir()
    for file in (FOLDER / "2025").glob("*.csv"):
        (folder / file.name).symlink_to(file)
    return folder


def damage(folder: Path, table: str, text: str) -> Path:
    file = folder / f"{table}.csv"
    file.unlink()
    file.write_text(text)
    return file


def original(table: str) -> list[str]:
    assert FOLDER is not None
    return (FOLDER / "2025" / f"{table}.csv").read_text().splitlines(keepends=True)


def refused(loads: Loads, source: Path | str, table: str, *, status: int) -> str:
    """What the job of a table said that must fail with `status` and leave the table as it was."""
    before = held(loads.url, table)
    done = subprocess.run(
        [sys.executable, "-m", "etl_jobs.table", "--id", str(TABLES.index(table)), "--catalogue", "tables.toml"],
        cwd=EXAMPLE,
        env=surroundings(DATABASE_URL=loads.url, ETL_SOURCE=str(source)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )

    assert done.returncode == status, done.stdout
    assert held(loads.url, table) == before
    assert "Traceback" not in done.stdout
    return done.stdout


def test_a_missing_folder_is_named(loads: Loads, tmp_path: Path) -> None:
    source = tmp_path / "nowhere"

    text = refused(loads, source, "Parks", status=78)

    assert str(source) in text


def test_an_unset_source_is_named(loads: Loads) -> None:
    text = refused(loads, "", "Parks", status=78)

    assert "ETL_SOURCE" in text


def test_a_missing_file_is_named(loads: Loads, damaged: Path) -> None:
    (damaged / "Parks.csv").unlink()

    text = refused(loads, damaged, "Parks", status=65)

    assert str(damaged / "Parks.csv") in text


def test_a_file_with_a_missing_column_is_named_with_the_column(loads: Loads, damaged: Path) -> None:
    file = damage(damaged, "Schools", "".join(line.rpartition(",")[0] + "\n" for line in original("Schools")))

    text = refused(loads, damaged, "Schools", status=65)

    assert str(file) in text
    assert "country" in text


def test_a_bad_value_is_named_with_file_line_and_column(loads: Loads, damaged: Path) -> None:
    lines = original("TeamsHalf")
    lines[41] = "18g2" + lines[41][4:]
    file = damage(damaged, "TeamsHalf", "".join(lines))

    text = refused(loads, damaged, "TeamsHalf", status=65)

    assert str(file) in text
    assert "line 42" in text
    assert "yearID" in text
    assert "18g2" in text


def test_a_line_cut_short_is_named_with_file_and_line(loads: Loads, damaged: Path) -> None:
    lines = original("TeamsHalf")
    file = damage(damaged, "TeamsHalf", "".join(lines[:100]) + lines[100][:12])

    text = refused(loads, damaged, "TeamsHalf", status=65)

    assert str(file) in text
    assert "line 101" in text


def test_an_empty_key_is_named_with_file_line_and_column(loads: Loads, damaged: Path) -> None:
    lines = original("Parks")
    lines[6] = lines[6].replace(lines[6].split(",")[1], "", 1)
    file = damage(damaged, "Parks", "".join(lines))

    text = refused(loads, damaged, "Parks", status=65)

    assert str(file) in text
    assert "line 7" in text
    assert "park.key" in text


def test_a_key_that_is_there_twice_is_named(loads: Loads, damaged: Path) -> None:
    lines = original("TeamsFranchises")
    file = damage(damaged, "TeamsFranchises", "".join([*lines, lines[1]]))

    text = refused(loads, damaged, "TeamsFranchises", status=65)

    assert str(file) in text
    assert lines[1].split(",")[0] in text


def test_a_row_whose_parent_is_nowhere_is_named(loads: Loads, damaged: Path) -> None:
    lines = original("Managers")
    file = damage(damaged, "Managers", "".join([*lines, lines[1].replace("wrighha01", "nobody99")]))

    text = refused(loads, damaged, "Managers", status=65)

    assert str(file) in text
    assert "People" in text
    assert "nobody99" in text


def test_an_edition_that_would_empty_most_of_a_table_is_refused(loads: Loads) -> None:
    assert FOLDER is not None

    text = refused(loads, FOLDER / "2024", "TeamsHalf", status=65)

    assert "max_delete" in text
