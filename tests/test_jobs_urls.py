"""Passwords with characters that divide a URL: no half of them is told."""

# ruff: noqa: F401, F811
from __future__ import annotations

from pathlib import Path

import pytest

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
