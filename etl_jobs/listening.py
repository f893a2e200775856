"""A COPY that listens while it sends: a server that has much to say takes no more until somebody has heard it."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from psycopg import Cursor
from psycopg.abc import Buffer
from psycopg.copy import LibpqWriter
from psycopg.pq.abc import PGconn
from psycopg.waiting import Ready, Wait

_PIECE = 128 * 1024


class ListeningWriter(LibpqWriter):
    """Sends pieces one by one, and while it waits takes in what the server says.

    psycopg's own waits for the server to take more, and nothing else. So both would wait for each other.
    """

    def __init__(self, cursor: Cursor[Any]) -> None:
        super().__init__(cursor)
        self._session = cursor.connection

    def write(self, data: Buffer) -> None:
        for start in range(0, len(data), _PIECE):
            while self._session.pgconn.put_copy_data(data[start : start + _PIECE]) == 0:
                self._session.wait(_sent(self._session.pgconn))
            self._session.wait(_sent(self._session.pgconn))

    def finish(self, exc: BaseException | None = None) -> None:
        self._session.wait(_sent(self._session.pgconn))
        super().finish(exc)


def _sent(pgconn: PGconn) -> Generator[Wait, Ready | int, None]:
    """Wait until everything is sent, and the server takes more."""
    while True:
        ready = yield Wait.RW
        if ready & Ready.R:
            pgconn.consume_input()
        if ready & Ready.W and pgconn.flush() == 0:
            return
