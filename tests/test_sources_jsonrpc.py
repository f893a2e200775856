"""An ERP's JSON-RPC as source, over real sockets."""

# ruff: noqa: F401, F811
from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from etl_jobs.sources.client import Client
from etl_jobs.sources.jsonrpc import Erp
from etl_jobs.sources.patience import Patience
from tests.support.erp import erp
from tests.support.jobs import query, rows
from tests.support.servers import database, warehouse
from tests.support.sources import Answer, Asked, Load, page, served

COLUMNS = {"id": "integer", "name": "text", "partner_id": "integer", "partner": "text", "amount_total": "numeric(14,2)"}
PATHS = 'paths = { partner_id = "partner_id.0", partner = "partner_id.1" }'
LOGIN = {"database": "company", "user": "etl", "password": "demo"}


@pytest.fixture
def load(tmp_path: Path, database: str) -> Load:
    return Load(
        tmp_path, database, kind="jsonrpc", top='url = "${ERP}"',
        part='database = "company"\nuser = "etl"\npassword = "${ERP_PASSWORD}"\nsize = 7\ntries = 2',
        env={"ERP_PASSWORD": "demo"},
    )  # fmt: skip


def test_a_models_records_are_loaded_page_by_page(load: Load) -> None:
    with erp() as server:
        load.env["ERP"] = server.url
        load.table("sale_order", COLUMNS, f'key = ["id"]\nsource = {{ {PATHS} }}')
        load.table("open", COLUMNS, f'key = ["id"]\nsource = {{ model = "sale.order", size = 3, order = "name desc",'
                   f' domain = ["|", ["payment_state", "=", "not_paid"], ["payment_state", "=", "partial"]],'
                   f" {PATHS} }}")  # fmt: skip
        ended, some = load.load(0), load.load(1)
        sales = server.data.models["sale.order"].values()

    assert (ended.status, some.status) == (0, 0), ended.stderr + some.stderr
    expected = [(s["id"], s["name"], *s["partner_id"], s["amount_total"]) for s in sales]
    assert [(*row[:4], float(row[4])) for row in rows(load.dsn, "shop", "sale_order")] == expected
    unpaid = [s["id"] for s in sales if s["payment_state"] != "paid"]
    assert [row[0] for row in rows(load.dsn, "shop", "open")] == unpaid
    assert server.asked["sale.order search_read"] == -(-len(expected) // 7) + 1 + -(-len(unpaid) // 3) + 1


def test_false_is_null_but_in_boolean_columns(load: Load) -> None:
    records = [{"id": 1, "a": False, "b": False, "c": [5, "x"]}, {"id": 2, "a": "t", "b": True, "c": False}]

    def answer(asked: Asked) -> Answer:
        match json.loads(asked.body)["params"]["args"]:
            case [_, _, _, _, "fields_get", *_]:
                return page({"result": {"id": {}, "a": {}, "b": {}, "c": {}}})
            case [_, _, _, _, "search_read", [domain], _]:
                return page({"result": [] if domain else records})
        return page({"result": 1})

    load.table("t", {"id": "integer", "a": "text", "b": "boolean", "c": "integer"}, 'source.paths = { c = "c.0" }')
    with served(answer) as (url, _):
        load.env["ERP"] = url
        assert load.load().status == 0

    assert rows(load.dsn, "shop", "t") == [(1, None, False, 5), (2, "t", True, None)]


def test_records_deleted_while_reading_shift_nothing() -> None:
    with erp() as server, Client("erp") as client:
        pages = Erp(client, server.url, **LOGIN).pages("res.partner", ["name"], size=10)
        seen = [record["id"] for record in next(pages)]
        for number in seen[:5]:
            del server.data.models["res.partner"][number]
        seen += [record["id"] for page in pages for record in page]

    assert seen == list(range(1, len(seen) + 1))
    assert len(seen) == 120


def test_a_bad_moment_passes() -> None:
    with erp(trouble=3) as server, Client("erp", patience=Patience(first_delay=0.01)) as client:
        records = [r for page in Erp(client, server.url, **LOGIN).pages("sale.order", [], size=50) for r in page]

    assert len(records) == 380


def test_an_erp_that_dies_in_the_middle_leaves_the_table_and_says_what_was_read(load: Load) -> None:
    load.table("sale_order", COLUMNS, f'key = ["id"]\nsource = {{ {PATHS} }}')
    with erp() as server:
        load.env["ERP"] = server.url
        assert load.load().status == 0
        query(load.dsn, "UPDATE shop.sale_order SET name = 'before'")
        server.requests, server.trouble = 0, 1 << 30
        real = server.data.call

        def dies(*call: Any) -> Any:
            if server.asked["sale.order search_read"] > 60:
                server.trouble = 1
            return real(*call)

        server.data.call = dies
        ended = load.load()

    assert ended.status == 75
    assert "sale.order failed after 35 rows" in ended.stderr
    assert "503 Service Unavailable (tried 2 times)" in ended.stderr
    assert {row[1] for row in rows(load.dsn, "shop", "sale_order")} == {"before"}


@pytest.mark.parametrize(
    ("settings", "password", "status", "said"),
    [
        ("", "wrong", 78, "refuses user 'etl' of database 'company'"),
        ('source.model = "sale.ordre"', "demo", 65, "there is no model 'sale.ordre'"),
        ('source.paths = { name = "nam" }', "demo", 65, "no field 'nam' (did you mean 'name'?)"),
        ('source.domain = [["nam", "=", 1]]', "demo", 65, "Invalid domain term"),
    ],
)
def test_what_another_try_cannot_cure_is_said(load: Load, settings: str, password: str, status: int, said: str) -> None:
    load.table("sale_order", {"id": "integer", "name": "text"}, settings)
    with erp() as server:
        load.env |= {"ERP": server.url, "ERP_PASSWORD": password}
        ended = load.load()

    assert ended.status == status
    assert said in ended.stderr


def answering(*pages: object, fields: object = None, **more: object) -> Callable[[Asked], Answer]:
    """An ERP whose first, second, … page is this."""
    left = list(pages)

    def answer(asked: Asked) -> Answer:
        call = json.loads(asked.body)
        match call["params"]["args"]:
            case [_, _, _, _, "fields_get", *_]:
                result = fields or {"id": {}, "name": {}}
            case [_, _, _, _, "search_read", *_]:
                return page({"id": call["id"], "result": left.pop(0), **more})
            case _:
                result = 1
        return page({"id": call["id"], "result": result, **more})

    return answer


NO_PAGES = {
    "null at once": ([None], 75, "x failed: page 1 of x: no records but null"),
    "null later": (
        [[{"id": 1, "name": "a"}], None],
        75,
        "x failed after 1 rows (8 bytes) were read: page 2 of x: no records but",
    ),
    "an object": ([{"id": 1}], 65, """x failed: page 1 of x: no list of records: {'id': 1}"""),
    "numbers": ([[1, 2]], 65, "x failed: page 1 of x: no list of records: [1, 2]"),
    "without id": ([[{"name": "a"}]], 65, "x failed: page 1 of x: no list of records: [{'name': 'a'}]"),
    "id of false": ([[{"id": False, "name": "a"}]], 65, "x failed: page 1 of x: no list of records"),
}


@pytest.mark.parametrize("case", NO_PAGES)
def test_what_is_no_page_of_records_is_not_the_end_of_them(load: Load, case: str) -> None:
    pages, status, said = NO_PAGES[case]
    load.table("x", {"id": "integer", "name": "text"})
    with served(answering(*pages)) as (url, _):
        load.env["ERP"] = url
        ended = load.load()

    assert (ended.status, said in ended.stderr, "Traceback" in ended.stderr) == (status, True, False), ended.stderr
    assert rows(load.dsn, "shop", "x") == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (answering([{"name": "DE99SECRET"}]), "x failed: page 1 of x: no list of records: a list of 1"),
        (answering({"records": [{"id": 1, "name": "DE99SECRET"}]}), "no list of records: an object with 'records'"),
        (answering(fields=["DE99SECRET"]), "x failed: no description of the fields: a list of 1"),
        (lambda _: page({"records": ["DE99SECRET"]}), "does not speak JSON-RPC: an object with 'records'"),
    ],
)
def test_of_records_with_secret_columns_only_the_form_is_told(
    load: Load, answer: Callable[[Asked], Answer], said: str
) -> None:
    load.table("x", {"id": "integer", "name": "text"}, 'secret = ["name"]')
    with served(answer) as (url, _):
        load.env["ERP"] = url
        ended = load.load()

    assert (ended.status, said in ended.stderr) == (65, True), ended.stderr
    assert "DE99SECRET" not in ended.stdout + ended.stderr


