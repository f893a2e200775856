"""A small ERP over HTTP: the sample data, served by JSON-RPC as Odoo does. `python examples/erp/server.py --port 8069`.

It knows `authenticate`, and of models `fields_get`, `search_count`, `search_read`, `write`, `create` and `unlink`.
It forgets everything when it ends.
"""

from __future__ import annotations

import argparse
import csv
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from etl_jobs.sources.erp import COLUMNS, Erp

Record = dict[str, Any]
USER = 2  # what a login answers


class RefusedError(Exception):
    """An error of the ERP, by the name that clients see."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


class Data:
    """Models by name, their records by id."""

    def __init__(self, *, scale: float, seed: int = 1) -> None:
        self._erp = Erp(scale=scale, seed=seed)
        self._companies = {r["id"]: r for r in self._rows("company")}
        self._partners = {r["id"]: r for r in self._rows("partner")}
        bills = {r["id"]: r for r in self._rows("local_purchase")}
        made = {
            "res.company": (
                {"id": int(r["id"]), "name": r["name"], "currency": r["currency_code"]}
                for r in self._companies.values()
            ),
            "res.partner": (
                {"id": int(r["id"]), "name": r["name"], "country": r["country_code"], "city": r["city"] or False}
                for r in self._partners.values()
            ),
            "purchase.order": (
                self._document(r) | _paid(r) | {"date_order": r["ordered_on"], "currency": r["currency_code"]}
                for r in self._rows("import_order")
            ),
            "sale.order": (
                self._document(r) | _paid(r) | {"date_order": r["sold_on"], "state": r["state"]}
                for r in self._rows("local_sale")
            ),
            "account.move.line": (self._part(bills[r["purchase_id"]], r) for r in self._rows("local_purchase_due")),
        }
        self.models = {model: {record["id"]: record for record in records} for model, records in made.items()}

    def _document(self, row: dict[str, str]) -> Record:
        partner, company = row["partner_id"], row["company_id"]
        return {
            "id": int(row["id"]),
            "name": row["number"],
            "partner_id": [int(partner), self._partners[partner]["name"]],
            "company_id": [int(company), self._companies[company]["name"]],
        }

    def _part(self, bill: dict[str, str], row: dict[str, str]) -> Record:
        """One part of a purchase, due on its own day."""
        total, residual, part = float(row["amount"]), float(row["residual"]), int(row["part_no"])
        paid = {"amount_total": total, "amount_residual": residual, "payment_state": _state(total, residual)}
        dates = {"date": bill["invoiced_on"], "date_maturity": row["due_on"]}
        return self._document(bill) | paid | dates | {"id": int(bill["id"]) * 10 + part, "part": part}

    def _rows(self, table: str) -> Iterator[dict[str, str]]:
        return csv.DictReader((f"{row}\n" for row in self._erp.rows(table)), fieldnames=COLUMNS[table].split(","))

    def call(self, model: str, method: str, arguments: Sequence[Any], options: dict[str, Any]) -> Any:
        records = self.models.get(model)
        if records is None:
            raise RefusedError("builtins.KeyError", f"there is no model {model!r}")
        match method:
            case "fields_get":
                return {field: {"type": type(value).__name__} for field, value in next(iter(records.values())).items()}
            case "search_count":
                return len(_search(records, arguments[0]))
            case "search_read":
                return _read(_search(records, arguments[0], **options.get("context", {})), **options)
            case "write":
                for number in arguments[0]:
                    records[number].update(arguments[1])
                return True
            case "create":
                number = max(records, default=0) + 1
                records[number] = {**next(iter(records.values())), **arguments[0], "id": number}
                return number
            case "unlink":
                for number in arguments[0]:
                    del records[number]
                return True
        raise RefusedError("builtins.AttributeError", f"{model} has no method {method!r}")


def _paid(row: dict[str, str]) -> Record:
    """What is left to pay of a document: all of every fifth, half of every eleventh."""
    total, number = float(row["amount_total"]), int(row["id"])
    residual = total if number % 5 == 0 else round(total / 2, 2) if number % 11 == 0 else 0.0
    return {"amount_total": total, "amount_residual": residual, "payment_state": _state(total, residual)}


def _state(total: float, residual: float) -> str:
    return "paid" if not residual else "not_paid" if residual == total else "partial"


def _read(found: list[Record], **options: Any) -> list[Record]:
    """A page of the records, in order, with the fields that are wanted."""
    field, _, direction = options.get("order", "id").partition(" ")
    offset, limit, fields = options.get("offset", 0), options.get("limit"), options.get("fields", ())
    found = sorted(found, key=lambda record: record[field], reverse=direction.lower() == "desc")
    page = found[offset : None if limit is None else offset + limit]
    for name in fields:
        if page and name not in page[0]:
            raise RefusedError("builtins.ValueError", f"Invalid field {name!r}")
    return [{name: record[name] for name in ("id", *fields)} for record in page]


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "in": lambda a, b: a in b,
    "not in": lambda a, b: a not in b,
}


def _search(
    records: dict[int, Record], domain: Sequence[Any], *, active_test: bool = True, **_context: object
) -> list[Record]:
    """The records a domain holds for: terms in Polish notation, joined by and. Archived ones only without the test."""
    seen = (record for record in records.values() if record.get("active", True) or not active_test)
    return [record for record in seen if _holds(record, list(domain))]


def _holds(record: Record, terms: list[Any]) -> bool:
    while terms:
        if not _next(record, terms):
            return False
    return True


def _next(record: Record, terms: list[Any]) -> bool:
    term = terms.pop(0)
    if term == "!":
        return not _next(record, terms)
    if term in ("&", "|"):
        first, second = _next(record, terms), _next(record, terms)
        return first and second if term == "&" else first or second
    field, operator, value = term
    if field not in record or operator not in _OPERATORS:
        raise RefusedError("builtins.ValueError", f"Invalid domain term {term!r}")
    held = record[field]
    return _OPERATORS[operator](held[0] if isinstance(held, list) else held, value)


class Server(ThreadingHTTPServer):
    """The ERP on a port. `asked` counts calls by model and method, `connections` who connected.

    Every `trouble`-th request is answered with 503.
    """

    daemon_threads = True

    def __init__(self, data: Data, *, port: int = 0, password: str = "demo", trouble: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.data, self.password, self.trouble = data, password, trouble
        self.asked: Counter[str] = Counter()
        self.requests = self.connections = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/jsonrpc"

    def process_request(self, *request: Any) -> None:
        self.connections += 1
        super().process_request(*request)

    def handle_error(self, *_: object) -> None:
        """Clients may hang up."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        with self.server.lock:
            self.server.requests += 1
            troubled = self.server.trouble and self.server.requests % self.server.trouble == 0
        if self.path != "/jsonrpc":
            self._send(404, {"error": "try POST /jsonrpc"})
        elif troubled:
            self._send(503, {"error": "busy"})
        else:
            self._send(200, self._answer(json.loads(body)))

    def _answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        answer = {"jsonrpc": "2.0", "id": asked.get("id")}
        try:
            with self.server.lock:
                return {**answer, "result": self._result(**asked["params"])}
        except RefusedError as error:
            details = {"name": error.name, "message": str(error)}
            return {**answer, "error": {"code": 200, "message": "Odoo Server Error", "data": details}}

    def _result(self, service: str, method: str, args: list[Any]) -> Any:
        if (service, method) == ("common", "authenticate"):
            return USER if args[2] == self.server.password else False
        if (service, method) != ("object", "execute_kw"):
            raise RefusedError("builtins.AttributeError", f"{service} has no method {method!r}")
        _, user, password, model, name, arguments, *options = args
        if (user, password) != (USER, self.server.password):
            raise RefusedError("odoo.exceptions.AccessDenied", "Access Denied")
        self.server.asked[f"{model} {name}"] += 1
        return self.server.data.call(model, name, arguments, options[0] if options else {})

    def _send(self, status: int, document: object) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Quiet."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve the sample ERP by JSON-RPC.")
    parser.add_argument("--port", type=int, default=8069)
    parser.add_argument("--scale", type=float, default=0.1, help="size: 1 is about 40,000 documents")
    parser.add_argument("--password", default="demo")
    parser.add_argument("--trouble", type=int, default=0, metavar="N", help="answer every N-th request with 503")
    options = parser.parse_args()
    data = Data(scale=options.scale)
    with Server(data, port=options.port, password=options.password, trouble=options.trouble) as server:
        print(f"ERP at {server.url}, database company, user etl, password {options.password}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
