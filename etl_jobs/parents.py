"""The keys of the tables that a table refers to, read from their sources."""

from __future__ import annotations

from collections.abc import Mapping

from psycopg import sql

from etl_jobs.errors import MisconfiguredError
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
            parent = catalogue.named(name)
            pairs = [pair for r in table.references if r.table == name for pair in zip(r.columns, r.to, strict=True)]
            kinds = {to: parent.columns.get(to, table.columns[column]) for column, to in pairs}
            made[name] = _copy_keys(session, catalogue, parent, kinds)
    return [made[r.table] for r in table.references]


def _copy_keys(session: Session, catalogue: Catalogue, parent: Table, kinds: Mapping[str, str]) -> sql.Identifier:
    """The parent's source in a temporary table; columns nobody compares stay text and so cannot be wrong here.

    `kinds` are the types of those that are compared: as declared, else as those of the child.
    """
    keys = sql.Identifier("pg_temp", f"keys of {parent.name}"[:63])
    source = open_source(catalogue, parent)
    header = check_header(source, parent)
    if absent := [c for c in kinds if c not in header]:
        raise MisconfiguredError(f"{source.name} has no column {', '.join(map(repr, absent))}, which is referred to")
    columns = definitions({c: kinds.get(c, "text") for c in header})
    session.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(keys))
    session.execute(sql.SQL("CREATE TEMPORARY TABLE {} ({})").format(keys, columns))
    limit = parent.reject_limit
    copy_into(session, keys, source, header, skipped=[] if limit else None, limit=limit, secret=parent.secret)
    session.execute(sql.SQL("ANALYZE {} ({})").format(keys, identifiers(kinds)))
    return keys
