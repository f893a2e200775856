"""Messages over a stream socket: a length, then the value; an order brings both ends of its output pipe along.

Both ends are of one Python, so marshal will do: it costs a tenth of json, and carries any text there is.
"""

from __future__ import annotations

import _socket  # `socket` is larger than all else that a keeper imports
import marshal
import os

TYPE_CHECKING = False  # as typing's, which takes a megabyte and 3 ms to import
if TYPE_CHECKING:
    from typing import Any

# What the runner asks of the keeper, one byte each; a descriptor comes along.
FORK = b"+"
SETTLE = b"?"

_VERSION = 2  # of marshal: later ones intern texts, which writes to pages all over the interpreter
_LENGTH = 4
_MOST_DESCRIPTORS = 2 * 4  # bytes: ints of C


def pack(message: dict[str, Any]) -> bytes:
    """The bytes of a message of plain values. Text that is not UTF-8 (environment, arguments) survives."""
    body = marshal.dumps(message, _VERSION)
    return len(body).to_bytes(_LENGTH) + body


class Inbox:
    """Takes bytes and gives whole messages."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        self._bytes += data
        messages = []
        while len(self._bytes) >= _LENGTH:
            end = _LENGTH + int.from_bytes(self._bytes[:_LENGTH])
            if len(self._bytes) < end:
                break
            messages.append(marshal.loads(self._bytes[_LENGTH:end]))
            del self._bytes[:end]
        return messages


def receive(connection: _socket.socket, size: int = 8192) -> tuple[bytes, list[int]]:
    """Bytes and file descriptors, at most two of them; no bytes mean that the other side is gone, in whatever way.

    The descriptors are closed on exec: recvmsg of the standard library drops MSG_CMSG_CLOEXEC.
    """
    try:
        data, parts, _, _ = connection.recvmsg(size, _socket.CMSG_LEN(_MOST_DESCRIPTORS))
    except (ConnectionError, TimeoutError):
        return b"", []
    descriptors = [descriptor for _, _, part in parts for descriptor in memoryview(part).cast("i")]
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return data, descriptors
