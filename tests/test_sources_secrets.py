"""What sources over the network say: never a password, whatever the server echoes; of secret columns no value."""

# ruff: noqa: F401, F811
from __future__ import annotations

import json
import sqlite3
import subprocess
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from psycopg.conninfo import make_conninfo

from etl_jobs.sources.excerpts import Excerpts, secrets_in_headers, secrets_in_parameters, secrets_in_url
from tests.support.cli import ETL_RUN, clean_env
from tests.support.jobs import query
from tests.support.servers import Warehouse, database, warehouse
from tests.support.sources import Answer, Asked, Load, dripping, page, served

TOKEN = 'sk-Öl/4711 "x"+9'
PLAIN = "sk4711abcdef"
COLUMNS = {"id": "integer", "iban": "text"}
VALUE = "DE99SECRET"


def forms(secret: str) -> list[str]:
    logins = [b64encode(login.encode()).decode() for login in (f"etl:{secret}", f"{secret}:")]
    return [secret, quote(secret), quote(secret, safe=""), json.dumps(secret)[1:-1], *logins]


def echo(asked: Asked) -> str:
    """Everything that came, as a server's debug page has it."""
    return json.dumps({**asked.headers, **asked.parameters, "path": asked.path, "body": asked.body.decode()})


ECHOES: dict[str, Callable[[str], Answer]] = {
    "a refusal": lambda said: (401, {}, said.encode()),
    "an unknown path": lambda said: (404, {}, f"<pre>{said}</pre>".encode()),
    "no JSON": lambda said: (200, {}, f"debug: {said}".encode()),
    "no records": lambda said: (200, {}, said.encode()),
    "a redirect": lambda said: (302, {"Location": f"http://127.0.0.2/{quote(said)}"}, b""),
    "cut off": lambda said: (403, {}, (" " * (200 - len(said) + 60) + "x" * (140 - 20) + said).encode()),
}  # fmt: skip
PLACES = {
    "a header": ('url = "${API}"', 'headers = { Authorization = "Bearer ${SHOP_X}" }', ""),
    "another header": ('url = "${API}"', 'headers = { X-Shop = "${SHOP_X}" }', ""),
    "the URL's login": ('url = "http://etl:${SHOP_X}@${HOST}"', "", ""),
    "the URL's user": ('url = "http://${SHOP_X}@${HOST}"', "", ""),
    "the URL's parameters": ('url = "${API}/v1?api_key=${SHOP_X}"', "", ""),
    "the table's parameters": ('url = "${API}"', "", 'source.parameters = { api_key = "${SHOP_X}" }'),
}  # fmt: skip


@pytest.fixture
def load(tmp_path: Path, database: str) -> Load:
    return Load(tmp_path, database, kind="http", env={"SHOP_X": PLAIN})


@pytest.mark.parametrize("answer", ECHOES)
@pytest.mark.parametrize("place", PLACES)
def test_no_password_is_told_whatever_the_server_echoes(load: Load, place: str, answer: str) -> None:
    load.top, load.part, settings = PLACES[place]
    load.part += "\ntries = 1"
    load.table("things", COLUMNS, settings)
    with served(lambda asked: ECHOES[answer](echo(asked))) as (url, asked):
        load.env |= {"API": url, "HOST": url.removeprefix("http://")}
        ended = load.load()

    assert ended.status in (65, 78), ended.stderr
    assert any(form in f"{echo(asked[0])}" for form in forms(PLAIN))  # it did go there
    assert not [form for form in forms(PLAIN) if form in ended.stdout + ended.stderr], ended.stderr
    assert answer == "cut off" or "***" in ended.stderr


def test_no_password_is_told_in_a_protocols_error(load: Load) -> None:
    load.top, load.part, settings = PLACES["a header"]
    load.part += "\ntries = 1"
    load.table("things", COLUMNS, settings)
    with dripping(f"HTTP/1.1 {PLAIN}\r\n\r\n".encode()) as url:
        load.env["API"] = url
        ended = load.load()

    assert ended.status == 75
    assert "illegal status line" in ended.stderr
    assert PLAIN not in ended.stderr


