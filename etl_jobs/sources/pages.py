"""How an API hands out its records page by page, and what comes after a page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from difflib import SequenceMatcher
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from etl_jobs.errors import DataRejectedError
from etl_jobs.sources.paths import ABSENT, Path, found, path_of

if TYPE_CHECKING:
    import httpx

_PARTIAL = 206
_NEARLY_THE_SAME = 0.8  # 'nxt' and 'next', but not 'next_cursor' and 'prev_cursor'
_OF_PAGES = re.compile("next|page|cursor|token|offset|after|start|marker|scroll|continu|link|ur[il]|href")
_NOTHING = (ABSENT, None, "", False)  # what ends the pages where the next one should be named
_OF_ALL = re.compile(r"/(\d+)$")
_LINK_PARAMETER = re.compile(r"""\s*;\s*([\w*-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s;,"]*)""")
_LINK = re.compile(r"""<([^>]*)>((?:\s*;(?:"(?:[^"\\]|\\.)*"|[^",])*)?)""")
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
            total = self.announced(document)
            if not got or (total is not None and read >= total):
                return None
            reached = request.parameters[self._parameter] + (1 if self.by == "number" else got)
            return replace(request, parameters={**request.parameters, self._parameter: reached})
        if self.by == "cursor":
            cursor = self._named(document, is_first=got == read)
            if cursor in _NOTHING:
                return None
            if isinstance(cursor, dict | list):
                raise DataRejectedError(f"the cursor at {self.at!r} is no text and no number")
            return replace(request, parameters={**request.parameters, self._parameter: cursor})
        url = self._url(response, document, is_first=got == read)
        return Request(url=same_server(url, str(response.url), first=request.url)) if url else None

    @property
    def _parameter(self) -> str:
        return self.parameter or _USUAL_PARAMETER[self.by]

    def _url(self, response: httpx.Response, document: Any, *, is_first: bool) -> str | None:
        if self.by != "next":
            return next_link(response) if self.by == "link" else None
        url = self._named(document, is_first=is_first)
        return None if url in _NOTHING else str(url)

    def _named(self, document: Any, *, is_first: bool) -> Any:
        """What is at `at`; raises where the first page has nothing there, but a next page under another name."""
        path = path_of(self.at)
        if is_first and (meant := self._meant(document, path)):
            raise DataRejectedError(f"nothing is at {self.at!r} (did you mean {meant!r}?)")
        return found(document, path)

    def _meant(self, document: Any, path: Path) -> str | None:
        """The name that was probably meant by a step of the path that is not there."""
        for length, step in enumerate(path):
            here, rest = found(document, path[:length]), path[length + 1 :]
            if isinstance(here, dict) and found(here, (step,)) is ABSENT:
                names = (name for name, value in here.items() if self._may_be_next(found(value, rest)))
                return next((name for name in names if _may_be_meant(str(step), name, is_last=not rest)), None)
        return None

    def _may_be_next(self, value: Any) -> bool:
        """Whether it is of the kind that names a next page."""
        kinds = str if self.by == "next" else str | int | Decimal
        return isinstance(value, kinds) and value not in _NOTHING and value is not True

    def announced(self, document: Any) -> int | None:
        """The number of all records, where the answer has one."""
        total = found(document, path_of(self.total)) if self.total else ABSENT
        if isinstance(total, str) and total.isascii() and total.isdecimal():
            return int(total)
        if isinstance(total, bool) or not isinstance(total, int | Decimal) or total != int(total):
            return None
        return int(total)

    def has_more(self, response: httpx.Response, *, got: int) -> bool:
        """Whether the server speaks of more than it gives, that nobody will ask for."""
        if self.by != "none":
            return False
        of_all = _OF_ALL.search(response.headers.get("content-range", ""))
        is_part = int(of_all[1]) > got if of_all else response.status_code == _PARTIAL
        return is_part or next_link(response) is not None


def _may_be_meant(said: str, name: str, *, is_last: bool) -> bool:
    """Whether this is the same word in another spelling or number, or one of paging that was not said right.

    What is like it in nothing but its letters is something else: 'text_id' for 'next_id'. So is a last 'pages' for
    'page', which is a count.
    """
    wanted, given = (re.sub(r"[\W_]", "", word).lower() for word in (said, name))
    if given in (wanted, wanted.removesuffix("s")) or (given == wanted + "s" and not is_last):
        return True
    is_like = SequenceMatcher(None, wanted, given).ratio() >= _NEARLY_THE_SAME
    return is_like and not set(_OF_PAGES.findall(given)) <= set(_OF_PAGES.findall(wanted))


def next_link(response: httpx.Response) -> str | None:
    """The URL that the header `Link` calls the next one; its `rel` may be a list of words, in any case."""
    for url, parameters in _LINK.findall(response.headers.get("link", "")):
        named = {name.lower(): value.strip('"') for name, value in reversed(_LINK_PARAMETER.findall(parameters))}
        if "next" in named.get("rel", "").lower().split():
            return str(url)
    return None


def same_server(url: str, base: str, *, first: str) -> str:
    """The link as a whole URL; one to another server would take the password there."""
    whole = urljoin(base, url)
    if urlsplit(whole)[:2] != urlsplit(first)[:2]:
        there, here = (urlsplit(u)._replace(path="", query="").geturl().rpartition("@")[2] for u in (whole, first))
        raise DataRejectedError(f"the next page is on another server: {there}, not {here}")
    return whole
