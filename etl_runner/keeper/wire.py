"""Messages over a stream socket: a length, then the value; an order brings the write end of its output pipe along.

Both ends are of one Python, so marshal will do: it costs a tenth of json, and carries any text there is.
"""

from __future__ import annotations

import marshal
import os
import socket
import struct

TYPE_CHECKING = False  # as typing's, which takes a megabyte and 3 ms to import
if TYPE_CHECKING:
    from typing import Any

# What the runner asks of the keeper, one byte each; a descriptor comes along.
FORK = b"+"
SETTLE = b"?"

_LENGTH = struct.Struct(">I")


def pack(message: dict[str, Any]) -> bytes:
    """The bytes of a message of plain values. Text that is not UTF-8 (environment, arguments) survives."""
    body = marshal.dumps(message)
    return _LENGTH.pack(len(body)) + body


class Inbox:
    """Takes bytes and gives whole messages."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        self._bytes += data
        messages = []
        while len(self._bytes) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._bytes)
            end = _LENGTH.size + length
            if len(self._bytes) < end:
                break
            messages.append(marshal.loads(self._bytes[_LENGTH.size : end]))
            del self._bytes[:end]
        return messages


def receive(connection: socket.socket, size: int = 65536) -> tuple[bytes, list[int]]:
    """Bytes and file descriptors; no bytes mean that the other side is gone, in whatever way.

    The descriptors are closed on exec: recv_fds of the standard library drops MSG_CMSG_CLOEXEC.
    """
    try:
        data, descriptors, _, _ = socket.recv_fds(connection, size, 1)
    except (ConnectionError, TimeoutError):
        return b"", []
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return data, descriptors
