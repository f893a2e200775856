"""The keys of the tables that a table refers to, read from their sources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from psycopg import sql

from etl_jobs.ancestors import ancestors, deciding, judged
from etl_jobs.checks import Found
from etl_jobs.complaints import Skipped
from etl_jobs.copying import Copy, copy_text
from etl_jobs.errors import DataRejectedError, JobError, MisconfiguredError
from etl_jobs.infer import cast, infer
from etl_jobs.judging import Judged, settle
from etl_jobs.names import derived
from etl_jobs.places import Places
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


def judge_with_parents(catalogue: Catalogue, own: Judged, *, whole: bool) -> Found:
    """Settle the rows of a table, and say what is found in them. Its parents are looked up in their *sources*.

    So a table can be checked before, after or beside the load of its parent. What the parent's own load would reject
    is no parent. A table on which its own parents depend is read again, but where staging has the `whole` of it.
    """
    table, groups = own.lot.table, ancestors(catalogue, own.lot.table)
    relations: dict[str, sql.Composable] = {table.name: own.lot.staging} if whole else {}
    others = [catalogue.named(name) for group in groups for name in group if name not in relations]
    relations |= {parent.name: keys_of(parent.name) for parent in others}
    members = _read(catalogue, own.lot, others, relations)
    own.lot = replace(own.lot, parents=[relations[r.table] for r in table.references])
    if whole and judged(table):
        members[table.name] = own
    for group in groups:
        settle([members[name] for name in group if name in members])
    if groups and table.name not in groups[-1]:
        own.found = None  # it may be of parents that were not settled yet
    (found,) = settle([own])
    return found


def _read(
    catalogue: Catalogue, lot: Lot, others: Sequence[Table], relations: Mapping[str, sql.Composable]
) -> dict[str, Judged]:
    """Read the sources of the others into temporary tables. Returns those of them that are to be judged."""
    members = {p.name: _read_judged(lot.session, catalogue, p, relations) for p in others if judged(p)}
    children = [lot.table, *(member.lot.table for member in members.values())]
    for parent in others:
        if member := members.get(parent.name):
            _refuse_absent(parent, member.lot.table.columns, children, source=member.places.name)
        else:
            _read_all(lot.session, catalogue, parent, children)
        columns = identifiers(_kinds(parent, children))
        lot.session.execute(sql.SQL("ANALYZE {} ({})").format(keys_of(parent.name), columns))
    return members


def _kinds(parent: Table, children: Sequence[Table]) -> dict[str, str]:
    """The columns that are referred to, with their types: the parent's, else those of who refers to them first."""
    pairs = [
        (to, child.columns[column])
        for child in reversed(children)
        for r in child.references
        if r.table == parent.name
        for column, to in zip(r.columns, r.to, strict=True)
    ]
    return {to: parent.columns.get(to, kind) for to, kind in pairs}


def _refuse_absent(parent: Table, columns: Iterable[str], children: Sequence[Table], *, source: str) -> None:
    if absent := [c for c in _kinds(parent, children) if c not in columns]:
        raise MisconfiguredError(f"{source} has no column {', '.join(map(repr, absent))}, which is referred to")


def _read_all(session: Session, catalogue: Catalogue, parent: Table, children: Sequence[Table]) -> None:
    """The parent's source in a temporary table; columns nobody compares stay text and so cannot be wrong here."""
    source, kinds = open_source(catalogue, parent), _kinds(parent, children)
    header = check_header(source, parent)
    _refuse_absent(parent, header, children, source=source.name)
    try:
        _copy(session, parent, source, header, kinds)
    except DataRejectedError as error:
        child = next(child for child in children if any(r.table == parent.name for r in child.references))
        raise _undeclared(error, child, parent, kinds) from error


def _read_judged(
    session: Session, catalogue: Catalogue, parent: Table, relations: Mapping[str, sql.Composable]
) -> Judged:
    """The parent's source in a temporary table, with the types that its own load would give it."""
    keys, source, parent = keys_of(parent.name), open_source(catalogue, parent), deciding(parent)
    header = check_header(source, parent)
    held = columns_of(session, sql.Identifier(catalogue.schema, parent.name))
    shape = shape_of(parent, header, held, own=types_of(source))
    skipped = _copy(session, parent, source, header, shape.table.columns)
    types = infer(session, keys, shape.unknown)
    cast(session, keys, types)
    typed = replace(shape.table, columns=shape.table.columns | types)
    parents = [relations[r.table] for r in typed.references]
    places = Places(source, unread=tuple(s.number for s in skipped if s.number))
    lot = Lot(session=session, table=typed, staging=keys, parents=parents)
    return Judged(lot=lot, places=places, count=len(skipped))


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


def _undeclared(error: DataRejectedError, child: Table, parent: Table, kinds: Mapping[str, str]) -> JobError:
    """A value that does not fit a type which only the child has is nobody's fault but the catalogue's."""
    if ", column " not in error.message or all(column in parent.columns for column in kinds):
        return error
    return MisconfiguredError(
        f"table {child.name!r} refers to {parent.name!r}, and nobody declares of which type: {error.message}",
        hint="declare the columns of both, with the same type for those that refer to each other",
    )
