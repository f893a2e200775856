"""A limit for the whole of an answer: httpx has one for the wait for each piece of it, however small the pieces are."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from threading import Timer
from typing import Any

import httpx

SLOWEST = 10_000  # bytes per second: an answer that comes at least as fast is read to its end
LARGEST = 1 << 30  # bytes, when it is decoded: an answer is in memory as a whole


class TooLargeError(httpx.RequestError):
    """No answer that can be kept in memory."""


class Deadline:
    """The time one try has, from its making on: `seconds`, and as many more as its answer takes at the slowest rate.

    `trace` is for httpx's extension of that name: it tells the `connections`, which are kept for the next tries.
    """

    def __init__(self, seconds: float, *, clock: Callable[[], float], connections: list[socket.socket]) -> None:
        self._seconds, self._clock, self._began = seconds, clock, clock()
        self._connections = connections
        self._said = f"no whole answer within {seconds:g} seconds"
        self._is_over = False
        self._timer = Timer(0, self._end)

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Within this, connections are ended where the time is over before the answer's headers are here."""
        self._timer = Timer(max(0.0, self._began + self._seconds - self._clock()), self._end)
        self._timer.daemon = True
        self._timer.start()
        try:
            yield
        except httpx.RequestError as error:
            if self._is_over:
                raise httpx.ReadTimeout(self._said) from error
            raise
        finally:
            self._timer.cancel()

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Learn of connections; raises for one that was made too late."""
        if not event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            return
        self._connections[:] = [known for known in self._connections if known.fileno() >= 0]
        self._connections.append(info["return_value"].get_extra_info("socket"))
        if self._is_over:
            raise httpx.ReadTimeout(self._said)

    def limit(self, response: httpx.Response) -> None:
        """The headers are here; what follows may take as long as it comes fast enough, and be LARGEST when decoded."""
        self._timer.cancel()
        stream = response.stream
        assert isinstance(stream, httpx.SyncByteStream)
        timely = _Checked(stream, self._in_time, close=stream.close)
        coded = httpx.Response(response.status_code, headers=response.headers, stream=timely)
        response.stream = _Checked(coded.iter_bytes(), _in_memory, close=coded.close)
        response.headers.pop("content-encoding", None)

    def _in_time(self, size: int) -> None:
        """Raise where an answer of which this much has come is late."""
        if self._clock() - self._began > self._seconds + size / SLOWEST:
            raise httpx.ReadTimeout(self._said + (f", {size:,} bytes of one" if size else ""))

    def _end(self) -> None:
        """Wake who waits for a piece."""
        self._is_over = True
        for connection in tuple(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def _in_memory(size: int) -> None:
    if size > LARGEST:
        raise TooLargeError(f"an answer of more than {LARGEST:,} bytes")


class _Checked(httpx.SyncByteStream):
    """A stream of which every piece is checked by the size so far."""

    def __init__(self, pieces: Iterable[bytes], check: Callable[[int], None], *, close: Callable[[], None]) -> None:
        self._pieces, self._check, self._close = pieces, check, close

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        for piece in self._pieces:
            size += len(piece)
            self._check(size)
            yield piece

    def close(self) -> None:
        self._close()
