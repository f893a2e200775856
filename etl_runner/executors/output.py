"""A job's own report: the JSON lines (or key=value lines) it writes to its ETL_OUTPUT file."""

from __future__ import annotations

import os
from contextlib import suppress

import msgspec

from etl_runner.model import Metric

MAX_BYTES = 1 << 20
REPORT_SECONDS = 0.25


def make_folder_of(path: str) -> None:
    """Make the folder a file will be in. Cheap where it is there: that is the rule."""
    folder = os.path.dirname(path)  # noqa: PTH120
    if not os.path.isdir(folder):  # noqa: PTH112
        os.makedirs(folder, exist_ok=True)  # noqa: PTH103


class OutputTail:
    """Follows one output file; the last value of a key wins.

    Complete lines count as soon as they are there, an incomplete last line only in `finish`. Values that are lists or
    objects stay in the file for later jobs and are no metrics. At most 1 MiB is read.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        with suppress(OSError):  # a full disk must not keep the job from running
            make_folder_of(path)
        self._offset = 0
        self._rest = b""
        self.metrics: dict[str, Metric] = {}
        self.warnings: list[str] = []

    def poll(self) -> bool:
        """Read what is new; True if the metrics may have changed."""
        lines = (self._rest + self._read()).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            self._take(line)
        return bool(lines)

    def finish(self) -> None:
        """Read what is new, an unterminated last line included."""
        self.poll()
        self._take(self._rest)
        self._rest = b""

    def _read(self) -> bytes:
        try:
            if os.stat(self._path).st_size <= self._offset or self._offset >= MAX_BYTES:  # noqa: PTH116
                return b""
            with open(self._path, "rb") as file:  # noqa: PTH123
                file.seek(self._offset)
                data = file.read(MAX_BYTES - self._offset)
        except FileNotFoundError:
            return b""
        except OSError as error:
            self._warn(f"ETL_OUTPUT cannot be read: {error.strerror}")
            return b""
        self._offset += len(data)
        if self._offset >= MAX_BYTES:
            self._warn("ETL_OUTPUT is over 1 MiB: the rest is not read")
        return data

    def _take(self, line: bytes) -> None:
        line = line.strip()
        if not line:
            return
        try:
            self.metrics.update(_fields(line))
        except (ValueError, RecursionError):  # a line may be nested as deep as it likes
            begins = line[:60].decode(errors="replace")
            self._warn(f"ETL_OUTPUT has a line that is neither a JSON object nor key=value: {begins!r}")

    def _warn(self, text: str) -> None:
        if text not in self.warnings and len(self.warnings) < 5:
            self.warnings.append(text)


def _fields(line: bytes) -> dict[str, Metric]:
    """The scalar fields of one line; raises ValueError (msgspec's errors are ValueErrors) if it is malformed."""
    if not line.startswith(b"{"):
        key, equals, value = line.partition(b"=")
        if not equals or not key.strip():
            raise ValueError(line)
        return {key.strip().decode(): _scalar(value.strip())}
    body = msgspec.json.decode(line, type=dict[str, object])
    return {key: value for key, value in body.items() if value is None or isinstance(value, (str, int, float))}


def _scalar(text: bytes) -> Metric:
    try:
        return msgspec.json.decode(text, type=int | float | bool)
    except msgspec.DecodeError:
        return text.decode()
