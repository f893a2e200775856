"""Replacing a table by one that was filled beside it: an exclusive lock for a moment, nothing of the old one lost."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import psycopg
from psycopg import sql

from etl_jobs.changes import Change, Changed
from etl_jobs.errors import MisconfiguredError, UnavailableError
from etl_jobs.names import derived
from etl_jobs.tables import Catalogue
from etl_jobs.warehouse import Session, lock_alone

_CARRY = Path(__file__).with_name("carry.sql")
_DEPENDENTS = Path(__file__).with_name("dependents.sql")
_VIEWS = Path(__file__).with_name("views.sql")


class _View(NamedTuple):
    """How a view looks at the table: statements that have it for us alone, empty it, and give it its query back."""

    name: str
    lock: str
    let_go: str
    take_up: str


def refuse_dependents(session: Session, target: sql.Identifier) -> None:
    """Raise MisconfiguredError that names everything a swap would leave behind on the old table."""
    shown = target.as_string(session)
    found = session.execute(_DEPENDENTS.read_bytes(), {"target": shown}).fetchall()
    if found:
        raise MisconfiguredError(
            f"{shown} cannot be replaced, these depend on it: {', '.join(what for (what,) in found)}",
            hint='use strategy "snapshot", which changes the table in place, or drop them',
        )


def swap(session: Session, change: Change, *, catalogue: Catalogue, name: str, patience: float) -> Changed:
    """Put staging in the target's place, inside the caller's transaction. Staging must be a logged table.

    Owner, grants, comments, options, defaults, constraints, indexes and statistics objects are carried over. Views stay
    what they are and look at the new table: they are given an empty query for a moment, in which nobody can see them.
    Readers keep the old table until the commit; their locks are waited for in short tries, `patience` seconds in all.
    """
    with_names = {"target": change.target.as_string(session), "beside": change.staging.as_string(session)}
    session.execute(sql.SQL("LOCK TABLE {} IN SHARE UPDATE EXCLUSIVE MODE").format(change.target))
    refuse_dependents(session, change.target)
    statements = session.execute(_CARRY.read_bytes(), with_names).fetchall()
    _run(session, [statement for _, late, statement in statements if not late])
    changed = Changed(inserted=_count(session, change.staging), deleted=_count(session, change.target))
    views = _have_alone(session, change.target, patience=patience)
    _run(session, [view.let_go for view in views])
    session.execute(sql.SQL("DROP TABLE {}").format(change.target))
    for statement in moving(catalogue, name):
        session.execute(statement)
    _run(session, [statement for _, late, statement in statements if late])
    _run(session, [view.take_up for view in reversed(views)])
    return changed


def moving(catalogue: Catalogue, name: str) -> list[sql.Composed]:
    """The statements that take the table from staging into the catalogue's schema, where there is none of this name.

    It is called otherwise on the way: only with a new name it gets a free one for the type of arrays of its rows. That
    is the table's own with a "_" before it, and may be another table's.
    """
    way = derived(name, before="moving ")
    steps = [
        (sql.Identifier(catalogue.staging_schema, name), "RENAME TO", way),
        (sql.Identifier(catalogue.staging_schema, way), "SET SCHEMA", catalogue.schema),
        (sql.Identifier(catalogue.schema, way), "RENAME TO", name),
    ]
    return [sql.SQL("ALTER TABLE {} {} {}").format(at, sql.SQL(what), sql.Identifier(to)) for at, what, to in steps]


def _have_alone(session: Session, target: sql.Identifier, *, patience: float) -> list[_View]:
    """Lock the table and the views that look at it, and only then read what these are; those on others come first."""
    with session.transaction(force_rollback=True):  # to be read, queries take locks of their own
        locks = {view.name: view.lock for view in _views(session, target)}
    changed = UnavailableError(f"the views on {target.as_string(session)} have just been changed", hint="try again")
    try:
        lock_alone(session, target, patience=patience, first=list(locks.values()))
    except psycopg.errors.UndefinedTable as error:
        raise changed from error
    views = _views(session, target)
    if {view.name for view in views} != set(locks):
        raise changed
    return views


def _views(session: Session, target: sql.Identifier) -> list[_View]:
    rows = session.execute(_VIEWS.read_bytes(), {"target": target.as_string(session)}).fetchall()
    return [_View(*row) for row in rows]


def _run(session: Session, statements: list[str]) -> None:
    for statement in statements:
        session.execute(statement.encode())


def _count(session: Session, relation: sql.Identifier) -> int:
    row = session.execute(sql.SQL("SELECT count(*) FROM {}").format(relation)).fetchone()
    return int(row[0]) if row else 0
