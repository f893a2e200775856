"""Requests that survive a bad moment: limits of rate and time, patience, plain words for what patience cannot cure."""

from __future__ import annotations

import random
import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec

from etl_jobs.errors import DataRejectedError, JobError, MisconfiguredError, UnavailableError
from etl_jobs.sources.excerpts import form_of, shown
from etl_jobs.sources.extras import needed
from etl_jobs.sources.records import DECODER
from etl_jobs.sources.trail import RecordSource

with needed("http", "this source"):
    import httpx

_PASSING = {408, 425, 429, 500, 502, 503, 504}
_LOGIN = {401, 403}
_LONGEST_DELAY = 30.0
_REDIRECTS = 10
_BOM = b"\xef\xbb\xbf"
_HEADER_NAME = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)
_HEADER_VALUE = re.compile(r"([!-~]([\t -~]*[!-~])?)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How a client behaves: seconds per request with its whole answer, tries in all, requests per second (0: no limit),
    and the longest wait the other side may ask for."""

    timeout: float = 30.0
    tries: int = 6
    rate: float = 0.0
    longest_wait: float = 300.0
    first_delay: float = 0.5

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Patience:
        """As the options say that a catalogue may have."""
        return cls(**{key: options[key] for key in ("timeout", "tries", "rate", "longest_wait") if key in options})


class Client:
    """One server's connections, used within a `with`. `failed` makes a message of what went wrong, as a source does.

    A `quiet` one tells nothing that an answer holds, but its form.
    """

    def __init__(
        self,
        name: str,
        *,
        headers: Mapping[str, str] | None = None,
        patience: Patience | None = None,
        failed: Callable[[str], str] | None = None,
        quiet: bool = False,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self.failed = name, failed or RecordSource(name).failed
        self._quiet = quiet
        self._patience, self._sleep, self._clock = patience or Patience(), sleep, clock
        self._http = httpx.Client(
            headers=dict(headers or {}), timeout=self._patience.timeout, event_hooks={"response": [self._limit]}
        )
        self._next = self._began = clock()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, url: str, parameters: Mapping[str, Any] | None = None) -> httpx.Response:
        """The answer to a GET, after as many tries as it takes; raises JobError."""
        return self._send("GET", url, params=parameters or None)

    def post(self, url: str, document: Any) -> httpx.Response:
        """The answer to a POST of JSON that only reads, so that it may be repeated."""
        headers = {"Content-Type": "application/json"}
        return self._send("POST", url, content=msgspec.json.encode(document), headers=headers)

    def document(self, response: httpx.Response) -> Any:
        """The JSON of an answer, every digit of its numbers kept."""
        try:
            return DECODER.decode(response.content.removeprefix(_BOM))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            size = f"{len(response.content):,} bytes"
            said = f"({_reason(response.content, error)}): {size if self._quiet else shown(response.text)}"
            raise DataRejectedError(self.failed(f"the answer is not JSON {said}")) from error

    def told(self, document: Any, *, text: str | None = None) -> str:
        """What a message may tell of a document, whose `text` this is."""
        if self._quiet:
            return form_of(document)
        return shown(str(document) if text is None else text)

    def _send(self, method: str, url: str, **more: Any) -> httpx.Response:
        said, wait = "", 0.0
        for number in range(self._patience.tries):
            if number:
                self._sleep(wait)
            self._keep_the_rate()
            try:
                response = self._answer(method, url, **more)
            except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
                raise MisconfiguredError(self.failed(f"{without_secrets(url)} is no URL")) from error
            except httpx.RequestError as error:
                said, wait = f"{type(error).__name__}: {error}".rstrip(": "), self._delay(number)
                self._refuse_distrust(error, said)
                continue
            if response.is_success:
                return response
            if response.status_code not in _PASSING:
                raise self._refused(response)
            said, wait = status_of(response), self._wait_asked_for(response) or self._delay(number)
            if wait > (longest := self._patience.longest_wait):
                said += f": it asks to wait {wait:,.0f} seconds, longest_wait is {longest:g}"
                break
        tried = f"{number + 1} times" if number else "once"
        raise UnavailableError(self.failed(f"{said} (tried {tried})"), hint="the table is as it was")

    def _answer(self, method: str, url: str, **more: Any) -> httpx.Response:
        """The answer to one try. A GET follows where it is sent on the same server; elsewhere no header goes."""
        self._began = self._clock()
        response = self._http.request(method, url, **more)
        for _ in range(_REDIRECTS):
            following = response.next_request
            if method != "GET" or following is None or _server(following.url) != _server(response.url):
                return response
            response = self._http.send(following)
        raise MisconfiguredError(self.failed("it redirects in a circle"), hint="change source.url")

    def _limit(self, response: httpx.Response) -> None:
        """httpx limits the wait for each piece of an answer, not for the whole of it."""
        assert isinstance(response.stream, httpx.SyncByteStream)
        response.stream = _Limited(
            response.stream, seconds=self._patience.timeout, began=self._began, clock=self._clock
        )

    def _refuse_distrust(self, error: BaseException, said: str) -> None:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ssl.SSLCertVerificationError):
                hint = "is source.url right? SSL_CERT_FILE names a file of certificates to believe"
                raise MisconfiguredError(self.failed(said), hint=hint) from error
            cause = cause.__cause__ or cause.__context__

    def _refused(self, response: httpx.Response) -> JobError:
        if response.next_request is not None:
            moved = f"it has moved to {without_secrets(str(response.next_request.url))}"
            return MisconfiguredError(self.failed(moved), hint="change source.url")
        hint = "check the user, password or token" if response.status_code in _LOGIN else ""
        return MisconfiguredError(self.failed(f"{status_of(response)}: {shown(response.text)}"), hint=hint)

    def _delay(self, number: int) -> float:
        longest = min(_LONGEST_DELAY, self._patience.first_delay * 2.0**number)
        return longest * random.uniform(0.5, 1)

    def _wait_asked_for(self, response: httpx.Response) -> float | None:
        """Seconds by Retry-After, which says a number or an instant."""
        asked = response.headers.get("retry-after", "").strip()
        if not asked:
            return None
        if asked.isascii() and asked.isdecimal():
            return float(asked)
        try:
            until = parsedate_to_datetime(asked)
            until = until if until.tzinfo else until.replace(tzinfo=UTC)
            return max(0.0, (until - datetime.now(UTC)).total_seconds())
        except (ValueError, OverflowError):
            return None

    def _keep_the_rate(self) -> None:
        if not self._patience.rate:
            return
        now = self._clock()
        if now < self._next:
            self._sleep(self._next - now)
        self._next = max(now, self._next) + 1 / self._patience.rate


class _Limited(httpx.SyncByteStream):
    """An answer that has to be there within some seconds after it `began`."""

    def __init__(
        self, stream: httpx.SyncByteStream, *, seconds: float, began: float, clock: Callable[[], float]
    ) -> None:
        self._stream, self._seconds, self._began, self._clock = stream, seconds, began, clock

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._stream:
            if self._clock() - self._began > self._seconds:
                raise httpx.ReadTimeout(f"no whole answer within {self._seconds:g} seconds")
            yield piece

    def close(self) -> None:
        self._stream.close()


def check_headers(headers: Mapping[str, str], *, where: str) -> None:
    """Raise MisconfiguredError for what cannot be sent, without saying a value."""
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise MisconfiguredError(f"{where}: {name!r} is no name of a header")
        if not _HEADER_VALUE.fullmatch(value):
            raise MisconfiguredError(
                f"{where}: the value of {name!r} has what cannot be sent: a line end, a blank at an end, no ASCII",
                hint="look at the variable it comes from",
            )


def _reason(content: bytes, error: Exception) -> str:
    """Why it is no JSON, and where."""
    try:
        content.decode()
    except UnicodeDecodeError as wrong:
        return f"no UTF-8 (byte {wrong.start})"
    return str(error)


def _server(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def without_secrets(url: str) -> str:
    """The address for messages: no user, no password, no parameters."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(no URL)"
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


def status_of(response: httpx.Response) -> str:
    return f"{response.status_code} {response.reason_phrase}".strip()
