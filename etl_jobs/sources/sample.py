"""The sample ERP as source: made while it is read, in constant memory."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from etl_jobs.errors import MisconfiguredError
from etl_jobs.sources.erp import COLUMNS, Erp

_EDITION = 1  # goes up when the same scale and seed yield other rows
_ROWS_PER_BLOCK = 2_000


class SampleSource:
    """One table of the sample ERP as CSV text."""

    delimiter, quote, escape, null, encoding = ",", '"', '"', "", "UTF8"

    def __init__(self, table: str, *, scale: float, seed: int) -> None:
        self.name = f"sample {table}"
        self._table, self._scale, self._seed = table, scale, seed

    def columns(self) -> tuple[str, ...]:
        if self._table not in COLUMNS:
            raise MisconfiguredError(
                f"the sample source has no table {self._table!r}", hint=f"it has {', '.join(COLUMNS)}"
            )
        return tuple(COLUMNS[self._table].split(","))

    def blocks(self) -> Iterator[bytes]:
        rows = Erp(scale=self._scale, seed=self._seed).rows(self._table)
        yield f"{COLUMNS[self._table]}\n".encode()
        while block := list(islice(rows, _ROWS_PER_BLOCK)):
            yield ("\n".join(block) + "\n").encode()

    def fingerprint(self) -> str:
        return f"edition {_EDITION}, scale {self._scale:g}, seed {self._seed}"

    def size(self) -> int | None:
        return None

    def place(self, *, record: int | None = None, line: int | None = None) -> str:
        return f"{self.name} row {record}" if record is not None else f"{self.name} line {line}"
