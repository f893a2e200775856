"""Types of columns that nobody declared: the narrowest that every value of the whole source fits in."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg import sql

from etl_jobs.warehouse import Session, server_version

# A value's kind is the first one it fits; a column's type follows from the kinds of all its values.
_WHOLE, _LONG, _EXACT, _NUMBER, _FLOAT, _FLAG, _DAY, _TIME, _INSTANT, _UUID, _TEXT = (1 << n for n in range(11))
_CLOCK = r"[ T]\d\d:\d\d(:\d\d(\.\d{1,6})?)?"
_SHAPES = {
    _WHOLE: (r"^-?(0|[1-9]\d{0,14})$", ""),
    _LONG: (r"^-?[1-9]\d{15,17}$", ""),  # more than a double holds
    _EXACT: (r"^-?(?=[0.]*[1-9](\.?\d){17})(0|[1-9]\d*)(\.\d+)?$", ""),  # more than any double is written with
    _NUMBER: (r"^-?(0|[1-9]\d*)(\.\d+)?$", ""),
    _FLOAT: (r"^-?(0|[1-9]\d*)(\.\d+)?[eE][+-]?\d{1,2}$", ""),
    _FLAG: (r"^(true|false|TRUE|FALSE|True|False)$", ""),
    _DAY: (r"^\d{4}-\d\d-\d\d$", "date"),
    _TIME: (rf"^\d{{4}}-\d\d-\d\d{_CLOCK}$", "timestamp"),
    _INSTANT: (rf"^\d{{4}}-\d\d-\d\d{_CLOCK}(Z|[+-]\d\d(:?\d\d)?)$", "timestamptz"),
    _UUID: (r"^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$", ""),
}
_TYPES = (
    (_WHOLE | _LONG, "bigint"),
    (_WHOLE | _LONG | _EXACT | _NUMBER, "numeric"),
    (_WHOLE | _NUMBER | _FLOAT, "double precision"),
    (_WHOLE | _LONG | _EXACT | _NUMBER | _FLOAT, "numeric"),
    (_FLAG, "boolean"),
    (_DAY, "date"),
    (_DAY | _TIME, "timestamp without time zone"),
    (_INSTANT, "timestamp with time zone"),
    (_UUID, "uuid"),
)
_CALENDAR = frozenset(name for fits, name in _TYPES if fits & (_DAY | _INSTANT))  # what looks like one may be none


def infer(session: Session, staging: sql.Identifier, columns: Sequence[str]) -> dict[str, str]:
    """The types of these columns, which are text in staging, in one pass. Numbers with leading zeros are text."""
    if not columns:
        return {}
    kinds = [_kinds(sql.Identifier(column), session) for column in columns]
    row = session.execute(sql.SQL("SELECT {} FROM {}").format(sql.SQL(", ").join(kinds), staging)).fetchone()
    assert row is not None
    types = {column: _type(kinds) for column, kinds in zip(columns, row, strict=False)}
    if server_version(session) >= 16:
        return types
    return {column: kind if _can_be(session, staging, column, kind) else "text" for column, kind in types.items()}


def _can_be(session: Session, staging: sql.Identifier, column: str, kind: str) -> bool:
    """Whether every value is one of the type: before PostgreSQL 16 a server says so only by failing."""
    if kind not in _CALENDAR:
        return True
    value = sql.SQL("{}::{}").format(sql.Identifier(column), sql.SQL(kind))  # type: ignore[arg-type, unused-ignore]
    try:
        with session.transaction():
            session.execute(sql.SQL("SELECT count({}) FROM {}").format(value, staging))
    except psycopg.DataError:
        return False
    return True


def cast(session: Session, staging: sql.Identifier, types: dict[str, str]) -> None:
    """Give the columns of staging their types."""
    changes = [
        sql.SQL("ALTER COLUMN {name} TYPE {kind} USING {name}::{kind}").format(
            name=sql.Identifier(column),
            kind=sql.SQL(kind),  # type: ignore[arg-type, unused-ignore]
        )
        for column, kind in types.items()
        if kind != "text"
    ]
    if changes:
        session.execute(sql.SQL("ALTER TABLE {} {}").format(staging, sql.SQL(", ").join(changes)))


def _kinds(column: sql.Identifier, session: Session) -> sql.Composed:
    cases = []
    for kind, (shape, type_) in _SHAPES.items():
        condition = sql.SQL("{} ~ {}").format(column, sql.Literal(shape))
        if type_ and server_version(session) >= 16:
            condition += sql.SQL(" AND pg_input_is_valid({}, {})").format(column, sql.Literal(type_))
        cases.append(sql.SQL("WHEN {} THEN {}").format(condition, sql.Literal(kind)))
    return sql.SQL("bit_or(CASE WHEN {} IS NULL THEN 0 {} ELSE {} END)").format(
        column, sql.SQL(" ").join(cases), sql.Literal(_TEXT)
    )


def _type(kinds: int | None) -> str:
    if not kinds:
        return "text"
    return next((name for fits, name in _TYPES if kinds | fits == fits), "text")
