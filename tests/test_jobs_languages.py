"""Servers that speak other languages: what they say is understood, or nothing is made of it."""

# ruff: noqa: F401, F811
from __future__ import annotations

import gettext
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from etl_jobs.complaints import Skipped, UnclearError, noting, place_in
from tests.support.folders import entered_by_all
from tests.support.jobs import Shop, query
from tests.support.servers import database, warehouse

_SERVERS = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
_WORDS = Path("/usr/share/locale")
_NOBODY = 65534

CONTEXTS = [
    'COPY t, line 2, column v: "x"',
    "COPY t, Zeile 2, Spalte v: »x«",
    "COPY t, línea 2, columna v: «x»",
    "COPY t, ligne 2, colonne v : « x »",
    'COPY t, строка 2, столбец v: "x"',
    'COPY t, ხაზი 2, სვეტი v: "x"',
    'COPY t, 行 2, 列 v: "x"',
    'JSON data, line 1: {x\nCOPY t, line 2, column v: "x"',
]


@pytest.mark.parametrize("context", CONTEXTS)
def test_line_column_and_value_are_found_in_most_languages(context: str) -> None:
    assert (place_in(context)[0], place_in(context)[1][0], place_in(context)[2]) == (2, "v", "x")


@pytest.mark.parametrize(
    ("context", "place"),
    [
        ("COPY t, line 2, column v: null input", (2, ("v",), None)),
        ("COPY t, line 12", (12, (), None)),
        ('COPY t, line 2, column a: "b: "c"', (2, ("a", 'a: "b'), 'b: "c')),
        ('COPY t, line 2, column v : "x"', (2, ("v ", "v"), "x")),
        ('t 복사, 2번째 줄, v 열: "x"', (None, (), None)),
        ("", (None, (), None)),
    ],
)
def test_where_more_than_one_reading_is_possible_all_are_told(context: str, place: object) -> None:
    assert place_in(context) == place


def say(session: psycopg.Connection, *notices: str) -> list[Skipped]:
    skipped: list[Skipped] = []
    with noting(session, skipped, ("id", "v"), limit=9):
        for notice in notices:
            session.execute(f"DO $$ BEGIN RAISE NOTICE '%', $text${notice}$text$; END $$")
    return skipped


SKIPPING = 'skipping row due to data type incompatibility at line 2 for column "v": '
ONE = "1 row was skipped due to data type incompatibility"


def test_what_copy_says_about_the_records_it_leaves_out_is_kept(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as session:
        assert say(session) == []
        assert say(session, SKIPPING + '"a "b"\nc"', ONE) == [Skipped(line=2, column="v", value='a "b"\nc')]
        assert say(session, SKIPPING + "null input", ONE) == [Skipped(line=2, column="v", value=None)]


@pytest.mark.parametrize(
    "notices",
    [
        ("Zeile 2 wird übersprungen",),
        (SKIPPING + '"x"',),
        (ONE,),
        (SKIPPING + '"x"', "2 rows were skipped due to data type incompatibility"),
        (SKIPPING.replace('"v"', '"w"') + '"x"', ONE),
    ],
)
def test_words_that_are_not_understood_or_do_not_add_up_are_not_believed(
    database: str, notices: tuple[str, ...]
) -> None:
    with psycopg.connect(database, autocommit=True) as session, pytest.raises(UnclearError):
        say(session, *notices)


def test_where_notices_are_not_understood_every_record_is_looked_at(tmp_path: Path, database: str) -> None:
    query(database, "CREATE SCHEMA shop")
    query(
        database,
        "CREATE FUNCTION shop.talks(n integer) RETURNS boolean LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE NOTICE 'hier ist %', n; RETURN true; END $$",
    )
    query(database, "CREATE DOMAIN shop.talking AS integer CHECK (shop.talks(value))")
    shop = Shop(tmp_path, database)
    shop.table("t", {"id": "integer", "v": "shop.talking"}, 'key = ["id"]\nrejects = { limit = 5 }')
    shop.file("t.csv", "id,v\n1,1\n2,x\n3,3\n")
    ended = shop.load()

    assert (ended.status, ended.metrics["rejected"]) == (0, 1), ended.stderr
    assert shop.rows("t") == [(1, 1), (3, 3)]


@pytest.fixture(scope="module")
def german() -> Iterator[str]:
    """The DSN of a server that says everything in German, for a user who may not change that."""
    spoken = [path for path in _SERVERS if gettext.find(f"postgres-{path.parts[-3]}", str(_WORDS), ["de"])]
    if not spoken:
        pytest.skip("there is no PostgreSQL that speaks German: apt install postgresql locales")
    programs = spoken[-1].parent
    with entered_by_all() as folder:
        made = subprocess.run(["localedef", "-i", "de_DE", "-f", "UTF-8", str(folder / "de_DE.UTF-8")], check=False)
        if made.returncode:
            pytest.skip("there is no German locale: apt install locales")
        folder.chmod(0o777)

        def server(*command: str | Path) -> None:
            env = {"LOCPATH": str(folder), "PATH": os.environ["PATH"]}
            as_user = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
            subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL, **as_user)  # type: ignore[call-overload]

        data = folder / "data"
        server(programs / "initdb", "-D", data, "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "-A", "trust")
        options = f"-k {folder} -p 5498 -h '' -c lc_messages=de_DE.UTF-8 -c fsync=off"
        server(programs / "pg_ctl", "-D", data, "-l", folder / "log", "-w", "-o", options, "start")
        try:
            query(f"postgresql://postgres@/postgres?host={folder}&port=5498", "CREATE USER plain CREATEDB")
            query(f"postgresql://plain@/postgres?host={folder}&port=5498", "CREATE DATABASE plain")
            yield f"postgresql://plain@/plain?host={folder}&port=5498"
        finally:
            server(programs / "pg_ctl", "-D", data, "-m", "immediate", "stop")
            shutil.rmtree(data)


def test_a_server_that_speaks_german_shows_no_secret(tmp_path: Path, german: str) -> None:
    shop = Shop(tmp_path, german)
    shop.table("t", {"id": "integer", "v": "integer"}, 'key = ["id"]\nsecret = ["v"]')
    shop.file("t.csv", "id,v\n1,1\n2,DE99SECRET\n")
    refused = shop.load()
    shop.redeclare(0, "secret", "rejects = { limit = 5 }\nsecret")
    ended = shop.load()

    assert refused.status == 65
    assert "t.csv line 3, column 'v': the value does not fit" in refused.stderr
    assert "DE99SECRET" not in refused.stderr
    assert (ended.status, shop.rows("t")) == (0, [(1, 1)])
    assert "DE99SECRET" not in str(shop.rows("t__rejects"))
    assert "column 'v': *** is no integer" in str(shop.rows("t__rejects"))
