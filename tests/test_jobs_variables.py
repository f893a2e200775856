"""`${NAME}` in a catalogue: where it is replaced, and that in SQL it stays a value whatever it holds."""

# ruff: noqa: F401, F811
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_jobs.catalogue import read_catalogue
from etl_jobs.errors import MisconfiguredError
from etl_jobs.tables import Table
from etl_jobs.variables import filled, sql_filled
from tests.support.servers import database, warehouse

INTERVAL = {"ETL_INTERVAL_START": "2025-01-01", "ETL_INTERVAL_END": "2025-02-01"}


def read(folder: Path, settings: str, env: Mapping[str, str]) -> Table:
    path = folder / "tables.toml"
    head = '[source]\nkind = "postgresql"\nurl = "x"\n[warehouse]\nschema = "shop"\n'
    path.write_text(f'{head}[[table]]\nname = "sale"\nkey = ["id"]\n{settings}')
    return read_catalogue(path, env=env).tables[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("day >= ${A}", "day >= 'it''s'"),
        ("day >= '${A}'", "day >= 'it''s'"),
        ("name LIKE '${A}%' AND n = ${N}", "name LIKE 'it''s%' AND n = '5'"),
        ('FROM "${A}"."t"', 'FROM "it\'s"."t"'),
        ('FROM "${Q}"', 'FROM "a""b"'),
        ("FROM `${A}`", "FROM `it's`"),
        ("x = ${NONE:-2025-01-01}", "x = '2025-01-01'"),
        ("x = '${NONE:-}'", "x = ''"),
        ("1 -- ${A} it's\n+ ${N}", "1 -- ${A} it's\n+ '5'"),
        ("1 /* ${A} it's */ + ${N}", "1 /* ${A} it's */ + '5'"),
        ("x ~ '\\d' AND y = ${N}", "x ~ '\\d' AND y = '5'"),
        ("x = '\\' AND y = 1", "x = '\\' AND y = 1"),
    ],
)
def test_a_variable_in_sql_is_a_value_or_fits_the_quotes_around_it(text: str, expected: str) -> None:
    problems: list[str] = []

    found = sql_filled(text, {"A": "it's", "N": "5", "Q": 'a"b'}, problems.append)

    assert (found, problems) == (expected, [])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x = ${NONE}", "the environment variable NONE is not set"),
        ("x = ${BACK}", "BACK has a backslash"),
        ("x = E'it\\'s ${A}'", "a quote behind a backslash"),
        ("x = 'open ${A}", "its quotes do not match"),
        ("SELECT $$ ${A} $$", "no variable can stand between $$"),
        ("x = ${ETL_INTERVAL_START}", "${ETL_INTERVAL_START:-…}"),
    ],
)
def test_a_variable_that_cannot_be_safe_in_sql_is_a_problem(text: str, problem: str) -> None:
    problems: list[str] = []

    sql_filled(text, {"A": "it's", "BACK": "\\"}, problems.append)

    assert len(problems) == 1
    assert problem in problems[0]


@given(value=st.text(st.characters(exclude_characters="\0\\", exclude_categories=["Cs"]), min_size=1))
def test_no_value_gets_out_of_its_place(value: str) -> None:
    env = {"V": value}

    found = sql_filled("${V} '${V}' \"${V}\"", env, pytest.fail)

    text, name = value.replace("'", "''"), value.replace('"', '""')
    assert found == f"'{text}' '{text}' \"{name}\""


@pytest.mark.parametrize("value", ["'; DROP TABLE x; --", "it's", 'a"b', "$$", "{}", "%s", "\n"])
def test_the_server_reads_the_value_that_was_meant(database: str, value: str) -> None:
    statement = sql_filled("SELECT ${V}, 'a${V}b'", {"V": value}, pytest.fail)

    with psycopg.connect(database) as session:
        row = session.execute(statement).fetchone()  # type: ignore[arg-type, unused-ignore]

    assert row == (value, f"a{value}b")


def test_where_query_and_checks_are_filled_alike(tmp_path: Path) -> None:
    condition = "day >= ${ETL_INTERVAL_START} AND day < '${ETL_INTERVAL_END}'"
    checks = f'checks = [{{ name = "in", sql = "{condition}" }}]\n'

    table = read(
        tmp_path, f'strategy = "slice"\nwhere = "{condition}"\n{checks}source.query = "{condition}"\n', INTERVAL
    )

    meant = "day >= '2025-01-01' AND day < '2025-02-01'"
    assert (table.where, table.checks[0].sql, table.source["query"]) == (meant, meant, meant)


def test_other_texts_of_the_source_are_filled_as_they_are(tmp_path: Path) -> None:
    table = read(tmp_path, 'source = { table = "${T}", schema = "${S:-sales}" }\n', {"T": "it's"})

    assert table.source == {"table": "it's", "schema": "sales"}
    assert filled({"a": ["${T}-${T}"]}, {"T": "x"}, print) == {"a": ["x-x"]}


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ('source.query = "… ${ETL_INTERVAL_START:-1900-01-01}"', "strategy 'snapshot' would leave one interval of it"),
        ('strategy = "replace"\nsource.query = "${ETL_INTERVAL_END}"', "strategy 'replace' would leave one interval"),
        ('strategy = "scd2"\nsource.query = "${ETL_INTERVAL_END}"', "strategy 'scd2' would leave one interval"),
        (
            'strategy = "slice"\nwhere = "true"\nsource.query = "${ETL_INTERVAL_END}"',
            "`where` has to say which rows an interval is",
        ),
    ],
)
def test_a_source_of_one_interval_in_place_of_the_whole_table_is_refused(
    tmp_path: Path, settings: str, problem: str
) -> None:
    with pytest.raises(MisconfiguredError) as caught:
        read(tmp_path, settings, INTERVAL)

    assert problem in caught.value.message


@pytest.mark.parametrize(
    "source",
    [
        'kind = "csv"\nfolder = "in/${ETL_INTERVAL_START:-all}"',
        'kind = "csv"\nfolder = "."\n[source.csv]\nnull = "${ETL_INTERVAL_END:-x}"',
        'kind = "postgresql"\nurl = "postgresql://there/${ETL_INTERVAL_START:-all}"',
    ],
)
def test_a_common_source_of_one_interval_is_one_for_every_table(tmp_path: Path, source: str) -> None:
    catalogue = tmp_path / "tables.toml"
    text = f'[source]\n{source}\n[warehouse]\nschema = "s"\n[[table]]\nname = "t"\nkey = ["id"]\n'
    catalogue.write_text(text)
    with pytest.raises(MisconfiguredError) as caught:
        read_catalogue(catalogue, env=INTERVAL)
    catalogue.write_text(text + 'columns = { id = "integer" }\nstrategy = "incremental"\nwatermark = "id"\n')

    assert "table 't': strategy 'snapshot' would leave one interval of it" in caught.value.message
    assert read_catalogue(catalogue, env=INTERVAL).tables[0].interval == "2025-01-01 to 2025-02-01"
