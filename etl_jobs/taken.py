"""Whether a target has taken what was written to it: its triggers and rules may keep rows away without a word."""

from __future__ import annotations

from psycopg import sql

from etl_jobs.errors import DataRejectedError, UnavailableError
from etl_jobs.warehouse import Session

_KEEPERS = """
    SELECT 'trigger ' || tgname FROM pg_trigger WHERE tgrelid = to_regclass(%(target)s) AND NOT tgisinternal
    UNION ALL SELECT 'rule ' || rulename FROM pg_rewrite WHERE ev_class = to_regclass(%(target)s)
    UNION ALL SELECT 'policy ' || polname FROM pg_policy WHERE polrelid = to_regclass(%(target)s) ORDER BY 1
"""
_HAS_CHILDREN = "SELECT relkind = 'r' AND relhassubclass FROM pg_class WHERE oid = to_regclass(%s)"


def keepers(session: Session, target: sql.Identifier) -> list[str]:
    """What of the table may keep rows away."""
    return [what for (what,) in session.execute(_KEEPERS, {"target": target.as_string(session)}).fetchall()]


def refuse_kept_away(session: Session, target: sql.Identifier, *, done: int, wanted: int, what: str) -> None:
    """Raise where fewer rows were `what`, a participle, than there were to be.

    That is a DataRejectedError where something of the table may have done so, else an UnavailableError.
    """
    if done == wanted:
        return
    shown = target.as_string(session)
    if found := keepers(session, target):
        raise DataRejectedError(
            f"{wanted - done:,} of {wanted:,} rows were not {what} in {shown},"
            f" which has something that may keep rows away: {', '.join(found)}",
            hint="the table is as it was; drop what keeps them away, or load into another table",
        )
    raise interfered(session, target)


def interfered(session: Session, target: sql.Identifier) -> UnavailableError:
    """Rows that were there, or were not, are no longer so."""
    shown = target.as_string(session)
    return UnavailableError(f"somebody else added or removed rows of {shown} while it was loaded", hint="try again")


def routes(session: Session, target: sql.Identifier) -> bool:
    """Whether a trigger may have put the rows into tables that inherit from this one: there they belong to it."""
    row = session.execute(_HAS_CHILDREN, [target.as_string(session)]).fetchone()
    return bool(row and row[0])
