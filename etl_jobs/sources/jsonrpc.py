"""JSON-RPC as ERP systems of Odoo's family speak it: one login, `execute_kw`, records in pages."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from etl_jobs.entries import guess
from etl_jobs.errors import DataRejectedError, JobError, MisconfiguredError, UnavailableError
from etl_jobs.sources.client import Client, without_secrets
from etl_jobs.sources.excerpts import UNTOLD, Excerpts, secrets_in_url
from etl_jobs.sources.patience import Patience
from etl_jobs.sources.records import are_arrays, header, lines, paths_of, rows_of
from etl_jobs.sources.trail import RecordSource
from etl_jobs.tables import SourceSettings, Table

PAGE = 500
_LOGIN = ("AccessDenied", "AccessError")
_CLASS_NAME = re.compile(r"[A-Za-z_][\w.]{0,99}")
_PASSING = ("SerializationFailure", "OperationalError", "LockNotAvailable", "PoolError")

Record = dict[str, Any]


class Erp:
    """A logged-in session; `client` keeps the connection. Only ever reads."""

    def __init__(self, client: Client, url: str, *, database: str, user: str, password: str) -> None:
        self.client, self._url = client, url
        self._database, self._password = database, password
        self._calls = 0
        self._user = self._call("common", "authenticate", [database, user, password, {}])
        if not self._user:
            raise MisconfiguredError(
                f"the source {client.name} refuses user {user!r} of database {database!r}",
                hint="check user and password",
            )

    def execute(self, model: str, method: str, arguments: Sequence[Any], **options: Any) -> Any:
        """What a method of a model answers."""
        login = [self._database, self._user, self._password]
        return self._call("object", "execute_kw", [*login, model, method, list(arguments), options])

    def fields(self, model: str) -> dict[str, Any]:
        """The model's fields by name."""
        described = self.execute(model, "fields_get", [], attributes=["type"])
        if not isinstance(described, dict):
            told = self.client.excerpts.document(described)
            raise DataRejectedError(self.client.failed(f"no description of the fields: {told}"))
        return described

    def pages(
        self,
        model: str,
        fields: Sequence[str],
        *,
        domain: Sequence[Any] = (),
        order: str = "id",
        size: int = PAGE,
        context: Mapping[str, Any] | None = None,
    ) -> Iterator[list[Record]]:
        """All records of the domain, page by page.

        Ordered by id, every page begins after the last id: what is deleted meanwhile shifts nothing.
        With another order, by offset: what moves meanwhile may be seen twice, which is refused, or never.
        """
        asked: dict[str, Any] = {
            "fields": list(dict.fromkeys(["id", *fields])),
            "order": order,
            "limit": size,
            "offset": 0,
        }
        asked |= {"context": dict(context)} if context else {}
        where, before, number = list(domain), [0], 1
        seen: set[int] = set()
        self.client.place = f"page 1 of {model}"
        while page := self._page(model, where, asked):
            ids = [record["id"] for record in page]
            self._refuse_shifts(ids, before, seen, by_id=order == "id")
            seen.update(ids if order != "id" else ())
            yield page
            before, number = ids, number + 1
            self.client.place = f"page {number:,} of {model}"
            if order == "id":
                where = [*domain, ["id", ">", ids[-1]]]
            else:
                asked["offset"] += len(ids)
        self.client.place = ""

    def _refuse_shifts(self, ids: Sequence[int], before: Sequence[int], seen: set[int], *, by_id: bool) -> None:
        """Raise where a page is no continuation of the one `before`, or has what was `seen`."""
        if ids == before or (by_id and ids[0] <= before[-1]):
            raise DataRejectedError(self.client.failed("the next page repeats the one before"))
        if by_id and list(ids) != sorted(ids):
            raise DataRejectedError(self.client.failed("the records are not in the order of id"))
        if twice := seen.intersection(ids):
            moved = f"record {min(twice)} came twice: they moved while they were read"
            raise UnavailableError(self.client.failed(moved), hint="without `order` nothing shifts")

    def _page(self, model: str, domain: Sequence[Any], asked: Mapping[str, Any]) -> list[Record]:
        """What `search_read` answers, found to be records with ids."""
        page = self.execute(model, "search_read", [domain], **asked)
        if page is None:
            raise UnavailableError(self.client.failed("no records but null"), hint="the table is as it was")
        if not isinstance(page, list) or not all(isinstance(r, dict) and _is_id(r.get("id")) for r in page):
            raise DataRejectedError(self.client.failed(f"no list of records: {self.client.excerpts.document(page)}"))
        return page

    def _call(self, service: str, method: str, arguments: Sequence[Any]) -> Any:
        self._calls += 1
        parameters = {"service": service, "method": method, "args": arguments}
        asked = {"jsonrpc": "2.0", "method": "call", "params": parameters, "id": self._calls}
        answer = self.client.document(self.client.post(self._url, asked))
        if isinstance(answer, dict) and answer.get("error") is not None:
            raise self._failed(answer["error"])
        if not isinstance(answer, dict) or "result" not in answer:
            told = self.client.excerpts.document(answer)
            raise DataRejectedError(f"the source {self.client.name} does not speak JSON-RPC: {told}")
        if (answered := answer.get("id", self._calls)) != self._calls:
            told = str(answered) if isinstance(answered, int) else self.client.excerpts.document(answered)
            other = f"it answered question {told}, not {self._calls}"
            raise UnavailableError(self.client.failed(other), hint="the table is as it was")
        return answer["result"]

    def _failed(self, error: Any) -> JobError:
        error = error if isinstance(error, dict) else {"message": str(error)}
        details = error["data"] if isinstance(error.get("data"), dict) else {}
        name, said = str(details.get("name", "")), str(details.get("message") or error.get("message") or "no reason")
        message = self.client.failed(self._told(name, said))
        if name.endswith(_LOGIN):
            return MisconfiguredError(message, hint="check the user's rights")
        if name.endswith("OperationalError") and "does not exist" in said:
            return MisconfiguredError(message, hint=f"is {self._database!r} the database's name?")
        return UnavailableError(message) if name.endswith(_PASSING) else DataRejectedError(message)

    def _told(self, name: str, said: str) -> str:
        """The server's words, or no more than what it calls the error."""
        excerpts = self.client.excerpts
        kind = name if _CLASS_NAME.fullmatch(name) else "an error"
        return f"the server refuses it; {UNTOLD} [{kind}]" if excerpts.quiet else excerpts.shown(said)


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


