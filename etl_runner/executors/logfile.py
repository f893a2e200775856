"""The file an attempt's output goes to: of a flood its beginning and its end."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress

from etl_runner import words
from etl_runner.executors.output import make_folder_of


class LogFile:
    """A log that never stops its job: what cannot be written is dropped and flagged.

    The file is made with the first byte (its folder at once): many jobs say nothing, and a new file is the most
    expensive thing about them. `make` makes it all the same.

    A log within `limit` bytes (0: any number) is just a file. Of a longer one the first and the last half of `limit`
    are there when it is closed, and between them a line that says how many bytes are not. Until then the file has
    the first `limit` bytes and a line that says so; the end is collected in files beside it.
    """

    def __init__(self, path: str, *, limit: int = 0) -> None:
        self.truncated = False
        self._path = path
        self._limit = limit
        self._size = 0
        self._end: _End | None = None
        self._fd = -1
        self._is_closed = False
        with suppress(OSError):  # said when there is something to be written
            make_folder_of(path)

    def make(self) -> bool:
        """See that the file is there; False if it cannot be."""
        if self._fd < 0 and not self.truncated and not self._is_closed:
            try:  # to append: a supervisor whose runner goes away adds to it
                self._fd = _create(self._path, os.O_APPEND)
            except OSError:
                self.truncated = True
        return self._fd >= 0

    def write(self, chunk: bytes) -> None:
        if not chunk or not self.make():
            return
        if self._limit and self._size + len(chunk) > self._limit:
            room = max(self._limit - self._size, 0)
            self._put(chunk[:room])
            self._put_beyond(chunk[room:])
        else:
            self._put(chunk)
        self._size += len(chunk)

    async def finish(self) -> None:
        """Close it; where that is much to do, beside the loop."""
        if self._end is None:
            self.close()
        else:
            await asyncio.to_thread(self.close)

    def close(self) -> None:
        self._is_closed = True
        if self._fd < 0:
            return
        if self._end is not None:
            with suppress(OSError):  # no room: what was written first stays, and is flagged
                self._join(self._end)
            self._end.close()
        os.close(self._fd)
        self._fd = -1

    def _put(self, chunk: bytes) -> None:
        if not self.truncated:
            self.truncated = not _write(self._fd, chunk)

    def _put_beyond(self, chunk: bytes) -> None:
        if self._end is None:
            if self.truncated:  # its beginning is not whole
                return
            self._end = _End(self._path, size=self._limit - self._limit // 2)
            says = f"the log is over its limit of {words.size(self._limit)}: its end follows when the job is over"
            _write(self._fd, f"\netl-run: {says}\n".encode())
            self.truncated = True
        self._end.write(chunk)

    def _join(self, end: _End) -> None:
        """Put the log together: whole or, on OSError, as it was."""
        first = self._limit // 2
        last_from = self._size - (self._limit - first)
        new = f"{self._path}.new"
        says = f"{words.count(self._size - self._limit, 'byte')} left out here, over the limit of "
        target = _create(new)
        try:
            with open(self._path, "rb") as source:  # noqa: PTH123
                _copy(source.fileno(), target, first)
                _write_all(target, f"\netl-run: {says}{words.size(self._limit)} (log_limit)\n".encode())
                if last_from < self._limit:
                    os.lseek(source.fileno(), last_from, os.SEEK_SET)
                    _copy(source.fileno(), target, self._limit - last_from)
            end.copy(target, at_most=min(self._size - self._limit, self._size - last_from))
            os.replace(new, self._path)  # noqa: PTH105
        except OSError:
            with suppress(OSError):
                os.unlink(new)  # noqa: PTH108
            raise
        finally:
            os.close(target)


class _End:
    """The last bytes of a stream, at least `size` of them (if there are as many), in two files that take turns."""

    def __init__(self, path: str, *, size: int) -> None:
        self._paths = [f"{path}.end-0", f"{path}.end-1"]
        self._size = size
        self._fds = [-1, -1]
        self._sizes = [0, 0]
        self._now = 0
        self._is_broken = False

    def write(self, chunk: bytes) -> None:
        while chunk and not self._is_broken:
            room = self._size - self._sizes[self._now]
            if not room:
                self._now = 1 - self._now
                self._sizes[self._now], room = 0, self._size
            part, chunk = chunk[:room], chunk[room:]
            self._put(part)

    def copy(self, target: int, *, at_most: int) -> None:
        """Copy the last bytes; raises OSError if they are not there."""
        if self._is_broken:
            raise OSError
        newer = self._sizes[self._now]
        wanted = {1 - self._now: max(at_most - newer, 0), self._now: min(at_most, newer)}
        for index, size in wanted.items():
            if size:
                os.lseek(self._fds[index], self._sizes[index] - size, os.SEEK_SET)
                _copy(self._fds[index], target, size)

    def close(self) -> None:
        for path, fd in zip(self._paths, self._fds, strict=True):
            if fd >= 0:
                os.close(fd)
                with suppress(OSError):
                    os.unlink(path)  # noqa: PTH108

    def _put(self, part: bytes) -> None:
        try:
            if self._fds[self._now] < 0:
                self._fds[self._now] = _create(self._paths[self._now])
            fd = self._fds[self._now]
            if not self._sizes[self._now]:
                os.lseek(fd, 0, os.SEEK_SET)
            _write_all(fd, part)
            self._sizes[self._now] += len(part)
        except OSError:
            self._is_broken = True


def _create(path: str, how: int = os.O_TRUNC) -> int:
    return os.open(path, how | os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)


def _write(fd: int, data: bytes) -> bool:
    try:
        _write_all(fd, data)
    except OSError:
        return False
    return True


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _copy(source: int, target: int, size: int) -> None:
    """Copy that many bytes from where the source stands; raises OSError if they are not there."""
    while size:
        data = os.read(source, min(size, 1 << 20))
        if not data:
            raise OSError
        _write_all(target, data)
        size -= len(data)
