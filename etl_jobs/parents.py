"""The keys of the tables that a table refers to, read from their sources."""

from __future__ import annotations

from psycopg import sql

from etl_jobs.sources import open_source
from etl_jobs.staging import check_header, copy_into, definitions, identifiers
from etl_jobs.tables import Catalogue, Table
from etl_jobs.warehouse import Session


def parents_keys(
    session: Session, catalogue: Catalogue, table: Table, staging: sql.Identifier, *, whole: bool
) -> list[sql.Identifier]:
    """For every reference the relation that holds the parent's keys: the parent's *source*, read again.

    So a table can be checked before, after or beside the load of its parent. A table that refers to itself
    is its own parent where staging has the `whole` of it.
    """
    made: dict[str, sql.Identifier] = {}
    for reference in table.references:
        name = reference.table
        if name == table.name and whole:
            made[name] = staging
        elif name not in made:
            wanted = {c for r in table.references if r.table == name for c in r.to}
            made[name] = _copy_keys(session, catalogue, catalogue.named(name), wanted)
    return [made[r.table] for r in table.references]


def _copy_keys(session: Session, catalogue: Catalogue, parent: Table, wanted: set[str]) -> sql.Identifier:
    """The parent's source in a temporary table; columns nobody compares stay text and so cannot be wrong here."""
    keys = sql.Identifier("pg_temp", f"keys of {parent.name}"[:63])
    kinds = {c: kind if c in wanted else "text" for c, kind in parent.columns.items()}
    source = open_source(catalogue, parent)
    header = check_header(source, parent)
    session.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(keys))
    session.execute(sql.SQL("CREATE TEMPORARY TABLE {} ({})").format(keys, definitions(kinds)))
    copy_into(session, keys, source, header, skipped=[] if parent.reject_limit else None, secret=parent.secret)
    session.execute(sql.SQL("ANALYZE {} ({})").format(keys, identifiers(sorted(wanted))))
    return keys
