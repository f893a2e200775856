"""Changes to a target whose rows may repeat: nothing tells them apart, so they are counted."""

from __future__ import annotations

from psycopg import sql

from etl_jobs.changes import Change, Changed
from etl_jobs.checksums import comparable, compared, original
from etl_jobs.names import own
from etl_jobs.staging import identifiers
from etl_jobs.taken import refuse_kept_away, routes
from etl_jobs.warehouse import Session

_COPIES = sql.Identifier(own("copies of it"))


def replace_rows(session: Session, change: Change, *, part: sql.Composable | None = None) -> Changed:
    """Delete, then insert, only what differs between staging and the target's `part`; rows may repeat."""
    columns, values = identifiers(change.columns), comparable(change.columns)
    old = sql.SQL("SELECT {} FROM {} WHERE {}").format(values, change.target, part or sql.SQL("true"))
    new = sql.SQL("SELECT {} FROM {}").format(values, change.staging)
    fresh, gone = sql.Identifier("pg_temp", "fresh rows"), sql.Identifier("pg_temp", "gone rows")
    vanished = sql.SQL("SELECT {}, count(*) AS {} FROM ({} EXCEPT ALL {}) AS d GROUP BY {}")
    wanted = _keep(session, fresh, sql.SQL("{} EXCEPT ALL {}").format(new, old))
    _keep(session, gone, vanished.format(columns, _COPIES, old, new, columns))
    deleted = _delete_copies(session, change, gone)
    back = original(change.columns)
    insert = sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {}").format(change.target, columns, back, fresh)
    insert_all(session, change, insert, wanted=wanted)
    return Changed(inserted=wanted, deleted=deleted)


def insert_all(session: Session, change: Change, statement: sql.Composed, *, wanted: int) -> None:
    """Insert rows that nothing tells apart; raises where not all of them are there then."""
    inserted = session.execute(statement).rowcount
    if inserted != wanted and not routes(session, change.target):
        refuse_kept_away(session, change.target, done=inserted, wanted=wanted, what="inserted")


def _keep(session: Session, name: sql.Identifier, rows: sql.Composed) -> int:
    return session.execute(sql.SQL("CREATE TEMPORARY TABLE {} ON COMMIT DROP AS {}").format(name, rows)).rowcount


def _delete_copies(session: Session, change: Change, gone: sql.Identifier) -> int:
    """Of every row in `gone` as many copies as it says. The hash lets the server join rows that hold nulls."""
    if session.execute(sql.SQL("SELECT FROM {} LIMIT 1").format(gone)).fetchone() is None:
        return 0
    values = compared(change.columns, of="k")
    kept, lost = (sql.SQL("ROW({})").format(of) for of in (values, identifiers(change.columns, of="g")))
    statement = sql.SQL(
        "DELETE FROM {target} AS t USING ("
        "SELECT k.tableoid AS piece, k.ctid AS place,"
        " row_number() OVER (PARTITION BY {columns}) AS nth, g.{copies} AS copies"
        " FROM {target} AS k JOIN {gone} AS g ON hash_record_extended({kept}, 0) = hash_record_extended({lost}, 0)"
        " AND {kept} IS NOT DISTINCT FROM {lost}) AS d"
        " WHERE t.tableoid = d.piece AND t.ctid = d.place AND d.nth <= d.copies"
    ).format(
        target=change.target,
        gone=gone,
        columns=values,
        copies=_COPIES,
        kept=kept,
        lost=lost,
    )
    deleted = session.execute(statement).rowcount
    row = session.execute(sql.SQL("SELECT sum({})::bigint FROM {}").format(_COPIES, gone)).fetchone()
    refuse_kept_away(session, change.target, done=deleted, wanted=row[0] if row else 0, what="deleted")
    return deleted
