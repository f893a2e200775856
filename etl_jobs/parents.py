"""The keys of the tables that a table refers to, read from their sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from psycopg import sql

from etl_jobs.complaints import Skipped
from etl_jobs.copying import Copy, copy_text
from etl_jobs.errors import DataRejectedError, JobError, MisconfiguredError
from etl_jobs.infer import cast, infer
from etl_jobs.names import derived
from etl_jobs.places import Places
from etl_jobs.rejects import sort_out
from etl_jobs.rules import Lot
from etl_jobs.shape import shape_of
from etl_jobs.sources import Source, open_source, types_of
from etl_jobs.staging import check_header, definitions, identifiers
from etl_jobs.tables import Catalogue, Table
from etl_jobs.target import columns_of
from etl_jobs.warehouse import Session


def keys_of(name: str) -> sql.Identifier:
    """The temporary table with the keys of this table."""
    return sql.Identifier("pg_temp", derived(name, before="keys of "))


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
            made[name] = _copy_keys(session, catalogue, table, catalogue.named(name))
    return [made[r.table] for r in table.references]


def _copy_keys(session: Session, catalogue: Catalogue, child: Table, parent: Table) -> sql.Identifier:
    """The parent's source in a temporary table; columns nobody compares stay text and so cannot be wrong here.

    But where the parent's own load rejects rows, they are no parents: what it would reject by itself is left out.
    """
    keys, source = keys_of(parent.name), open_source(catalogue, parent)
    header = check_header(source, parent)
    pairs = [pair for r in child.references if r.table == parent.name for pair in zip(r.columns, r.to, strict=True)]
    kinds = {to: parent.columns.get(to, child.columns[column]) for column, to in pairs}
    if absent := [c for c in kinds if c not in header]:
        raise MisconfiguredError(f"{source.name} has no column {', '.join(map(repr, absent))}, which is referred to")
    if parent.reject_limit and parent.strategy != "slice":
        _copy_accepted(session, catalogue, parent, source, header)
    else:
        try:
            _copy(session, parent, source, header, kinds)
        except DataRejectedError as error:
            raise _undeclared(error, child, parent, kinds) from error
    session.execute(sql.SQL("ANALYZE {} ({})").format(keys, identifiers(kinds)))
    return keys


def _copy(
    session: Session, parent: Table, source: Source, header: tuple[str, ...], kinds: Mapping[str, str]
) -> tuple[Skipped, ...]:
    """All of the source; columns without one of the `kinds` become text. Returns what could not be read."""
    keys, secret, limit = keys_of(parent.name), parent.secret, parent.reject_limit
    session.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(keys))
    columns = definitions({c: kinds.get(c, "text") for c in header})
    session.execute(sql.SQL("CREATE TEMPORARY TABLE {} ({})").format(keys, columns))
    copied = copy_text(Copy(session=session, target=keys, source=source, columns=header, secret=secret, limit=limit))
    return copied.skipped


def _copy_accepted(
    session: Session, catalogue: Catalogue, parent: Table, source: Source, header: tuple[str, ...]
) -> None:
    """The rows that the parent's load does not reject, whatever its own references say."""
    keys = keys_of(parent.name)
    held = columns_of(session, sql.Identifier(catalogue.schema, parent.name))
    shape = shape_of(replace(parent, references=()), header, held, own=types_of(source))
    skipped = _copy(session, parent, source, header, shape.table.columns)
    types = infer(session, keys, shape.unknown)
    cast(session, keys, types)
    typed = replace(shape.table, columns=shape.table.columns | types)
    places = Places(source, unread=tuple(s.number for s in skipped if s.number))
    sort_out(Lot(session=session, table=typed, staging=keys, parents=()), places=places, already=len(skipped))


def _undeclared(error: DataRejectedError, child: Table, parent: Table, kinds: Mapping[str, str]) -> JobError:
    """A value that does not fit a type which only the child has is nobody's fault but the catalogue's."""
    if ", column " not in error.message or all(column in parent.columns for column in kinds):
        return error
    return MisconfiguredError(
        f"table {child.name!r} refers to {parent.name!r}, and nobody declares of which type: {error.message}",
        hint="declare the columns of both, with the same type for those that refer to each other",
    )
