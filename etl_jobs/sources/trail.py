"""What has been sent of a source that makes its text while it is read, and what such sources share."""

from __future__ import annotations

_HEADER_LINES = 1


class Trail:
    """Counts records and lines block by block, to say which record stands on a line. `word` is what a record is called.

    Only blocks that have other numbers of lines than of records cost memory: a few bytes each.
    """

    def __init__(self, word: str = "row") -> None:
        self._word = word
        self.begin()

    def begin(self) -> None:
        """The source is read from its start."""
        self.records = 0
        self.bytes = 0
        self._lines = 0
        self._ends: list[tuple[int, int]] = []  # after every block: lines and records so far, without the header
        self._is_plain = False  # the last of them: as many lines as records

    def add(self, block: bytes, *, records: int, text: bool = True) -> None:
        """A block of whole records has been sent; what is no text has no lines but its records."""
        lines = block.count(b"\n") if text else records
        self.records += records
        self.bytes += len(block)
        self._lines += lines
        is_plain = lines == records
        if is_plain and self._is_plain:
            self._ends.pop()
        self._ends.append((self._lines, self.records))
        self._is_plain = is_plain

    def where(self, *, record: int | None, line: int | None) -> str:
        """What a message calls a record, known by its number or by a line of the text."""
        return f"{self._word} {record:,}" if record is not None else self.at_line(line or 1)

    def at_line(self, line: int) -> str:
        """The record a line of the text belongs to; a range where values with line ends make it uncertain."""
        wanted = line - _HEADER_LINES
        lines_before = records_before = 0
        for lines, records in self._ends:
            if wanted <= lines:
                if lines - lines_before == records - records_before:
                    return f"{self._word} {records_before + wanted - lines_before:,}"
                if records == records_before + 1:
                    return f"{self._word} {records:,}"
                return f"{self._word}s {records_before + 1:,}–{records:,}"
            lines_before, records_before = lines, records
        return f"{self._word} {max(records_before, 0) + 1:,}"

    def __str__(self) -> str:
        return f"{self.records:,} rows ({self.bytes:,} bytes)"


class MadeText:
    """The dialect of the text that sources make themselves."""

    delimiter, quote, escape, null, encoding = ",", '"', '"', "", "UTF8"


class RecordSource(MadeText):
    """What those sources share that make their text while they read: that only reading tells more.

    Each of them begins the `trail` anew where it begins to read, and adds what it hands out.
    """

    def __init__(self, name: str, *, word: str = "row") -> None:
        self.name, self.trail = name, Trail(word)

    def fingerprint(self) -> str:
        return ""

    def size(self) -> int | None:
        return None

    def place(self, *, record: int | None = None, line: int | None = None) -> str:
        return f"{self.name}, {self.trail.where(record=record, line=line)}"

    def failed(self, said: str) -> str:
        """What a message says of an error in the source: what, and how far it had been read."""
        read = f" after {self.trail} were read" if self.trail.records else ""
        return f"the source {self.name} failed{read}: {said}"
