"""Replacing a table by one that was filled beside it: an exclusive lock for a moment, nothing of the old one lost."""

from __future__ import annotations

from pathlib import Path

from psycopg import sql

from etl_jobs.changes import Change, Changed
from etl_jobs.errors import MisconfiguredError
from etl_jobs.warehouse import Session, lock_alone

_CARRY = Path(__file__).with_name("carry.sql")
_DEPENDENTS = Path(__file__).with_name("dependents.sql")


def refuse_dependents(session: Session, target: sql.Identifier) -> None:
    """Raise MisconfiguredError that names everything a swap would leave behind on the old table."""
    shown = target.as_string(session)
    found = session.execute(_DEPENDENTS.read_bytes(), {"target": shown}).fetchall()
    if found:
        raise MisconfiguredError(
            f"{shown} cannot be replaced, these depend on it: {', '.join(what for (what,) in found)}",
            hint='use strategy "snapshot", which changes the table in place, or drop them',
        )


def swap(session: Session, change: Change, *, schema: str, patience: float) -> Changed:
    """Put staging in the target's place in `schema`, inside the caller's transaction. Staging must be a logged table.

    Owner, grants, comments, options, defaults, constraints, indexes and statistics objects are carried over. Readers
    keep the old table until the commit; a lock they hold is waited for in short tries, `patience` seconds in all.
    """
    with_names = {"target": change.target.as_string(session), "beside": change.staging.as_string(session)}
    session.execute(sql.SQL("LOCK TABLE {} IN SHARE UPDATE EXCLUSIVE MODE").format(change.target))
    refuse_dependents(session, change.target)
    statements = session.execute(_CARRY.read_bytes(), with_names).fetchall()
    for _, late, statement in statements:
        if not late:
            session.execute(statement.encode())
    changed = Changed(inserted=_count(session, change.staging), deleted=_count(session, change.target))
    lock_alone(session, change.target, patience=patience)
    session.execute(sql.SQL("DROP TABLE {}").format(change.target))
    session.execute(sql.SQL("ALTER TABLE {} SET SCHEMA {}").format(change.staging, sql.Identifier(schema)))
    for _, late, statement in statements:
        if late:
            session.execute(statement.encode())
    return changed


def _count(session: Session, relation: sql.Identifier) -> int:
    row = session.execute(sql.SQL("SELECT count(*) FROM {}").format(relation)).fetchone()
    return int(row[0]) if row else 0
