"""Does the warehouse hold what the sources said? Row counts, a checksum and the references, table by table."""

from __future__ import annotations

from dataclasses import dataclass, replace

from psycopg import sql

from etl_jobs.checks import Found, count_problems
from etl_jobs.checksums import whole
from etl_jobs.copying import Copy, copy_text
from etl_jobs.owned import exists
from etl_jobs.records import is_fresh, target_name
from etl_jobs.row_security import refuse_row_security
from etl_jobs.rules import Lot
from etl_jobs.shape import pinned_columns
from etl_jobs.sources import open_source
from etl_jobs.staging import check_header, definitions
from etl_jobs.strategies import part_of
from etl_jobs.tables import Catalogue, Table
from etl_jobs.target import columns_of, refuse_losses
from etl_jobs.warehouse import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What the last load read from its source: the part it answers for; and what the target held after it.

    `one_interval`: the part was one interval's, of which nobody knows any more which rows they are. `orphans` is None
    where nobody has counted them in this part.
    """

    rows: int
    checksum: int
    held: tuple[int, int]
    orphans: int | None
    fingerprint: str
    since: str | None
    one_interval: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One table on both sides; `differences` is empty where they agree."""

    table: str
    source_rows: int | None
    warehouse_rows: int | None
    differences: tuple[str, ...]


def compare(session: Session, catalogue: Catalogue, table: Table, *, reread: bool) -> Compared:
    """Compare the table with what its last load read, or with its source itself, read again."""
    read = _last_load(session, target_name(catalogue, table))
    if read is None:
        return Compared(table=table.name, source_rows=None, warehouse_rows=None, differences=("was never loaded",))
    missing = [n for n in (table.name, *_parents(table)) if not exists(session, sql.Identifier(catalogue.schema, n))]
    if missing:
        gone = tuple(f"{catalogue.schema}.{name} does not exist" for name in missing)
        return Compared(table=table.name, source_rows=read.rows, warehouse_rows=None, differences=gone)
    for name in (table.name, *_parents(table)):
        refuse_row_security(session, sql.Identifier(catalogue.schema, name), table=name)
    held_columns = columns_of(session, sql.Identifier(catalogue.schema, table.name))
    table = replace(table, columns=pinned_columns(table, held_columns))
    if reread and not table.reject_limit:  # what was rejected is not in the warehouse
        read = _reread(session, catalogue, table, read)
    differences, held = _differences(session, catalogue, table, read)
    fresh = is_fresh(session, target_name(catalogue, table), table)
    if not fresh and not read.one_interval and open_source(catalogue, table).fingerprint() != read.fingerprint:
        differences.insert(0, "the source has changed since it was loaded")
    return Compared(table=table.name, source_rows=read.rows, warehouse_rows=held, differences=tuple(differences))


def _differences(session: Session, catalogue: Catalogue, table: Table, read: Read) -> tuple[list[str], int]:
    """What is not as it was read, and how many rows the table holds."""
    found = []
    part = _held_part(session, catalogue, table, since=read.since)
    if table.strategy == "append" or read.one_interval:
        pass  # it holds earlier batches, or other intervals, as well
    elif part.rows > read.rows and table.strategy == "incremental":
        pass  # it keeps what the source no longer has, or what an increment has rejected since
    elif part.rows != read.rows:
        current = " current ones" if table.strategy == "scd2" else ""
        which = _which(table, read)
        found.append(f"{read.rows:,} rows{which} in the source, {part.rows:,}{current} in the warehouse")
    elif part.checksum != read.checksum:
        found.append("as many rows as in the source, but other values")
    counted = read.orphans is not None and not (read.one_interval or _skips_references(catalogue, table))
    if counted and sum(part.orphans) != read.orphans:
        found.append(f"{sum(part.orphans):,} rows refer to no parent, {read.orphans:,} when it was loaded")
    if table.strategy in {"snapshot", "replace"}:
        return found, part.rows
    rows, checksum = whole(session, sql.Identifier(catalogue.schema, table.name), table.held_columns)
    if not found and (rows, checksum) != read.held:
        found.append(f"changed outside of what was loaded: {read.held[0]:,} rows expected, {rows:,} there")
    return found, rows


def _which(table: Table, read: Read) -> str:
    """What is counted, where it is not all of the table."""
    if table.strategy == "slice":
        return " of the slice"
    return f" with {table.watermark} from {read.since} on" if table.grows and read.since is not None else ""


def _last_load(session: Session, name: str) -> Read | None:
    row = session.execute(
        "SELECT rows_in, checksum, held_rows, held_checksum, orphans, fingerprint, since,"
        ' "interval" IS NOT NULL FROM etl.load'
        " WHERE target = %s ORDER BY id DESC LIMIT 1",
        [name],
    ).fetchone()
    if row is None:
        return None
    rows, checksum, held_rows, held_checksum, orphans, fingerprint, since, one_interval = row
    return Read(
        rows=rows,
        checksum=int(checksum),
        held=(held_rows, int(held_checksum)),
        orphans=orphans,
        fingerprint=fingerprint,
        since=since,
        one_interval=one_interval,
    )


def _held_part(session: Session, catalogue: Catalogue, table: Table, *, since: str | None) -> Found:
    """The same counts as for staging, over the target's part and with the parents' targets."""
    target = sql.Identifier(catalogue.schema, table.name)
    part = part_of(table, since=since) or _current(table)
    held = sql.SQL("(SELECT * FROM {} WHERE {})").format(target, part)
    parents = [
        sql.SQL("(SELECT * FROM {} WHERE {})").format(
            sql.Identifier(catalogue.schema, r.table), _current(catalogue.named(r.table))
        )
        for r in table.references
    ]
    return count_problems(Lot(session=session, table=replace(table, checks=()), staging=held, parents=parents))


def _current(table: Table) -> sql.SQL:
    """Of a history the rows that hold now, else every row."""
    return sql.SQL("is_current" if table.strategy == "scd2" else "true")


def _reread(session: Session, catalogue: Catalogue, table: Table, read: Read) -> Read:
    """The source itself instead of what was recorded of it; of an incremental table all of it."""
    source = open_source(catalogue, table)
    header = check_header(source, table)
    target = sql.Identifier(catalogue.schema, table.name)
    refuse_losses(session, target, table, source, found=table.columns)
    again = sql.Identifier("pg_temp", "source again")
    session.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(again))
    columns = dict.fromkeys(header, "text") | table.columns  # what is new there is not looked at
    session.execute(sql.SQL("CREATE TEMPORARY TABLE {} ({})").format(again, definitions(columns)))
    part = part_of(table, since=None)
    copy_text(Copy(session=session, target=again, source=source, columns=header, secret=table.secret, part=part))
    rows, checksum = whole(session, again, table.columns)
    orphans = None if read.one_interval or read.since is not None else read.orphans
    return replace(read, rows=rows, checksum=checksum, orphans=orphans, since=None, one_interval=False)


def _parents(table: Table) -> list[str]:
    return [name for name in dict.fromkeys(r.table for r in table.references) if name != table.name]


def _skips_references(catalogue: Catalogue, table: Table) -> bool:
    """A parent of which only a slice is kept cannot answer for all its children, nor one batch for all of them."""
    return table.strategy == "append" or any(catalogue.named(r.table).strategy == "slice" for r in table.references)
