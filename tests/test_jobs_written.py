"""Conditions with variables are shown as they are written: what the environment holds is not told."""

# ruff: noqa: F401, F811
from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.jobs import Shop, query
from tests.support.servers import database, warehouse

VALUE = "hunter2"
REJECTED = "SELECT reason FROM shop.t__rejects"


@pytest.fixture
def shop(tmp_path: Path, database: str) -> Shop:
    return Shop(tmp_path, database)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ('checks = [{ sql = "v <> ${CODE}" }]', "check 'v <> ${CODE}': 1 rows fail"),
        ('checks = [{ sql = "v <> ${CODE}", severity = "warn" }]', "check 'v <> ${CODE}': 1 rows fail"),
        ('checks = [{ name = "no code", sql = "v <> ${CODE}" }]', "check 'no code': 1 rows fail"),
        (
            "checks = [{ sql = \"v::int > 0 OR v = 'x${CODE}'\" }]",
            "check \"v::int > 0 OR v = 'x${CODE}'\" cannot be asked",
        ),
        (
            'strategy = "slice"\nwhere = "v::int > 0 OR v = \'x${CODE}\'"',
            "hint: where = \"v::int > 0 OR v = 'x${CODE}'\" has to be a condition that every row can be asked about",
        ),
        (
            'strategy = "slice"\nwhere = "w > 0 OR v = ${CODE}"',
            "hint: where = 'w > 0 OR v = ${CODE}' has to be a condition that every row can be asked about",
        ),
    ],
)
def test_a_condition_is_shown_as_it_is_written(shop: Shop, settings: str, said: str) -> None:
    shop.table("t", {"id": "integer", "v": "text"}, f'key = ["id"]\nsecret = ["v"]\n{settings}')
    shop.file("t.csv", f"id,v\n1,{VALUE}\n")
    ended = shop.load(CODE=VALUE)

    assert said in ended.stdout + ended.stderr
    assert VALUE not in ended.stdout + ended.stderr


def test_a_rejected_row_is_kept_with_the_check_as_it_is_written(shop: Shop) -> None:
    settings = 'key = ["id"]\nsecret = ["v"]\nrejects = { limit = 5 }\nchecks = [{ sql = "v <> ${CODE}" }]'
    shop.table("t", {"id": "integer", "v": "text"}, settings)
    shop.file("t.csv", f"id,v\n1,{VALUE}\n")
    ended = shop.load(CODE=VALUE)

    assert ended.status == 0, ended.stderr
    assert query(shop.dsn, REJECTED) == [("check 'v <> ${CODE}'",)]
