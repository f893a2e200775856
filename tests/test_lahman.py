"""The Lahman example on the real data: two editions of 27 tables, loaded and compared with the files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

import psycopg
import pytest

from etl_runner.paths import Home
from etl_runner.postgres import EmbeddedPostgres
from tests.support import lahman
from tests.support.lahman import EDITIONS, TABLES, Changes, Content, Truth
from tests.support.servers import Warehouse, open_folder, warehouse  # noqa: F401

FOLDER = lahman.lahman_folder()
EXAMPLE = Path(__file__).parents[1] / "examples" / "lahman"
RUNS = {"2024": 1, "2025": 2, "2025 again": 3}
EDITION = {"2024": "2024", "2025": "2025", "2025 again": "2025"}

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("lahman"),
    pytest.mark.skipif(
        FOLDER is None,
        reason="the Lahman data is not here: set ETL_LAHMAN to the folder that holds 2024 and 2025",
    ),
]


@dataclass(frozen=True, kw_only=True)
class Ended:
    """One table job: exit status, what it wrote on stderr and stdout, the last value of each metric."""

    status: int
    text: str
    metrics: Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class Loads:
    """Three loads one after the other: what the jobs said, and what the warehouse held after each."""

    url: str
    outputs: Path
    ended: dict[str, dict[str, Ended]] = field(default_factory=dict)
    held: dict[str, dict[str, Content]] = field(default_factory=dict)


@pytest.fixture(scope="module")
def loads(warehouse: Warehouse, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loads]:  # noqa: F811
    assert FOLDER is not None
    with warehouse.database() as url:
        result = Loads(url=url, outputs=tmp_path_factory.mktemp("outputs"))
        for load, run in RUNS.items():
            load_one = partial(load_table, result, source=FOLDER / EDITION[load], run=run)
            with ThreadPoolExecutor(4) as pool:
                result.ended[load] = dict(zip(TABLES, pool.map(load_one, TABLES), strict=True))
                result.held[load] = dict(zip(TABLES, pool.map(partial(held, url), TABLES), strict=True))
        yield result


def load_table(loads: Loads, table: str, *, source: Path | str, run: int) -> Ended:
    """One attempt of one job, started as the runner starts it."""
    number = TABLES.index(table)
    output = loads.outputs / f"{run}.table-{number}.jsonl"
    output.unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "etl_jobs.table", "--id", str(number)],
        cwd=EXAMPLE,
        env={
            **os.environ,
            "DATABASE_URL": loads.url,
            "ETL_CATALOGUE": "tables.toml",
            "ETL_SOURCE": str(source),
            "ETL_RUN_ID": str(run),
            "ETL_JOB": f"table-{number}",
            "ETL_ATTEMPT": "1",
            "ETL_OUTPUT": str(output),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    lines = output.read_text().splitlines() if output.exists() else []
    metrics = {name: value for line in lines for name, value in json.loads(line).items()}
    return Ended(status=done.returncode, text=done.stdout, metrics=metrics)


def held(url: str, table: str) -> Content:
    with psycopg.connect(url) as connection:
        return lahman.warehouse_content(connection, "lahman", table)


@cache
def truth(table: str) -> Truth:
    assert FOLDER is not None
    return lahman.truth(FOLDER, table)


def changes(metrics: Mapping[str, object]) -> Changes:
    inserted, updated, deleted = (metrics[name] for name in ("inserted", "updated", "deleted"))
    assert isinstance(inserted, int) and isinstance(updated, int) and isinstance(deleted, int)
    return Changes(inserted=inserted, updated=updated, deleted=deleted)


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


@pytest.mark.parametrize("load", RUNS)
def test_every_job_of_a_load_succeeds(loads: Loads, load: str) -> None:
    failed = {table: ended.text for table, ended in loads.ended[load].items() if ended.status}

    assert failed == {}


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
    metrics = loads.ended["2024"][table].metrics

    rows = truth(table).contents["2024"].rows
    assert metrics["rows"] == rows
    assert changes(metrics) == Changes(inserted=rows, updated=0, deleted=0)


@pytest.mark.parametrize("table", TABLES)
def test_a_load_of_the_next_edition_reports_what_changed_between_the_files(loads: Loads, table: str) -> None:
    metrics = loads.ended["2025"][table].metrics

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

    assert {table: changes(loads.ended["2025"][table].metrics) for table in known} == known


def test_load_records_say_what_the_jobs_reported(loads: Loads) -> None:
    names = ("rows", "inserted", "updated", "deleted", "duplicates", "orphans")
    with psycopg.connect(loads.url) as connection:
        records = connection.execute(
            "SELECT run, target, rows_in, inserted, updated, deleted, duplicates, orphans FROM etl.load"
        ).fetchall()

    reported = [
        (RUNS[load], f"lahman.{table}", *(ended.metrics[name] for name in names))
        for load, jobs in loads.ended.items()
        for table, ended in jobs.items()
    ]
    assert sorted(records) == sorted(reported)


def test_loading_an_edition_twice_changes_nothing(loads: Loads) -> None:
    again = {table: changes(ended.metrics) for table, ended in loads.ended["2025 again"].items()}

    assert again == dict.fromkeys(TABLES, Changes(inserted=0, updated=0, deleted=0))
    assert loads.held["2025 again"] == loads.held["2025"]


@pytest.mark.parametrize("edition", EDITIONS)
def test_duplicate_keys_are_reported_not_hidden(loads: Loads, edition: str) -> None:
    reported = {table: ended.metrics["duplicates"] for table, ended in loads.ended[edition].items()}

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
    orphans = {table: ended.metrics["orphans"] for table, ended in loads.ended[edition].items()}

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
    """What a job said that must fail with `status` and leave its table as it was."""
    before = held(loads.url, table)
    ended = load_table(loads, table, source=source, run=9)

    assert ended.status == status, ended.text
    assert held(loads.url, table) == before
    assert "Traceback" not in ended.text
    return ended.text


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


def etl_run(home: Path, *arguments: str, source: Path) -> subprocess.CompletedProcess[str]:
    """The command as a user has it: no server named, so it brings its own."""
    surroundings = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "ETL_", "DATABASE_URL"))}
    return subprocess.run(
        [sys.executable, "-m", "etl_runner", *arguments, "-c", str(EXAMPLE / "etl.toml")],
        cwd=home,
        env={**surroundings, "ETL_HOME": str(home), "ETL_SOURCE": str(source)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_line_loads_one_edition_after_the_other(open_folder: Path) -> None:  # noqa: F811
    assert FOLDER is not None

    ended = {edition: etl_run(open_folder, "all", "-o", "json", source=FOLDER / edition) for edition in EDITIONS}
    refused = etl_run(open_folder, "all", "-o", "json", source=open_folder / "nowhere")

    for edition in EDITIONS:
        assert ended[edition].returncode == 0, ended[edition].stdout + ended[edition].stderr
        events = [json.loads(line) for line in ended[edition].stdout.splitlines()]
        finished = {e["job"]: e for e in events if e["event"] == "job_finished"}
        tables = [finished[f"table-{number}"]["metrics"] for number in range(len(TABLES))]
        assert [m["rows"] for m in tables] == [truth(t).contents[edition].rows for t in TABLES]
        assert {e["outcome"] for e in finished.values()} == {"succeeded"}
        assert events[-1]["status"] == "succeeded"
    assert [changes(m) for m in tables] == [truth(t).changes for t in TABLES]
    assert refused.returncode == 1
    with EmbeddedPostgres(Home(open_folder).postgres).hold() as server:
        assert {t: held(server.url, t) for t in TABLES} == {t: truth(t).contents["2025"] for t in TABLES}