def test_a_secret_is_hidden_in_every_way_of_writing_it_and_before_the_text_is_cut() -> None:
    told = Excerpts([TOKEN])

    assert [told.shown(f"<{form}>") for form in forms(TOKEN)[:4]] == ["<***>"] * 4
    assert TOKEN[:6] not in told.shown("x " * 96 + TOKEN)
    assert "c2st" not in told.shown(forms(TOKEN)[4])


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://etl:p%40ss@h/v1", {"etl:p%40ss", "etl:p@ss", "p%40ss", "p@ss", ""}),
        ("http://ghp_token@h/v1", {"ghp_token", ""}),
        ("http://h/v1?state=posted&api_key=k1&sig=s1", {"", "k1", "s1"}),
        ("mssql+pyodbc:///?odbc_connect=Driver={x};Uid=u;Pwd={a;b}", {"", "a;b"}),
        ("http://[x/", set()),
    ],
)
def test_the_secrets_of_an_url_are_known(url: str, expected: set[str]) -> None:
    assert secrets_in_url(url) == expected


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("Authorization", "Bearer abc.def", {"Bearer abc.def", "abc.def"}),
        ("Authorization", "Basic ZXRsOnMzY3JldA==", {"Basic ZXRsOnMzY3JldA==", "ZXRsOnMzY3JldA==", "etl:s3cret", "s3cret", "="}),  # noqa: E501
        ("Cookie", "session=abcd; lang=fr", {"session=abcd; lang=fr", "lang=fr", "abcd", "fr"}),
        ("X-Shop-Key", "k4711", {"k4711"}),
        ("Accept", "application/json", set()),
        ("Content-Type", "application/json", set()),
    ],
)  # fmt: skip
def test_the_secrets_of_headers_are_known(name: str, value: str, expected: set[str]) -> None:
    assert secrets_in_headers({name: value}) == expected


def test_only_what_is_called_like_a_secret_is_one_among_parameters() -> None:
    asked = {
        "state": "posted",
        "page": 1,
        "author": "ana",
        "keyword": "x",
        "access_token": "a1",
        "X-Amz-Signature": ["b2", "c3"],
    }

    assert secrets_in_parameters(asked) == {"a1", "b2", "c3"}


SPOKEN: dict[str, tuple[Answer, int, str]] = {
    "a refusal": (page({"error": VALUE}, 401), 78, "401 Unauthorized: "),
    "an unknown path": ((404, {}, VALUE.encode()), 78, "404 Not Found: 10 bytes"),
    "a page of HTML": ((200, {}, f"<p>{VALUE}".encode()), 65, "(byte 0)): 13 bytes"),
    "a redirect": ((302, {"Location": f"http://127.0.0.2/{VALUE}"}, b""), 78, "it has moved to http://127.0.0.2/\n"),
    "an error for a while": (page({"error": VALUE}, 503), 75, "503 Service Unavailable (tried once)"),
}  # fmt: skip


@pytest.mark.parametrize("case", SPOKEN)
def test_of_answers_to_a_table_with_secret_columns_no_word_is_told(load: Load, case: str) -> None:
    answer, status, said = SPOKEN[case]
    load.top, load.part = 'url = "${API}"', "tries = 1"
    load.table("things", COLUMNS, 'secret = ["iban"]')
    with served(lambda _: answer) as (url, _):
        load.env["API"] = url
        ended = load.load()

    assert (ended.status, said in ended.stderr) == (status, True), ended.stderr
    assert VALUE not in ended.stdout + ended.stderr


@pytest.mark.parametrize("begin", [f"HTTP/1.1 {VALUE}\r\n\r\n", f"HTTP/1.1 404 {VALUE}\r\nContent-Length: 0\r\n\r\n",
                                   f"HTTP/1.1 200 OK\r\n{VALUE}\r\n\r\n"])  # fmt: skip
def test_nor_of_what_is_no_proper_answer(load: Load, begin: str) -> None:
    load.top, load.part = 'url = "${API}"', "tries = 1"
    load.table("things", COLUMNS, 'secret = ["iban"]')
    with dripping(begin.encode()) as url:
        load.env["API"] = url
        ended = load.load()

    assert ended.status in (75, 78)
    assert VALUE not in ended.stdout + ended.stderr


DEBUG = {"name": "odoo.exceptions.ValidationError", "debug": f"Traceback: password={PLAIN} {VALUE}",
         "message": f"login('company', 'etl', '{PLAIN}') of {VALUE}"}  # fmt: skip


