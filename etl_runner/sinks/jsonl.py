"""A run's records as JSON, one object a line."""

from __future__ import annotations

import json
import sys
from typing import TextIO

import msgspec

from etl_runner.events import Record, record_fields
from etl_runner.sinks.outlet import Outlet


class JsonLinesSink:
    """Writes each record at once. A reader that goes away ends the writing, not the run.

    What was only told and not recorded (`seq` 0: progress) is left out. That it could not write (the disk is full)
    is said as a note on `stderr` in the end.
    """

    def __init__(self, stream: TextIO, *, stderr: TextIO | None = None) -> None:
        self._out = Outlet(stream)
        self._stderr = stderr or sys.stderr
        self._encode = msgspec.json.Encoder().encode

    def tell(self, record: Record) -> None:
        if record.seq and not self._out.gone:
            self._out.write(self._text(record) + "\n")

    def output(self, job: str, chunk: bytes) -> None:
        """Jobs' output is in their logs."""

    def refresh(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        self._out.close()
        if self._out.error:
            note = f"cannot write the events: {self._out.error.strerror}; see them with etl-run show -o json"
            said = Outlet(self._stderr)
            said.write(json.dumps({"note": note}) + "\n")
            said.close()

    def _text(self, record: Record) -> str:
        fields = record_fields(record)
        try:
            text = self._encode(fields).decode()
        except UnicodeEncodeError:  # arguments that are no valid text: escape them
            return json.dumps(fields)
        if text.isascii() or self._out.encoding.lower().startswith("utf"):
            return text
        return json.dumps(json.loads(text))