def test_an_error_of_null_is_none(load: Load) -> None:
    load.table("x", {"id": "integer", "name": "text"})
    with served(answering([{"id": 1, "name": "a"}], [], error=None)) as (url, _):
        load.env["ERP"] = url
        ended = load.load()

    assert ended.status == 0, ended.stderr
    assert rows(load.dsn, "shop", "x") == [(1, "a")]


def test_an_answer_to_another_question_is_none(load: Load) -> None:
    load.table("x", {"id": "integer", "name": "text"})
    with served(lambda _: page({"id": 999, "result": 1})) as (url, _):
        load.env["ERP"] = url
        ended = load.load()

    assert ended.status == 75
    assert "x failed: it answered question 999, not 1" in ended.stderr


ANSWERS: dict[str, tuple[object, int, str]] = {
    "no json-rpc": ({"hello": 1}, 65, "does not speak JSON-RPC"),
    "nothing": ({"error": None}, 65, "does not speak JSON-RPC"),
    "fields of null": ({"result": [1]}, 65, "no description of the fields: [1]"),
    "rights": ({"error": {"data": {"name": "odoo.exceptions.AccessError", "message": "no\nway"}}}, 78, "no way"),
    "passing": ({"error": {"data": {"name": "psycopg2.errors.SerializationFailure", "message": "retry"}}}, 75, "retry"),
    "other": ({"error": {"message": "what?"}}, 65, "what?"),
}  # fmt: skip


@pytest.mark.parametrize("case", ANSWERS)
def test_an_error_in_an_answer_has_its_status(load: Load, case: str) -> None:
    answer, status, said = ANSWERS[case]
    load.table("t", {"id": "integer"})
    with served(lambda _: page(answer)) as (url, _):
        load.env["ERP"] = url
        ended = load.load()

    assert (ended.status, said in ended.stderr) == (status, True), ended.stderr


def test_records_that_move_while_they_are_read_by_offset_are_noticed(load: Load) -> None:
    pages = [[{"id": 3, "name": "c"}, {"id": 1, "name": "a"}], [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}], []]
    load.table("x", {"id": "integer", "name": "text"}, 'source.order = "name desc"')
    with served(answering(*pages)) as (url, _):
        load.env["ERP"] = url
        ended = load.load()

    assert (ended.status, rows(load.dsn, "shop", "x")) == (75, []), ended.stderr
    assert "x failed after 2 rows (16 bytes) were read: page 2 of x: record 1 came twice" in ended.stderr
