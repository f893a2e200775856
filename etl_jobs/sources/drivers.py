"""What drivers of databases say: is another try worth it, and what of it may be told?"""

from __future__ import annotations

import re
from collections.abc import Sequence

from etl_jobs.refusals import CURES_ITSELF, has_no_entry
from etl_jobs.sources.excerpts import UNTOLD, Excerpts
from etl_jobs.sources.extras import needed

with needed("sql", "this source"):
    import sqlalchemy

_PASSING = ("OperationalError", "InterfaceError", "InternalError", "TimeoutError", "DisconnectionError")
# No right to the database, a wrong login, no database chosen, an unknown one, an unknown column, no right to a table or
# a column, no login from here.
_MYSQL_NEEDS_A_PERSON = (1044, 1045, 1046, 1049, 1054, 1142, 1143, 1698)
_BUSY = ("locked", "busy")  # SQLite calls nearly every error an operational one

# What quotes names, the query or nothing, by what the databases call it. Everything else may quote a value of a row.
_PLAIN_STATES = (*CURES_ITSELF, "42", "28", "3D", "3F", "0A", "IM", "HYT")
_PLAIN_CODES = {
    "mysql": {*_MYSQL_NEEDS_A_PERSON, 1040, 1064, 1129, 1130, 1146, 1205, 1213, 1227, *range(2000, 2062)},
    "mssql": {207, 208, 229, 1205, 4060, 18456, *range(20002, 20018)},
    "oracle": {54, 904, 933, 936, 942, 1005, 1017, 1031, 1555, 28000, 28001, *range(12000, 13000)},
}
_PLAIN_SQLITE = re.compile(
    r'no such (table|column|function|module)|near "|database (is|table is|schema is|disk image)|unable to open database'
    r"|file is not a database|disk I/O error|attempt to write|out of memory|interrupted|not authorized|malformed JSON$"
    r"|integer overflow$"
)
_STATE = re.compile(r"[0-9A-Z]{5}")
_ORACLE = re.compile(r"\bORA-(\d{5})\b")
_COLUMN = re.compile(r"\bcolumn ['\"`]([^'\"`]+)['\"`]", re.IGNORECASE)


def may_pass(error: sqlalchemy.exc.SQLAlchemyError, *, backend: str) -> bool:
    """Whether another attempt is worth it: drivers call much an operational error that only a person cures."""
    if type(error).__name__ not in _PASSING:
        return False
    cause = getattr(error, "orig", None) or error
    match backend:
        case "sqlite":
            return any(word in str(cause) for word in _BUSY)
        case "mysql" | "mariadb":
            return not any(code in _MYSQL_NEEDS_A_PERSON for code in (getattr(cause, "errno", None), *cause.args[:1]))
        case "postgresql":
            return not has_no_entry(str(cause), state=_state(cause))
        case _:
            return True


def told(error: BaseException, *, backend: str, excerpts: Excerpts, columns: Sequence[str] = ()) -> str:
    """What a message says of a driver's error. To a quiet one the words are told only if they can quote no value of a
    row, else what kind of error it is, and which of the `columns` it names.
    """
    cause: BaseException = getattr(error, "orig", None) or error
    words = " ".join(str(cause).split())
    own = isinstance(error, sqlalchemy.exc.SQLAlchemyError) and cause is error
    if not excerpts.quiet or own or _quotes_no_value(cause, words, backend):
        return excerpts.hidden(words)
    named = [name for name in _COLUMN.findall(words) if name in columns]
    kind = " ".join(filter(None, (type(cause).__name__, _code(cause))))
    return f"the server refuses it{''.join(f', column {n!r}' for n in named[:1])}; {UNTOLD} [{kind}]"


def _quotes_no_value(cause: BaseException, words: str, backend: str) -> bool:
    if backend == "sqlite":
        return bool(_PLAIN_SQLITE.match(words))
    state, code = _state(cause), _code(cause)
    if state:
        return state.startswith(_PLAIN_STATES)
    if backend == "postgresql":  # without a state it is the connection
        return type(cause).__name__ == "OperationalError"
    codes = _PLAIN_CODES.get({"mariadb": "mysql"}.get(backend, backend), set())
    return code.isdecimal() and int(code) in codes


def _state(cause: BaseException) -> str:
    """The error's SQLSTATE where the driver tells one."""
    known = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None) or next(iter(cause.args), "")
    return known if isinstance(known, str) and _STATE.fullmatch(known) else ""


def _code(cause: BaseException) -> str:
    """What the database calls the error."""
    oracle = _ORACLE.search(str(cause))
    number = next((arg for arg in (getattr(cause, "errno", None), *cause.args[:1]) if isinstance(arg, int)), None)
    known = getattr(cause, "sqlite_errorname", None) or _state(cause) or (oracle[1] if oracle else number)
    return str(known if known is not None else "")
