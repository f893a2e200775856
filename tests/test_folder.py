"""A folder of files becomes tables that nobody listed: the example from end to end, and what files are called."""

# ruff: noqa: F401, F811
from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from etl_jobs.catalogue import read_catalogue
from etl_jobs.errors import MisconfiguredError
from tests.support.cli import ETL_RUN, clean_env
from tests.support.jobs import query, run_job
from tests.support.servers import database, warehouse

EXAMPLE = Path(__file__).parents[1] / "examples" / "folder"
FILES = 200
EVERYTHING = "SELECT xmin, t.* FROM raw.{} AS t ORDER BY id"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """200 small files; the n-th has n % 7 + 1 rows."""
    found = tmp_path / "in"
    found.mkdir()
    for n in range(FILES):
        rows = [f"{row},name {row},{row / 4},2025-01-{row + 1:02d}" for row in range(n % 7 + 1)]
        (found / f"table_{n:03d}.csv").write_text("\n".join(["id,name,amount,day", *rows]) + "\n")
    return found


@pytest.fixture(params=["when the file is read", "during the run"])
def example(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The example's pipeline file, and what its README has in its place."""
    project = tmp_path / "project"
    shutil.copytree(EXAMPLE, project)
    text = (project / "etl.toml").read_text()
    during = 'matrix = { table = { job = "find", output = "tables" } }'
    reading = 'matrix = { table = { command = "python -m etl_jobs.find tables.toml" } }'
    assert during in text
    assert reading in (project / "README.md").read_text()
    if request.param != "during the run":
        find = text[text.index("[jobs.find]") : text.index("[jobs.table]")]
        (project / "etl.toml").write_text(text.replace(find, "").replace(during, reading))
    return project / "etl.toml"


def run_example(example: Path, folder: Path, dsn: str, *words: str) -> tuple[int, list[dict[str, object]]]:
    """The exit status of the example and its events."""
    env = clean_env(DATABASE_URL=dsn, ETL_SOURCE=str(folder))
    ended = subprocess.run(
        [*ETL_RUN, *(words or ("all",)), "-c", example, "-w", "4", "-o", "json"],
        cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert ended.returncode in (0, 1), ended.stdout + ended.stderr
    return ended.returncode, [json.loads(line) for line in ended.stdout.splitlines()]


def outcomes(events: list[dict[str, object]]) -> dict[str, list[object]]:
    """Names of jobs by how they ended, but for the one that finds."""
    found: dict[str, list[object]] = {}
    for event in events:
        if event["event"] == "job_finished" and event["job"] != "find":
            found.setdefault(str(event["outcome"]), []).append(event["job"])
    return found


def rows_of_all(dsn: str) -> int:
    query(dsn, "ANALYZE")
    [(tables, rows)] = query(
        dsn, "SELECT count(*), sum(reltuples) FROM pg_class WHERE relnamespace = 'raw'::regnamespace AND relkind = 'r'"
    )
    assert tables == FILES
    return int(rows)


def test_200_files_are_200_tables_and_a_second_run_changes_nothing(folder: Path, example: Path, database: str) -> None:
    status, events = run_example(example, folder, database)
    before = query(database, EVERYTHING.format("table_006"))
    again, _ = run_example(example, folder, database)

    assert (status, again) == (0, 0)
    assert len(outcomes(events)["succeeded"]) == FILES + 2
    assert rows_of_all(database) == sum(n % 7 + 1 for n in range(FILES))
    assert query(database, EVERYTHING.format("table_006")) == before
    assert len(before) == 7
    assert query(
        database,
        "SELECT string_agg(data_type, ', ' ORDER BY ordinal_position) FROM information_schema.columns"
        " WHERE table_name = 'table_006'",
    ) == [("bigint, text, numeric, date",)]
    assert query(database, "SELECT sum(inserted), sum(updated + deleted) FROM etl.load") == [(rows_of_all(database), 0)]


def test_one_bad_file_is_one_failed_job(folder: Path, example: Path, database: str) -> None:
    (folder / "table_077.csv").write_text("id,name\n1,a,too much\n")
    status, events = run_example(example, folder, database)

    ended = outcomes(events)
    assert (status, ended["failed"], ended["skipped"]) == (1, ["table-table_077"], ["final"])
    assert len(ended["succeeded"]) == FILES - 1 + 1
    assert query(database, "SELECT count(*) FROM etl.load") == [(FILES - 1,)]


def test_one_table_is_loaded_by_its_name_whatever_alphabet(tmp_path: Path, example: Path, database: str) -> None:
    make(tmp_path / "in", "销售.csv", "客户.csv", "été 2.csv", "ete 2.csv", "it's;a.csv")
    status, events = run_example(example, tmp_path / "in", database)
    one, alone = run_example(example, tmp_path / "in", database, "job", "table", "--table", "客户")

    jobs = ["cleanup", "final", "table-ete_2", "table-it_s_a", "table-été_2", "table-客户", "table-销售"]
    assert (status, sorted(map(str, outcomes(events)["succeeded"]))) == (0, jobs)
    assert query(database, 'SELECT * FROM raw."it\'s;a" UNION ALL SELECT * FROM raw."客户"') == [(1,), (1,)]
    assert (one, outcomes(alone)) == (0, {"succeeded": ["table-客户"]})


def test_files_whose_jobs_would_have_one_name_are_loaded_each_by_its_own(
    tmp_path: Path, example: Path, database: str
) -> None:
    files = ["a,b", "a&b", "Sales 2024", "Sales_2024", "c"]
    make(tmp_path / "in", *(f"{name}.csv" for name in files))
    status, events = run_example(example, tmp_path / "in", database)
    make(tmp_path / "in", "0.csv", "a;b.csv")
    again, later = run_example(example, tmp_path / "in", database)

    names = {str(job) for job in outcomes(events)["succeeded"]}
    assert (status, again) == (0, 0)
    assert names == {
        "cleanup", "final", "table-a_b-1eb7c54d", "table-a_b-4e012385",
        "table-Sales_2024-ef87a32b", "table-Sales_2024-54533889", "table-c",
    }  # fmt: skip
    assert len({str(job) for job in outcomes(later)["succeeded"]} - names) == 2
    assert query(database, "SELECT count(*) FROM pg_tables WHERE schemaname = 'raw'") == [(len(files) + 2,)]


def test_files_that_clash_start_no_load(tmp_path: Path, example: Path, database: str) -> None:
    make(tmp_path / "in", "a.csv", "a.csv.gz")
    env = clean_env(DATABASE_URL=database, ETL_SOURCE=str(tmp_path / "in"))
    ended = subprocess.run(
        [*ETL_RUN, "all", "-c", example], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )

    assert ended.returncode in (1, 2)
    assert "'a.csv' and 'a.csv.gz' are both table" in ended.stdout + ended.stderr
    assert query(database, "SELECT to_regclass('etl.load'), to_regclass('raw.a')") == [(None, None)]


def catalogue(folder: Path, *tables: str) -> Path:
    path = folder / "tables.toml"
    head = '[source]\nkind = "csv"\nfolder = "."\n[warehouse]\nschema = "w"\n'
    path.write_text(head + "".join(f"[[table]]\n{table}\n" for table in tables))
    return path


def make(folder: Path, *files: str) -> None:
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("id\n1\n")


LONG = "ü" * 40
NAMES = {
    "as they are": ("*.csv", ["Sales 2024.csv", "a.b.csv", "order.csv", "été.csv", "销售.csv"],
                    ["Sales 2024", "a.b", "order", "été", "销售"]),
    "compressed": ("*.csv*", ["a.csv.gz", "b.csv"], ["a", "b"]),
    "hidden files": ("*.csv", [".hidden.csv", "._a.csv", "a.csv"], ["a"]),
    "open folders": ("*/*.csv", ["eu/sales.csv", "us/sales.csv"], ["eu_sales", "us_sales"]),
    "folders at any depth": ("**/*.csv", ["a.csv", "x/y/a.csv"], ["a", "x_y_a"]),
    "a folder that is named": ("eu/*.csv", ["eu/sales.csv", "us/sales.csv"], ["sales"]),
    "cut to 63 bytes": ("*.csv", [f"{LONG}.csv"], ["ü" * 31]),
    "like a pattern": ("*.csv", ["a[1].csv", "a1.csv"], ["a1", "a[1]"]),
    "plain": ("*.csv", ["Sales 2024-EU.csv", "Été.csv"], ["sales_2024_eu", "été"]),
}  # fmt: skip


@pytest.mark.parametrize("case", NAMES)
def test_a_table_is_called_as_its_file(tmp_path: Path, case: str) -> None:
    pattern, files, expected = NAMES[case]
    make(tmp_path, *files)
    path = catalogue(tmp_path, f'each = "{pattern}"' + ('\nnames = "plain"' if case == "plain" else ""))

    assert [table.name for table in read_catalogue(path).tables] == expected


REFUSED = {
    "two files": ("*/a*", ["x/a.csv", "x/a.csv.gz"], "'x/a.csv' and 'x/a.csv.gz' are both table 'x_a'"),
    "two long names": ("*.csv", [f"{LONG}1.csv", f"{LONG}2.csv"], "are both table 'üü"),
    "no name": ("*.csv", [" .csv"], "' .csv' gives the name ''"),
    "a name of two lines": ("*.csv", ["a\nb.csv"], "gives the name 'a\\nb', which no table can have"),
    "bytes that are no text": ("*.csv", [b"\xe9.csv".decode("utf-8", "surrogateescape")], "which no table can have"),
    "no file": ("*.csv", ["a.txt"], "matches '*.csv'"),
    "no pattern": ("/*.csv", [], "'/*.csv' is no pattern of files"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_files_that_cannot_be_told_apart_are_refused_with_their_names(tmp_path: Path, case: str) -> None:
    pattern, files, said = REFUSED[case]
    make(tmp_path, *files)
    with pytest.raises(MisconfiguredError) as caught:
        read_catalogue(catalogue(tmp_path, f'each = "{pattern}"'))

    assert said in caught.value.message


def test_what_is_listed_keeps_its_place_and_its_file(tmp_path: Path) -> None:
    make(tmp_path, "a.csv", "b.csv", "c.csv")
    path = catalogue(
        tmp_path, 'each = "*.csv"\nnew_columns = "add"', 'name = "mine"\nfile = "c.csv"\nkey = ["id"]', 'each = "b*"'
    )
    tables = read_catalogue(path).tables

    assert [(t.id, t.name, t.file, t.new_columns) for t in tables] == [
        (0, "mine", "c.csv", "fail"),
        (1, "a", "a.csv", "add"),
        (2, "b", "b.csv", "add"),
    ]


def test_a_mistake_of_a_pattern_is_told_once_and_of_its_tables_not_a_hundred_times(tmp_path: Path) -> None:
    make(tmp_path, *(f"{n}.csv" for n in range(100)))
    with pytest.raises(MisconfiguredError) as once:
        read_catalogue(catalogue(tmp_path, 'each = "*.csv"\nkeys = ["id"]\nname = "x"'))
    with pytest.raises(MisconfiguredError) as often:
        read_catalogue(catalogue(tmp_path, 'each = "*.csv"\nstrategy = "snap"'))

    assert [line.partition(": ")[2] for line in once.value.message.splitlines()] == [
        "table 0: unknown key 'keys' (did you mean 'key'?)",
        "table 0: unknown key 'name' (did you mean 'names'?)",
    ]
    assert len(often.value.message.splitlines()) == 21
    assert often.value.message.endswith("… and 80 more")


def test_a_source_that_is_not_known_is_the_only_complaint(tmp_path: Path) -> None:
    path = catalogue(tmp_path, 'each = "*.csv"')
    path.write_text(path.read_text().replace('folder = "."', 'folder = "${ETL_SOURCE}"'))
    with pytest.raises(MisconfiguredError) as caught:
        read_catalogue(path, env={})
    with pytest.raises(MisconfiguredError, match=r"table 0: each: the source folder /no/where does not exist$"):
        read_catalogue(path, env={"ETL_SOURCE": "/no/where"})

    assert caught.value.message == f"{path}: '${{ETL_SOURCE}}': the environment variable ETL_SOURCE is not set"


def test_a_folder_is_a_catalogue_too(tmp_path: Path, database: str) -> None:
    make(tmp_path, "A.CSV", "b.csv")
    found = run_job(database, "find", tmp_path, output=tmp_path / ".output")
    loaded = run_job(database, "table", "--table", "A", ETL_CATALOGUE=str(tmp_path))
    unknown = run_job(database, "table", "--table", "bb", "--catalogue", tmp_path)

    assert (found.stdout, found.metrics) == ("A\nb\n", {"tables": ["A", "b"], "found": 2})
    assert (loaded.status, query(database, 'SELECT * FROM raw."A"')) == (0, [(1,)])
    assert (unknown.status, "no table 'bb' (did you mean 'b'?)" in unknown.stderr) == (78, True)


def test_files_that_no_table_reads_are_told(tmp_path: Path, database: str) -> None:
    make(tmp_path, "a.csv", "a.xlsx", "notes.txt", ".hidden", *(f"x{n}.dat" for n in range(10)))
    catalogue(tmp_path, 'each = "*.csv"')
    found = run_job(database, "find", tmp_path / "tables.toml", output=tmp_path / ".output")

    assert (found.stdout, found.metrics) == ("a\n", {"tables": ["a"], "found": 1, "left_alone": 12})
    assert found.stderr.startswith("no table reads a.xlsx, notes.txt, x0.dat, ")
    assert found.stderr.endswith(" and 2 more\n")


def test_a_folder_with_files_of_two_kinds_needs_a_catalogue(tmp_path: Path) -> None:
    make(tmp_path, "a.csv", "b.parquet")
    with pytest.raises(MisconfiguredError, match=r"has CSV files \(a.csv, …\) and Parquet files \(b.parquet, …\)"):
        read_catalogue(tmp_path)
    with pytest.raises(MisconfiguredError, match="has no CSV or Parquet file"):
        read_catalogue(EXAMPLE)


def test_a_file_alone_is_loaded_without_any_catalogue(tmp_path: Path, database: str) -> None:
    make(tmp_path, "sales 2024.csv", "other.csv")
    ended = run_job(database, "table", "--file", tmp_path / "sales 2024.csv")
    missing = run_job(database, "table", "--file", tmp_path / "nowhere.csv")

    assert ended.stdout == "sales 2024: 1 rows, 1 inserted, 0 updated, 0 deleted\n"
    assert query(database, 'SELECT * FROM raw."sales 2024"') == [(1,)]
    assert query(database, "SELECT job, target FROM etl.load") == [("table-sales 2024", "raw.sales 2024")]
    assert (missing.status, "nowhere.csv does not exist" in missing.stderr) == (65, True)


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_a_file_with_another_delimiter_is_not_taken_for_one_column(tmp_path: Path, database: str, mark: str) -> None:
    (tmp_path / "a.csv").write_text(f"id{mark}name\n1{mark}x\n")
    refused = run_job(database, "table", "--file", tmp_path / "a.csv")
    path = catalogue(tmp_path, 'each = "*.csv"')
    path.write_text(path.read_text() + f"[source.csv]\ndelimiter = {json.dumps(mark)}\n")
    loaded = run_job(database, "table", "--table", "a", "--catalogue", path)

    assert (refused.status, f"is {mark!r} the delimiter?" in refused.stderr) == (65, True), refused.stderr
    assert (loaded.status, query(database, "SELECT * FROM w.a")) == (0, [(1, "x")])


def test_one_column_whose_name_has_the_delimiter_is_one_column(tmp_path: Path, database: str) -> None:
    (tmp_path / "a.csv").write_text('"name, first"\nx\n')

    assert run_job(database, "table", "--file", tmp_path / "a.csv").status == 0
    assert query(database, "SELECT * FROM raw.a") == [("x",)]
