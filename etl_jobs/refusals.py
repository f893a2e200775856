"""What the server refuses, as an error of ours that says nothing that must not be shown."""

from __future__ import annotations

import re

import psycopg

from etl_jobs.errors import DataRejectedError, JobError, MisconfiguredError, UnavailableError

CURES_ITSELF = ("08", "40", "53", "55", "57")  # connection, deadlock, resources, lock not available, shutdown
# Permission and names, login, no such database, not made so, read-only.
_NEEDS_A_PERSON = ("42", "28", "3D", "3F", "0A", "55000", "25006")
_QUOTES_NO_VALUE = (*CURES_ITSELF, *_NEEDS_A_PERSON, "22P04", "22P05", "22021", "22012")
# A refused connection has no code, only words.
_NO_ENTRY_STATES = ("28", "3D")
_NO_ENTRY = re.compile(
    r'(database|role) ".*" does not exist|role ".*" is not permitted to log in|permission denied for database'
    r"|authentication failed for user|no password supplied|no pg_hba\.conf entry|certificate verify failed"
)
_NOT_NOW = re.compile(r"FATAL: +the database system is |too many (clients|connections)|connection slots are reserved")
REFUSED_ROWS = (psycopg.IntegrityError, psycopg.DataError, psycopg.errors.RaiseException)


def has_no_entry(words: str, *, state: str = "") -> bool:
    """Whether a server lets us in only when a person has changed something, by the code of its error or its words.

    One that is starting, stopping or full is none of these, whatever else is said of other tries.
    """
    if state:
        return state.startswith(_NO_ENTRY_STATES)
    return bool(_NO_ENTRY.search(words)) and not _NOT_NOW.search(words)


def words_of(error: psycopg.Error, *, secret: bool) -> str:
    """What the server said; with `secret` only if it can quote no value."""
    state = error.sqlstate or ""
    if not secret or (not state and isinstance(error, psycopg.OperationalError)):
        return error.diag.message_primary or str(error).strip()
    named = state.startswith("23") and (error.diag.table_name or error.diag.datatype_name)  # a constraint's own words
    said = error.diag.message_primary or str(error).strip()
    return said if named else words_for(said, state, secret=True)


def words_for(said: str, state: str, *, secret: bool) -> str:
    """What the server `said` under this code; with `secret` only if it can quote no value."""
    if not secret or state.startswith(_QUOTES_NO_VALUE):
        return said
    return f"the server refuses it; its words may quote a secret value [{state}]"


def explained(error: psycopg.Error, *, secret: bool = False) -> JobError:
    """An error of the server as one of ours: is another attempt worth it?"""
    state = error.sqlstate or ""
    detail = f" ({error.diag.message_detail})" if error.diag.message_detail and not secret else ""
    message = f"the warehouse said: {words_of(error, secret=secret)}{detail}"
    if state.startswith(_NEEDS_A_PERSON):
        return MisconfiguredError(message)
    if state.startswith(CURES_ITSELF) or (not state and isinstance(error, psycopg.OperationalError)):
        return UnavailableError(message)
    return JobError(f"{message} [{state or type(error).__name__}]")


def refused_rows(error: psycopg.Error, *, table: str, secret: bool) -> DataRejectedError:
    """A constraint, an index or a trigger of the target does not take the rows of the table."""
    detail = "" if secret else f" ({error.diag.message_detail or 'no detail'})"
    if not isinstance(error, psycopg.IntegrityError):
        hint = "an index, a constraint or a trigger of the table cannot work with one of the rows"
    else:
        hint = "the table has a constraint that the catalogue does not declare"
        if isinstance(error, psycopg.errors.UniqueViolation):
            hint += "; if values change places between rows, it has to be DEFERRABLE"
    return DataRejectedError(f"table {table!r}: {words_of(error, secret=secret)}{detail}", hint=hint)