@pytest.mark.parametrize("secret", ["", 'secret = ["iban"]'])
def test_an_erps_error_tells_no_password_and_no_traceback(tmp_path: Path, database: str, secret: str) -> None:
    part = 'database = "company"\nuser = "etl"\npassword = "${SHOP_X}"\ntries = 1'
    load = Load(tmp_path, database, kind="jsonrpc", top='url = "${ERP}"', part=part, env={"SHOP_X": PLAIN})
    load.table("things", COLUMNS, secret)
    with served(lambda _: page({"error": {"code": 200, "message": "Odoo Server Error", "data": DEBUG}})) as (url, _):
        load.env["ERP"] = url
        ended = load.load()

    assert ended.status == 65
    assert PLAIN not in ended.stderr
    assert "Traceback" not in ended.stderr
    if secret:
        assert "its words may quote a secret value [odoo.exceptions.ValidationError]" in ended.stderr
        assert VALUE not in ended.stderr
    else:
        assert f"login('company', 'etl', '***') of {VALUE}" in ended.stderr


POSTGRES: dict[str, tuple[str, str]] = {
    "a cast": ("v::int", "[22P02]"),
    "a name made of a value": ("v::regclass", "[42P01]"),
    "a role made of a value": ("v::regrole", "[42704]"),
    "what a function raises": ("f(v)", "[P0001]"),
    "a hint": ("g(v)", "[42501]"),
}


@pytest.mark.parametrize("case", POSTGRES)
def test_another_postgresql_tells_no_value_of_a_secret_column(
    tmp_path: Path, database: str, warehouse: Warehouse, case: str
) -> None:
    expression, code = POSTGRES[case]
    raising = "CREATE FUNCTION {}(v text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE {}; END $$"
    with warehouse.database() as there:
        query(there, raising.format("f", "'% is bad', v USING HINT = v"))
        query(there, raising.format("g", "insufficient_privilege USING MESSAGE = v, HINT = v"))
        query(there, f"CREATE TABLE u (id int, v text); INSERT INTO u VALUES (1, '{VALUE.lower()}')")
        query(there, f"CREATE VIEW t AS SELECT id, {expression} AS iban FROM u")
        load = Load(tmp_path, database, kind="postgresql", top='url = "${THERE}"', env={"THERE": there})
        load.table("t", {"id": "integer", "iban": "text"})
        load.table("s", {"id": "integer", "iban": "text"}, 'source.table = "t"\nsecret = ["iban"]')
        spoken, quiet = load.load(0), load.load(1)

    assert (spoken.status, quiet.status) == (78, 78), quiet.stderr
    assert VALUE.lower() in spoken.stderr
    assert f"its words may quote a secret value {code}" in quiet.stderr
    assert VALUE.lower() not in quiet.stdout + quiet.stderr


def test_a_postgresql_that_echoes_the_password_is_not_quoted(tmp_path: Path, database: str) -> None:
    url = make_conninfo(database, user=PLAIN, password=PLAIN)
    load = Load(tmp_path, database, kind="postgresql", top='url = "${THERE}"', env={"THERE": url})
    load.table("t", {"id": "integer"})
    ended = load.load()

    assert ended.status == 78
    assert 'role "***" does not exist' in ended.stderr
    assert PLAIN not in ended.stderr


def test_what_a_server_echoes_is_in_no_log_no_ledger_and_no_output(tmp_path: Path, database: str) -> None:
    catalogue, pipeline = tmp_path / "tables.toml", tmp_path / "etl.toml"
    catalogue.write_text(
        '[source]\nkind = "http"\nurl = "${API}"\n[source.http]\nheaders = { X-Shop = "${SHOP_X}" }\ntries = 1\n'
        '[warehouse]\nschema = "shop"\n[[table]]\nname = "things"\ncolumns = { id = "integer" }\n'
    )
    pipeline.write_text(
        '[pipeline]\nname = "x"\n[phases]\nall = {}\n[jobs.things]\nphase = "all"\n'
        f'run = "python -m etl_jobs.table --id 0 --catalogue {catalogue}"\n'
    )
    with served(lambda asked: (403, {}, echo(asked).encode())) as (url, _):
        env = clean_env(DATABASE_URL=database, ETL_HOME=str(tmp_path / "home"), API=url, SHOP_X=PLAIN)

        def run(*words: str) -> str:
            ended = subprocess.run([*ETL_RUN, *words], cwd=tmp_path, env=env, stdin=subprocess.DEVNULL,
                                   capture_output=True, text=True, timeout=100, check=False)  # fmt: skip
            return ended.stdout + ended.stderr

        said = run("all", "-o", "json") + run("show") + run("show", "1", "things") + run("logs", "things")

    files = [path.read_bytes() for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert "403 Forbidden" in said
    assert "***" in said
    assert PLAIN not in said
    assert len(files) > 1
    assert not any(PLAIN.encode() in content for content in files)
