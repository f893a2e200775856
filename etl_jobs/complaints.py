"""What the server says about records that it cannot read, as values."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Container, Iterator
from dataclasses import dataclass, field

import psycopg

from etl_jobs.refusals import words_of
from etl_jobs.warehouse import Session

_SKIPPING = re.compile(r'skipping row due to data type incompatibility at line (\d+) for column "')
_NAMED = re.compile(r'": (?:"(?P<value>.*)"$|null input$)', re.S)
_SKIPPED = re.compile(r"(\d+) rows? (?:was|were) skipped due to data type incompatibility$")
# In most languages the order is that of English: `COPY t, line 2, column v: "x"`, `COPY t, Zeile 2, Spalte v: »x«`.
_CONTEXT = re.compile(r"^COPY .+?, [^\s\d,]+ (?P<line>\d+)(?:, [^\s\d,]+ (?P<rest>.+))?", re.S | re.M)
_COLUMN_ENDS = re.compile(r"\s?(:) (.)")
_VALUE = re.compile(r'["»«„“]\s?(.*?)\s?["«»“”]$', re.S)
_TOO_MANY = "skipped more than REJECT_LIMIT"


class UnclearError(Exception):
    """COPY has left out records, but what it said about them was not understood, or is not about all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A record that could not be read: its last line, as the server counts; its first bad column, the value there.

    Without a column it is no record of this table at all, and `said` is the reason. `number` is the record's among
    those of the source, `text` what was read of it and `digest` of all of it, where somebody has looked.
    """

    line: int
    column: str | None
    value: str | None
    said: str = ""
    number: int | None = None
    text: bytes = b""
    digest: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """What an error of COPY is about; the line is None where the server names none that is understood.

    What may show a secret is `hidden`: then there is no value, and the words are ours.
    """

    line: int | None
    column: str | None
    value: str | None
    said: str
    too_many: bool = False
    hidden: bool = False


def complaint_of(error: psycopg.Error, secret: Container[str] = ()) -> Complaint:
    """The error's message and what its context tells, but nothing of the values of `secret` columns."""
    said = words_of(error, secret=False)
    line, names, value = place_in(error.diag.context or "")
    column = next((name for name in names if name in secret), names[0] if names else None)
    too_many = said.startswith(_TOO_MANY)
    hidden = column in secret if column else said != words_of(error, secret=bool(secret))
    if hidden:
        value, said = None, "the value does not fit the column's type" if column else words_of(error, secret=True)
    return Complaint(line=line, column=column, value=value, said=said, too_many=too_many, hidden=hidden)


def place_in(context: str) -> tuple[int | None, tuple[str, ...], str | None]:
    """The line, what the column may be called, and the value there; nothing where the context is not understood.

    Only a reader who knows the columns could tell where a name ends that has a colon or ends with a space.
    """
    found = _CONTEXT.search(context)
    if not found:
        return None, (), None
    line, rest = int(found["line"]), found["rest"] or ""
    ends = list(_COLUMN_ENDS.finditer(rest))
    value = _VALUE.match(rest, ends[0].start(2)) if ends else None
    names = (rest[: end.start(spaced)] for end in ends for spaced in ((1, 0) if end[2] != "«" else (0, 1)))
    return line, tuple(dict.fromkeys(names)), value[1] if value else None


@dataclass(slots=True)
class _Notes:
    """What COPY has said of records it has left out, of one more than `limit`, and how many it says there were."""

    columns: Collection[str]
    limit: int
    skipped: list[Skipped] = field(default_factory=list)
    named: int = 0
    said: int = 0
    unclear: bool = False

    def take(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        text = diagnostic.message_primary or ""
        if total := _SKIPPED.fullmatch(text):
            self.said += int(total[1])
            return
        start = _SKIPPING.match(text)
        named = [
            Skipped(line=int(start[1]), column=column, value=end["value"])
            for column in self.columns
            if start and text.startswith(column, start.end()) and (end := _NAMED.match(text, start.end() + len(column)))
        ]
        self.named += 1
        if len(self.skipped) <= self.limit:
            self.skipped += named[:1]
        self.unclear = self.unclear or len(named) != 1


@contextlib.contextmanager
def noting(session: Session, skipped: list[Skipped], columns: Collection[str], *, limit: int) -> Iterator[None]:
    """Keep what COPY into these columns says about the records it leaves out: one more than `limit` at most.

    Raises UnclearError at the end where not all of it was understood.
    """
    notes = _Notes(columns, limit)
    session.execute("SET client_min_messages = 'notice'")
    session.add_notice_handler(notes.take)
    try:
        yield
    finally:
        session.remove_notice_handler(notes.take)
    if notes.unclear or notes.said != notes.named:
        raise UnclearError
    skipped += notes.skipped
