"""A JSON API as source: pages of records become rows of the declared columns."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote

from etl_jobs.errors import DataRejectedError, UnavailableError
from etl_jobs.sources.client import Client, check_headers, without_secrets
from etl_jobs.sources.excerpts import Excerpts, secrets_in_headers, secrets_in_parameters, secrets_in_url
from etl_jobs.sources.pages import Paging, Request, next_link
from etl_jobs.sources.paths import Path, found, path_of
from etl_jobs.sources.patience import Patience
from etl_jobs.sources.records import ENCODER, are_arrays, check_paths, header, lines, paths_of, rows_of, still_there
from etl_jobs.sources.trail import RecordSource
from etl_jobs.tables import SourceSettings, Table

if TYPE_CHECKING:
    import httpx


class HttpSource(RecordSource):
    """One resource of an API."""

    def __init__(self, settings: SourceSettings, table: Table) -> None:
        own, common = table.source, settings.options
        self._url = _joined(settings.url, own.get("path", table.name))
        self._parameters = own.get("parameters", {})
        self._records = own.get("records", common.get("records", ""))
        self._paging = Paging(**own.get("page", common.get("page", {})))
        self._headers = common.get("headers", {})
        check_headers(self._headers, where="source.http.headers")
        self._patience = Patience.of(common)
        self._columns = table.columns
        self._has_key = bool(table.key)
        secrets = secrets_in_url(settings.url) | secrets_in_headers(self._headers)
        secrets |= secrets_in_parameters(self._parameters) | _secrets_in_query(self._url)
        self._excerpts = Excerpts(secrets, quiet=bool(table.secret))
        self._paths = paths_of(table)
        super().__init__(without_secrets(self._url), word="record")
        self._first: httpx.Response | None = None
        self._announced: int | None = None
        self._usual: Mapping[str, Path] = {}  # what every record has had so far

    def columns(self) -> tuple[str, ...]:
        """Asks for the first page, which is kept for the next `blocks`: are the declared columns in it?"""
        self.trail.begin()
        with self._client() as client:
            request = self._paging.start(self._url, self._parameters)
            client.place = self._place(1)
            self._first = client.get(request.url, request.parameters)
            self._checked(client, self._first)
        return tuple(self._columns)

    def blocks(self) -> Iterator[bytes]:
        self.trail.begin()
        arrays, before = are_arrays(self._columns), b""
        yield header(self._columns)
        with self._client() as client:
            for records in self._pages(client):
                if not records:  # a cursor may go on all the same
                    continue
                block = lines(rows_of(records, list(self._paths.values())), arrays)
                before = self._unlike(before, block if self._has_key else ENCODER.encode(records))
                self.trail.add(block, records=len(records))
                yield block

    def _unlike(self, before: bytes, page: bytes) -> bytes:
        """What tells the page from others; raises where it is the one before. Rows with a key are never the same."""
        seen = hashlib.sha256(page).digest()
        if seen == before:
            raise DataRejectedError(f"{self.name}: the page after {self.trail} is the same again: see source.page")
        return seen

    def _client(self) -> Client:
        return Client(
            self.name,
            headers=self._headers,
            patience=self._patience,
            failed=self.failed,
            excerpts=self._excerpts,
        )

    def _pages(self, client: Client) -> Iterator[list[Any]]:
        request: Request | None = self._paging.start(self._url, self._parameters)
        kept, self._first = self._first, None
        asked: set[bytes] = set()
        self._announced = None
        while request is not None:
            if request.digest in asked:
                said = f"{self.name}: the page after {self.trail} has been read before: see source.page"
                raise DataRejectedError(said)
            asked.add(request.digest)
            client.place = self._place(len(asked))
            response = kept or client.get(request.url, request.parameters)
            kept = None
            document, records = self._checked(client, response)
            yield records
            got, read = len(records), self.trail.records
            self._note_total(document, client)
            try:
                request = self._paging.after(request, response, document, got=got, read=read)
            except DataRejectedError as error:
                raise DataRejectedError(client.failed(error.message), hint="see `page` in the catalogue") from error
        self._check_total()

    def _place(self, number: int) -> str:
        return "" if self._paging.by == "none" else f"page {number:,}"

    def _checked(self, client: Client, response: httpx.Response) -> tuple[Any, list[Any]]:
        """The document of an answer and its records."""
        document = client.document(response)
        records = found(document, path_of(self._records)) if self._records else document
        if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
            what = f"at {self._records!r}" if self._records else "in the answer"
            found_there = self._excerpts.document(document, text=response.text)
            said = client.failed(f"{what} is no list of records: {found_there}")
            raise DataRejectedError(said, hint="see `records` in the catalogue")
        if self._paging.has_more(response, got=len(records)):
            hint = 'page = { by = "link" }' if next_link(response) else "see `page` in the catalogue"
            raise DataRejectedError(f"{self.name}: there are more pages than this one", hint=hint)
        if not self.trail.records:
            check_paths(records, self._paths, source=self.name)
            self._usual = self._paths
        self._usual = still_there(records, self._usual, failed=client.failed)
        return document, records

    def _note_total(self, document: Any, client: Client) -> None:
        """Keep the number of records that was announced last; the first page must have one."""
        total = self._paging.announced(document)
        if self._paging.total and total is None and self._announced is None:
            said = client.failed(f"at {self._paging.total!r} is no number of records")
            raise DataRejectedError(said, hint="see `total` in the catalogue's `page`")
        self._announced = self._announced if total is None else total

    def _check_total(self) -> None:
        if self._announced not in (None, self.trail.records):
            raise UnavailableError(
                f"{self.name}: {self.trail} were read, {self._announced:,} announced",
                hint="it changed in between, or page is wrong",
            )


def _joined(url: str, path: str) -> str:
    """The URL of what is at the path below another URL, with the parameters of both as they are written."""
    (base, _, common), (own, _, more) = url.partition("?"), path.partition("?")
    whole = base.rstrip("/") + "/" + own.lstrip("/") if own else base
    query = f"{common}&{more}".strip("&").replace("#", "%23")
    return f"{whole}?{query}" if query else whole


def _secrets_in_query(url: str) -> set[str]:
    """The values of parameters that are called like secrets: as they are written, and as a server may read them."""
    query = url.partition("?")[2]
    ways = [parse_qs(quote(query, safe="=&")), parse_qs(query), parse_qs(query, encoding="latin-1")]
    return {secret for parameters in ways for secret in secrets_in_parameters(parameters)}
