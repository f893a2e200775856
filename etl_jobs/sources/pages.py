"""How an API hands out its records page by page, and what comes after a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from etl_jobs.errors import DataRejectedError
from etl_jobs.sources.paths import ABSENT, found, path_of

if TYPE_CHECKING:
    import httpx

_USUAL_PARAMETER = {"number": "page", "offset": "offset", "cursor": "cursor"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to ask for next."""

    url: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> bytes:
        """A few bytes that tell it from every other one."""
        return sha256(repr((self.url, dict(self.parameters))).encode()).digest()[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paging:
    """`by` is none, number, offset, cursor, next or link; docs/sources.md says what each needs."""

    by: str = "none"
    parameter: str = ""
    first: int = 1
    size: int = 0
    size_parameter: str = ""
    at: str = ""
    total: str = ""

    def start(self, url: str, parameters: Mapping[str, Any]) -> Request:
        """The first request."""
        more: dict[str, Any] = {self.size_parameter: self.size} if self.size_parameter else {}
        if self.by == "number":
            more[self._parameter] = self.first
        elif self.by == "offset":
            more[self._parameter] = 0
        return Request(url=url, parameters={**parameters, **more})

    def after(
        self, request: Request, response: httpx.Response, document: Any, *, got: int, read: int
    ) -> Request | None:
        """The next request, None after the last page. `got` records were on this page, `read` are read in all.

        A page that is merely short ends nothing: servers give less than asked for. An empty one does, or the total.
        """
        if self.by in ("number", "offset"):
            total = found(document, path_of(self.total)) if self.total else ABSENT
            if not got or (isinstance(total, int) and read >= total):
                return None
            reached = request.parameters[self._parameter] + (1 if self.by == "number" else got)
            return replace(request, parameters={**request.parameters, self._parameter: reached})
        if self.by == "cursor":
            cursor = found(document, path_of(self.at))
            if cursor in (ABSENT, None, "", False):
                return None
            return replace(request, parameters={**request.parameters, self._parameter: cursor})
        url = self._url(response, document)
        return Request(url=same_server(url, str(response.url), first=request.url)) if url else None

    @property
    def _parameter(self) -> str:
        return self.parameter or _USUAL_PARAMETER[self.by]

    def _url(self, response: httpx.Response, document: Any) -> str | None:
        if self.by != "next":
            return response.links.get("next", {}).get("url") if self.by == "link" else None
        url = found(document, path_of(self.at))
        return None if url in (ABSENT, None, "", False) else str(url)

    def has_more(self, response: httpx.Response) -> bool:
        """Whether the server speaks of a next page that nobody will ask for."""
        return self.by == "none" and "next" in response.links


def same_server(url: str, base: str, *, first: str) -> str:
    """The link as a whole URL; one to another server would take the password there."""
    whole = urljoin(base, url)
    if urlsplit(whole)[:2] != urlsplit(first)[:2]:
        there, here = (urlsplit(u)._replace(path="", query="").geturl().rpartition("@")[2] for u in (whole, first))
        raise DataRejectedError(f"the next page is on another server: {there}, not {here}")
    return whole
