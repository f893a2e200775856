"""What a staged table must fulfil: one statement counts everything at once, a failure is then shown by example."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from etl_jobs.errors import DataRejectedError, MisconfiguredError
from etl_jobs.sources import Source, open_source
from etl_jobs.staging import check_header, copy_into, definitions, identifiers
from etl_jobs.tables import Catalogue, Reference, Table
from etl_jobs.warehouse import Session

_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What is in staging. `checksum` is of all rows whatever their order, `watermark` the greatest one as text."""

    rows: int
    checksum: int
    nulls: tuple[int, ...]
    duplicates: int
    orphans: tuple[int, ...]
    watermark: str | None


def count_problems(session: Session, staging: sql.Composable, table: Table, parents: Sequence[sql.Composable]) -> Found:
    """Count rows, nulls, surplus rows of a key and orphans of every reference in one statement.

    `parents` are the relations with the parents' keys, in the order of `table.references`.
    """
    try:
        row = session.execute(_counting(staging, table, parents)).fetchone()
    except psycopg.errors.UndefinedFunction as error:
        raise MisconfiguredError(
            f"table {table.name!r}: {error.diag.message_primary}",
            hint="columns that refer to each other need comparable types, and every type must have equality",
        ) from error
    assert row is not None
    rows, total, duplicates, watermark, *counts = row
    nulls, orphans = counts[: len(table.never_null)], counts[len(table.never_null) :]
    return Found(
        rows=rows,
        checksum=int(total),
        nulls=tuple(nulls),
        duplicates=duplicates,
        orphans=tuple(orphans),
        watermark=watermark,
    )


def _counting(staging: sql.Composable, table: Table, parents: Sequence[sql.Composable]) -> sql.Composed:
    """Rows, checksum, surplus rows, greatest watermark, then nulls per column and orphans per reference."""
    greatest = sql.SQL("max({})").format(sql.Identifier("s", table.watermark)) if table.watermark else sql.SQL("NULL")
    counts = [sql.SQL("count(*)"), _checksum(table.columns), _surplus(staging, table), greatest + sql.SQL("::text")]
    counts += [sql.SQL("count(*) - count({})").format(sql.Identifier("s", c)) for c in table.never_null]
    joins = []
    for number, (reference, parent) in enumerate(zip(table.references, parents, strict=True)):
        alias = f"parent {number}"
        joins.append(_parent_join(reference, parent, alias))
        counts.append(sql.SQL("count(*) FILTER (WHERE {})").format(_is_orphan(reference, alias)))
    return sql.SQL("SELECT {} FROM {} AS s {}").format(sql.SQL(", ").join(counts), staging, sql.SQL(" ").join(joins))


def whole(session: Session, relation: sql.Identifier, columns: Iterable[str]) -> tuple[int, int]:
    """How many rows a relation has, and the checksum of these columns."""
    row = session.execute(sql.SQL("SELECT count(*), {} FROM {} AS s").format(_checksum(columns), relation)).fetchone()
    return (row[0], int(row[1])) if row else (0, 0)


def _checksum(columns: Iterable[str]) -> sql.Composed:
    """An SQL aggregate over the columns of `s`; the order of rows does not matter."""
    return sql.SQL("coalesce(sum(hash_record_extended(ROW({}), 0)), 0)").format(identifiers(columns, of="s"))


def _surplus(staging: sql.Composable, table: Table) -> sql.Composable:
    """How many rows there are beyond the first of every key."""
    if not table.key:
        return sql.SQL("0::bigint")
    return sql.SQL(
        "(SELECT coalesce(sum(n - 1), 0)::bigint FROM (SELECT count(*) AS n FROM {} AS s GROUP BY {}) AS keys)"
    ).format(staging, identifiers(table.key))


def _parent_join(reference: Reference, parent: sql.Composable, alias: str) -> sql.Composed:
    pairs = zip(reference.columns, reference.to, strict=True)
    return sql.SQL("LEFT JOIN (SELECT DISTINCT {}, true AS {} FROM {} AS p) AS {} ON {}").format(
        identifiers(reference.to),
        sql.Identifier("is there"),
        parent,
        sql.Identifier(alias),
        sql.SQL(" AND ").join(
            sql.SQL("{} = {}").format(sql.Identifier("s", child), sql.Identifier(alias, to)) for child, to in pairs
        ),
    )


def _is_orphan(reference: Reference, alias: str) -> sql.Composed:
    filled = [sql.SQL("{} IS NOT NULL").format(sql.Identifier("s", c)) for c in reference.columns]
    absent = sql.SQL("{} IS NULL").format(sql.Identifier(alias, "is there"))
    return sql.SQL(" AND ").join([*filled, absent])


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
    copy_into(session, keys, source, header)
    session.execute(sql.SQL("ANALYZE {} ({})").format(keys, identifiers(sorted(wanted))))
    return keys


def reject_problems(
    session: Session,
    staging: sql.Identifier,
    table: Table,
    parents: Sequence[sql.Composable],
    *,
    found: Found,
    source: Source,
) -> None:
    """Raise one DataRejectedError that lists every failed check with its first rows; pass where there is none."""
    said = []
    if found.rows < table.min_rows:
        said.append(f"{found.rows} rows, expected at least {table.min_rows} (min_rows)")
    for column, nulls in zip(table.never_null, found.nulls, strict=True):
        if nulls:
            condition = sql.SQL("{} IS NULL").format(sql.Identifier("s", column))
            shown = _examples(session, staging, condition, (), source)
            said.append(f"column {column!r}: {nulls} empty, but it is required: {shown}")
    if found.duplicates and table.identity:
        shown = _examples(session, staging, _repeated(staging, table), table.key, source)
        said.append(f"key ({', '.join(table.key)}): {found.duplicates} rows too many: {shown}")
    for reference, parent, orphans in zip(table.references, parents, found.orphans, strict=True):
        if orphans and reference.orphans == "fail":
            join = _parent_join(reference, parent, "p")
            shown = _examples(session, staging, _is_orphan(reference, "p"), reference.columns, source, join=join)
            columns = ", ".join(reference.columns)
            said.append(f"column {columns}: {orphans} rows refer to no {reference.table}: {shown}")
    if said:
        raise DataRejectedError("\n".join(f"{source.name}: {s}" for s in said), hint="the table is as it was")


def _repeated(staging: sql.Identifier, table: Table) -> sql.Composed:
    return sql.SQL("({}) IN (SELECT {} FROM {} GROUP BY {} HAVING count(*) > 1)").format(
        identifiers(table.key, of="s"),
        identifiers(table.key),
        staging,
        identifiers(table.key),
    )


def _examples(
    session: Session,
    staging: sql.Identifier,
    condition: sql.Composable,
    columns: tuple[str, ...],
    source: Source,
    *,
    join: sql.Composable | None = None,
) -> str:
    """The first bad rows with their place in the source: staging lies in the source's order."""
    values = sql.SQL("ROW({})::text").format(identifiers(columns, of="s")) if columns else sql.SQL("''")
    statement = sql.SQL(
        "SELECT s.{n}, {} FROM (SELECT row_number() OVER () AS {n}, * FROM {}) AS s {} WHERE {} ORDER BY 1 LIMIT {}"
    ).format(values, staging, join or sql.SQL(""), condition, sql.Literal(_SHOWN), n=sql.Identifier("record no"))
    with session.transaction():
        session.execute("SET LOCAL synchronize_seqscans = off")
        rows = session.execute(statement).fetchall()
    return "; ".join(f"{source.place(record=n)}{' ' + text if text else ''}" for n, text in rows)
