"""The sample ERP as source: made while it is read, in constant memory."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from etl_jobs.errors import MisconfiguredError
from etl_jobs.sources.erp import COLUMNS, Erp
from etl_jobs.sources.trail import RecordSource

_EDITION = 1  # goes up when the same scale and seed yield other rows
_ROWS_PER_BLOCK = 2_000


class SampleSource(RecordSource):
    """One table of the sample ERP as CSV text."""

    def __init__(self, table: str, *, scale: float, seed: int) -> None:
        super().__init__(f"sample {table}")
        self._table, self._scale, self._seed = table, scale, seed

    def columns(self) -> tuple[str, ...]:
        if self._table not in COLUMNS:
            raise MisconfiguredError(
                f"the sample source has no table {self._table!r}", hint=f"it has {', '.join(COLUMNS)}"
            )
        return tuple(COLUMNS[self._table].split(","))

    def blocks(self) -> Iterator[bytes]:
        rows = Erp(scale=self._scale, seed=self._seed).rows(self._table)
        self.trail.begin()
        yield f"{COLUMNS[self._table]}\n".encode()
        while some := list(islice(rows, _ROWS_PER_BLOCK)):
            block = ("\n".join(some) + "\n").encode()
            self.trail.add(block, records=len(some))
            yield block

    def fingerprint(self) -> str:
        return f"edition {_EDITION}, scale {self._scale:g}, seed {self._seed}"
