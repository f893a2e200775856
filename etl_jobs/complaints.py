"""What the server says about records that it cannot read, as values."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg

from etl_jobs.warehouse import Session

_SKIPPED = re.compile(r'at line (\d+) for column "(.+?)": (?:"(.*)"|null input)', re.S)
_CONTEXT = re.compile(r'COPY .+?, line (\d+)(?:, column (.+?): (?:"(.*)"|null input))?', re.S)
_TOO_MANY = "skipped more than REJECT_LIMIT"


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
    """What an error of COPY is about; the line is None where the server names none."""

    line: int | None
    column: str | None
    value: str | None
    said: str
    too_many: bool


def complaint_of(error: psycopg.Error) -> Complaint:
    """The error's message and what its context tells."""
    said = error.diag.message_primary or str(error)
    context = _CONTEXT.search(error.diag.context or "")
    line, column, value = context.groups() if context else (None, None, None)
    return Complaint(
        line=int(line) if line else None, column=column, value=value, said=said, too_many=said.startswith(_TOO_MANY)
    )


@contextlib.contextmanager
def noting(session: Session, skipped: list[Skipped]) -> Iterator[None]:
    """Keep what COPY says about the records it leaves out."""

    def note(diagnostic: psycopg.errors.Diagnostic) -> None:
        if said := _SKIPPED.search(diagnostic.message_primary or ""):
            line, column, value = said.groups()
            skipped.append(Skipped(line=int(line), column=column, value=value))

    session.execute("SET client_min_messages = 'notice'")
    session.add_notice_handler(note)
    try:
        yield
    finally:
        session.remove_notice_handler(note)
