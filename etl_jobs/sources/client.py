"""Requests that survive a bad moment: limits of rate and time, patience, plain words for what patience cannot cure."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus, urlsplit

import msgspec

from etl_jobs.errors import DataRejectedError, JobError, MisconfiguredError, UnavailableError
from etl_jobs.sources.excerpts import UNTOLD, Excerpts
from etl_jobs.sources.extras import needed
from etl_jobs.sources.patience import Patience, wait_asked_for
from etl_jobs.sources.records import DECODER
from etl_jobs.sources.trail import RecordSource

with needed("http", "this source"):
    import httpx

    from etl_jobs.sources.deadline import Deadline, TooLargeError

if TYPE_CHECKING:
    import socket

_PASSING = {408, 425, 429, 500, 502, 503, 504}
_LOGIN = {401, 403}
_REDIRECTS = 10
_BOM = b"\xef\xbb\xbf"
_ENDS_SAID = {"content-length", "transfer-encoding"}  # without them an answer that breaks off looks whole
_HALF_A_PAIR = re.compile(rb"(?<!\\)(?:\\\\)*(\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F]))")
_HEADER_NAME = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)
_HEADER_VALUE = re.compile(r"([!-~]([\t -~]*[!-~])?)?")


class Client:
    """One server's connections, used within a `with`. `failed` makes a message of what went wrong, as a source does;
    `excerpts` say what it may quote of an answer. `place` is where it is, for messages: a page.
    """

    def __init__(
        self,
        name: str,
        *,
        headers: Mapping[str, str] | None = None,
        patience: Patience | None = None,
        failed: Callable[[str], str] | None = None,
        excerpts: Excerpts | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self.told_as = name, failed or RecordSource(name).failed
        self.place = ""
        self.excerpts = excerpts or Excerpts()
        self._patience, self._sleep, self._clock = patience or Patience(), sleep, clock
        self._http = httpx.Client(
            headers=dict(headers or {}), timeout=self._patience.timeout, event_hooks={"response": [self._limit]}
        )
        self._connections: list[socket.socket] = []
        self._deadline = self._new_deadline()
        self._next = clock()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def failed(self, said: str) -> str:
        """The message of what went wrong."""
        return self.told_as(f"{self.place}: {said}" if self.place else said)

    def get(self, url: str, parameters: Mapping[str, Any] | None = None) -> httpx.Response:
        """The answer to a GET, after as many tries as it takes; raises JobError."""
        return self._send("GET", _with(url, parameters) if parameters else url)

    def post(self, url: str, document: Any) -> httpx.Response:
        """The answer to a POST of JSON that only reads, so that it may be repeated."""
        headers = {"Content-Type": "application/json"}
        return self._send("POST", url, content=msgspec.json.encode(document), headers=headers)

    def document(self, response: httpx.Response) -> Any:
        """The JSON of an answer, every digit of its numbers kept."""
        try:
            return DECODER.decode(response.content.removeprefix(_BOM))
        except RecursionError as error:
            raise DataRejectedError(self.failed("the answer's JSON is nested too deeply")) from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            said = f"the answer is not JSON ({_reason(response.content, error)}): {self._told(response)}"
            if response.content and not _ENDS_SAID & response.headers.keys() and "truncated" in str(error):
                raise UnavailableError(self.failed(said), hint="it broke off: the table is as it was") from error
            raise DataRejectedError(self.failed(said)) from error

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
            except TooLargeError as error:
                raise MisconfiguredError(self.failed(str(error)), hint="ask for smaller pages") from error
            except httpx.RequestError as error:
                said, wait = self._words_of(error), self._patience.delay(number)
                self._refuse_distrust(error, said)
                continue
            if response.is_success:
                return response
            if response.status_code not in _PASSING:
                raise self._refused(response)
            said, asked = self._status_of(response), wait_asked_for(response.headers)
            wait = asked or self._patience.delay(number)
            if wait > (longest := self._patience.longest_wait):
                said += f": it asks to wait {wait:,.0f} seconds, longest_wait is {longest:g}"
                break
        tried = f"{number + 1} times" if number else "once"
        raise UnavailableError(self.failed(f"{said} (tried {tried})"), hint="the table is as it was")

    def _answer(self, method: str, url: str, **more: Any) -> httpx.Response:
        """The answer to one try. A GET follows where it is sent on the same server; elsewhere no header goes."""
        self._deadline = deadline = self._new_deadline()
        with deadline.watched():
            response = self._http.request(method, url, **more, extensions={"trace": deadline.trace})
        for _ in range(_REDIRECTS):
            following = response.next_request
            if method != "GET" or following is None or _server(following.url) != _server(response.url):
                return response
            with deadline.watched():
                response = self._http.send(following)
        raise MisconfiguredError(self.failed("it redirects in a circle"), hint="change source.url")

    def _new_deadline(self) -> Deadline:
        return Deadline(self._patience.timeout, clock=self._clock, connections=self._connections)

    def _limit(self, response: httpx.Response) -> None:
        self._deadline.limit(response)

    def _words_of(self, error: httpx.RequestError) -> str:
        """Of a protocol's error they quote what is no answer."""
        untold = self.excerpts.quiet and isinstance(error, httpx.ProtocolError)
        words = UNTOLD if untold else self.excerpts.shown(str(error)) if str(error) else ""
        return f"{type(error).__name__}: {words}".rstrip(": ")

    def _refuse_distrust(self, error: BaseException, said: str) -> None:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ssl.SSLCertVerificationError):
                hint = "is source.url right? SSL_CERT_FILE names a file of certificates to believe"
                raise MisconfiguredError(self.failed(said), hint=hint) from error
            cause = cause.__cause__ or cause.__context__

    def _refused(self, response: httpx.Response) -> JobError:
        if response.next_request is not None:
            return MisconfiguredError(self.failed(f"it has moved to {self._moved(response)}"), hint="change source.url")
        hint = "check the user, password or token" if response.status_code in _LOGIN else ""
        return MisconfiguredError(self.failed(f"{self._status_of(response)}: {self._told(response)}"), hint=hint)

    def _moved(self, response: httpx.Response) -> str:
        assert response.next_request is not None
        to = response.next_request.url
        return self.excerpts.hidden(without_secrets(str(to.copy_with(path="/") if self.excerpts.quiet else to)))

    def _told(self, response: httpx.Response) -> str:
        """What a message may tell of an answer that is not as wanted."""
        return f"{len(response.content):,} bytes" if self.excerpts.quiet else self.excerpts.shown(response.text)

    def _status_of(self, response: httpx.Response) -> str:
        """The status with the usual words for it where those of the server may be of its data."""
        code, said = response.status_code, response.reason_phrase
        if self.excerpts.quiet:
            said = HTTPStatus(code).phrase if code in set(HTTPStatus) else ""
        return f"{code} {self.excerpts.hidden(said)}".strip()

    def _keep_the_rate(self) -> None:
        if not self._patience.rate:
            return
        now = self._clock()
        if now < self._next:
            self._sleep(self._next - now)
        self._next = max(now, self._next) + 1 / self._patience.rate


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
    if half := _HALF_A_PAIR.search(content):
        return f"half of a pair of surrogates (byte {half.start(1)})"
    return str(error)


def _server(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _with(url: str, parameters: Mapping[str, Any]) -> str:
    """The URL with these behind its own parameters, which stay as they are written; of one name these count."""
    base, _, query = url.partition("#")[0].partition("?")
    own = [part for part in query.split("&") if part and unquote_plus(part.partition("=")[0]) not in parameters]
    return f"{base}?{'&'.join([*own, str(httpx.QueryParams(parameters))])}"


def without_secrets(url: str) -> str:
    """The address for messages: no user, no password, no parameters, also where a password divides the URL."""
    try:
        parts = urlsplit(url)
        known = bool(parts.scheme and parts.netloc) and (parts.port is None or parts.port > 0)
    except ValueError:
        known = False
    if not known:
        return "(no URL)"
    if "@" in parts.path and ":" in parts.netloc:  # what looks like a port may be the beginning of a password
        return f"{parts.scheme}://***@{parts.path.rpartition('@')[2]}"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
