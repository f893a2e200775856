"""Passwords with characters that divide a URL: no half of them is told."""

# ruff: noqa: F401, F811
from __future__ import annotations

from pathlib import Path

import pytest

from etl_jobs.sources.client import without_secrets
from etl_jobs.urls import refuse_divided
from etl_runner.errors import WarehouseError
from etl_runner.postgres.choice import environment
from tests.support.jobs import Shop, run_job
from tests.support.servers import database, warehouse

WRONG = ["Tiger@Secret", "Tiger/Secret", "@Secret", "Secret/"]


@pytest.mark.parametrize("password", [*WRONG, "Tiger:Secret@x", "Tig?Sec@ret"])
def test_a_warehouse_whose_password_divides_its_url_is_refused(password: str) -> None:
    ended = run_job(f"postgresql://rd:{password}@127.0.0.1:1/db", "pre")

    assert ended.status == 78, ended.stderr
    assert "Secret" not in ended.stderr + ended.stdout
    assert "Tig" not in ended.stderr + ended.stdout


@pytest.mark.parametrize("password", WRONG)
@pytest.mark.parametrize("kind", ["postgresql", "sql"])
def test_a_source_whose_password_divides_its_url_is_refused(
    tmp_path: Path, database: str, kind: str, password: str
) -> None:
    scheme = "postgresql" if kind == "postgresql" else "postgresql+psycopg"
    catalogue = tmp_path / "tables.toml"
    catalogue.write_text(
        f'[source]\nkind = "{kind}"\nurl = "{scheme}://rd:{password}@127.0.0.1:1/db"\n[warehouse]\nschema = "s"\n'
        '[[table]]\nname = "t"\ncolumns = { id = "integer" }\nkey = ["id"]\n'
    )
    ended = run_job(database, "table", "--id", 0, "--catalogue", catalogue)

    assert ended.status != 0
    assert "Traceback" not in ended.stderr
    assert "Secret" not in ended.stderr + ended.stdout
    assert "Tig" not in ended.stderr + ended.stdout


@pytest.mark.parametrize("password", [*WRONG, "Tiger?Secret", "Tiger#Secret", "77/Secret", "Tiger[Secret"])
@pytest.mark.parametrize("kind", ["http", "jsonrpc"])
def test_an_address_never_tells_its_password(tmp_path: Path, database: str, kind: str, password: str) -> None:
    more = "" if kind == "http" else 'database = "d"\nuser = "u"\npassword = "p"\n'
    which = 'source = { path = "plain" }' if kind == "http" else 'source = { model = "m" }'
    catalogue = tmp_path / "tables.toml"
    catalogue.write_text(
        f'[source]\nkind = "{kind}"\nurl = "http://rd:{password}@127.0.0.1:1"\ntries = 1\n{more}'
        '[warehouse]\nschema = "s"\n'
        f'[[table]]\nname = "t"\ncolumns = {{ id = "integer" }}\nkey = ["id"]\n{which}\n'
    )
    ended = run_job(database, "table", "--id", 0, "--catalogue", catalogue)

    assert ended.status in {75, 78}, ended.stderr
    assert "Secret" not in ended.stderr + ended.stdout
    assert "Tig" not in ended.stderr + ended.stdout


@pytest.mark.parametrize("password", ["Tiger/Secret", "Tiger?Secret", "77/Secret"])
def test_the_address_of_the_erp_never_tells_its_password(database: str, password: str) -> None:
    login = {"ERP_DATABASE": "d", "ERP_USER": "u", "ERP_PASSWORD": "p"}
    ended = run_job(database, "erp.local_sales", ERP_URL=f"http://rd:{password}@127.0.0.1:1/jsonrpc", **login)

    assert ended.status in {75, 78}, ended.stderr
    assert "Secret" not in ended.stderr + ended.stdout
    assert "Tig" not in ended.stderr + ended.stdout


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://u:p@h:80/users/x?key=1", "http://h:80/users/x"),
        ("https://h/users/@me", "https://h/users/@me"),
        ("http://[::1]:80/x", "http://[::1]:80/x"),
        ("u:Secret@h", "(no URL)"),
        ("http://u:Secret", "(no URL)"),
        ("http://u:77/Secret@h/x", "http://***@h/x"),
    ],
)
def test_an_address_is_told_without_its_secrets(url: str, said: str) -> None:
    assert without_secrets(url) == said


@pytest.mark.parametrize("password", WRONG)
def test_the_runner_refuses_such_a_url_too(password: str) -> None:
    with pytest.raises(WarehouseError, match="divides a URL") as refused:
        environment({"DATABASE_URL": f"postgresql://rd:{password}@127.0.0.1:1/db"})
    assert "Secret" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://",
        "postgresql:///db?host=/tmp/s&port=5432",
        "postgresql://h/db",
        "postgresql://h:5432",
        "postgresql://u@h:5432/db",
        "postgresql://u:p%40q@h/db?user=a@b",
        "postgresql://u:p@[::1]:5432/db",
        "postgresql://u:p@h1:5432,h2:5433/db?target_session_attrs=read-write",
        "postgresql://u:@h/db",
        "postgresql://%2Ftmp%2Fs/db",
        "postgresql://u:se?cret@h/db",
        "postgresql://u:se#cret:x@h:5432/db",
        "postgresql://h/db@x",
        "host=h user=u password=a@b/c",
        "host=h password=x://a@b@c",
    ],
)
def test_urls_that_can_be_read_are_left_alone(url: str) -> None:
    refuse_divided(url, called="url")
    assert environment({"DATABASE_URL": url}) == url