class JsonRpcSource(RecordSource):
    """One model's records."""

    def __init__(self, settings: SourceSettings, table: Table) -> None:
        own, common = table.source, settings.options
        self._url = settings.url
        self._login = {key: common[key] for key in ("database", "user", "password")}
        self._patience = Patience.of(common)
        self._size = own.get("size", common.get("size", PAGE))
        self._model = own.get("model", table.name.replace("_", "."))
        self._asked = {key: own[key] for key in ("domain", "order", "context") if key in own}
        self._columns = table.columns
        self._excerpts = Excerpts(login_secrets(settings.url, self._login["password"]), quiet=bool(table.secret))
        self._paths = paths_of(table)
        self._fields = list(dict.fromkeys(str(path[0]) for path in self._paths.values()))
        super().__init__(f"{without_secrets(settings.url)} {self._model}", word="record")

    def columns(self) -> tuple[str, ...]:
        """Logs in and asks the model for its fields."""
        self.trail.begin()
        with self._client() as client:
            known = Erp(client, self._url, **self._login).fields(self._model)
        unknown = [f"{field!r}{guess(field, known)}" for field in self._fields if field not in known]
        if unknown:
            raise DataRejectedError(f"{self.name}: no field {', '.join(unknown)}", hint="see `paths` in the catalogue")
        return tuple(self._columns)

    def blocks(self) -> Iterator[bytes]:
        self.trail.begin()
        arrays, clean = are_arrays(self._columns), [cleaner(kind) for kind in self._columns.values()]
        yield header(self._columns)
        with self._client() as client:
            erp = Erp(client, self._url, **self._login)
            for records in erp.pages(self._model, self._fields, size=self._size, **self._asked):
                block = lines(rows_of(records, list(self._paths.values()), clean=clean), arrays)
                self.trail.add(block, records=len(records))
                yield block

    def _client(self) -> Client:
        return Client(self.name, patience=self._patience, failed=self.failed, excerpts=self._excerpts)


def login_secrets(url: str, password: str) -> set[str]:
    """What no message may show of a login."""
    return {password, *secrets_in_url(url)}


def cleaner(kind: str) -> Callable[[Any], Any]:
    """What makes a value fit for a column of this type: these servers write every missing one as false; only in a
    boolean column it is a value.
    """
    if kind.lower() in ("boolean", "bool"):
        return lambda value: value
    return lambda value: None if value is False else value
