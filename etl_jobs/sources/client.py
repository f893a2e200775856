"""Requests that survive a bad moment: limits of rate and time, patience, plain words for what patience cannot cure."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec

from etl_jobs.errors import DataRejectedError, JobError, MisconfiguredError, UnavailableError
from etl_jobs.sources.extras import needed
from etl_jobs.sources.records import DECODER
from etl_jobs.sources.trail import RecordSource

with needed("http", "this source"):
    import httpx

_PASSING = {408, 425, 429, 500, 502, 503, 504}
_LOGIN = {401, 403}
_LONGEST_DELAY = 30.0
_SHOWN = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How a client behaves: seconds per request, tries in all, requests per second (0: no limit),
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
    """One server's connections, used within a `with`. `failed` makes a message of what went wrong, as a source does."""

    def __init__(
        self,
        name: str,
        *,
        headers: Mapping[str, str] | None = None,
        patience: Patience | None = None,
        failed: Callable[[str], str] | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self.failed = name, failed or RecordSource(name).failed
        self._patience, self._sleep, self._clock = patience or Patience(), sleep, clock
        self._http = httpx.Client(headers=dict(headers or {}), timeout=self._patience.timeout)
        self._next = clock()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, url: str, parameters: Mapping[str, Any] | None = None) -> httpx.Response:
        """The answer to a GET, after as many tries as it takes; raises JobError."""
        return self._send("GET", url, params=parameters or None, follow_redirects=True)

    def post(self, url: str, document: Any) -> httpx.Response:
        """The answer to a POST of JSON that only reads, so that it may be repeated."""
        headers = {"Content-Type": "application/json"}
        return self._send("POST", url, content=msgspec.json.encode(document), headers=headers)

    def document(self, response: httpx.Response) -> Any:
        """The JSON of an answer, every digit of its numbers kept."""
        try:
            return DECODER.decode(response.content)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DataRejectedError(self.failed(f"the answer is not JSON: {shown(response.text)}")) from error

    def _send(self, method: str, url: str, **more: Any) -> httpx.Response:
        said, wait = "", 0.0
        for number in range(self._patience.tries):
            if number:
                self._sleep(wait)
            self._keep_the_rate()
            try:
                response = self._http.request(method, url, **more)
            except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
                raise MisconfiguredError(self.failed(f"{without_secrets(url)} is no URL")) from error
            except httpx.TransportError as error:
                said, wait = f"{type(error).__name__}: {error}".rstrip(": "), self._delay(number)
                continue
            if response.is_success:
                return response
            if response.status_code not in _PASSING:
                raise self._refused(response)
            said, wait = status_of(response), self._wait_asked_for(response) or self._delay(number)
            if wait > self._patience.longest_wait:
                break
        raise UnavailableError(self.failed(f"{said} (tried {number + 1} times)"), hint="the table is as it was")

    def _refused(self, response: httpx.Response) -> JobError:
        if response.is_redirect:
            moved = f"it has moved to {without_secrets(response.headers.get('location', ''))}"
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
        if asked.isdigit():
            return float(asked)
        try:
            until = parsedate_to_datetime(asked)
        except ValueError:
            return None
        until = until if until.tzinfo else until.replace(tzinfo=UTC)
        return max(0.0, (until - datetime.now(UTC)).total_seconds())

    def _keep_the_rate(self) -> None:
        if not self._patience.rate:
            return
        now = self._clock()
        if now < self._next:
            self._sleep(self._next - now)
        self._next = max(now, self._next) + 1 / self._patience.rate


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


def shown(text: str) -> str:
    """The beginning of a foreign text, fit for a line of a log."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * _SHOWN]).split())
    return line[:_SHOWN] + ("…" if len(line) > _SHOWN else "") or "(empty)"
