"""A target that keeps every version of a row: since when it held, until when, and whether it still does."""

from __future__ import annotations

from psycopg import sql

from etl_jobs.changes import DIFFERENCES, IS_THERE, WAS_THERE, Change, Changed, counted, equal, find_differences
from etl_jobs.checksums import compared, row_hash
from etl_jobs.staging import identifiers
from etl_jobs.tables import HISTORY
from etl_jobs.taken import refuse_kept_away
from etl_jobs.warehouse import Session

# An instant later than every one in the table, also when the clock went back.
_SET_INSTANT = (
    "SELECT set_config('etl.instant',"
    " greatest(now(), greatest(max(valid_from), max(valid_to)) + interval '1 microsecond')::text, true) FROM {}"
)
_INSTANT = sql.SQL("(SELECT current_setting('etl.instant')::timestamptz)")
_CLOSE = (
    "WITH closed AS (UPDATE {target} AS t SET valid_to = {instant}, is_current = false FROM {differences} AS d"
    " WHERE t.is_current AND d.{was_there} AND {same_key}"
    " RETURNING d.{is_there} AS stays, {hash}::numeric - {hash_before} AS grown)"
    " SELECT count(*), count(*) FILTER (WHERE stays), coalesce(sum(grown), 0) FROM closed"
)
_OPEN = (
    "WITH opened AS (INSERT INTO {target} AS t ({columns}, valid_from, valid_to, is_current)"
    " SELECT {columns}, {instant}, NULL, true FROM {differences} AS d WHERE d.{is_there} RETURNING {hash} AS grown)"
    " SELECT count(*), coalesce(sum(grown), 0) FROM opened"
)


def keep_history(session: Session, change: Change) -> Changed:
    """Close the versions that are no longer so, open those that are new; equal rows stay untouched.

    A version holds from `valid_from` until before `valid_to`. A row that vanished from the source is closed
    and counts as deleted; one that comes back opens a new version.
    """
    session.execute(sql.SQL(_SET_INSTANT).format(change.target))
    current = sql.SQL("(SELECT * FROM {} WHERE is_current)").format(change.target)
    find_differences(session, change, held=current, gone=sql.SQL("true"))
    values = {
        "target": change.target,
        "differences": DIFFERENCES,
        "instant": _INSTANT,
        "columns": identifiers(change.columns),
        "same_key": equal(change.key, "t", "d"),
        "was_there": WAS_THERE,
        "is_there": IS_THERE,
        "hash": row_hash({**change.columns, **HISTORY}, of="t"),
        "hash_before": sql.SQL("hash_record_extended(ROW({}, t.valid_from, NULL::timestamptz, true), 0)").format(
            compared(change.columns, of="t")
        ),
    }
    new, other, old = counted(session)
    closed = session.execute(sql.SQL(_CLOSE).format(**values)).fetchone()
    assert closed is not None
    refuse_kept_away(session, change.target, done=closed[0], wanted=other + old, what="updated")
    opened = session.execute(sql.SQL(_OPEN).format(**values)).fetchone()
    assert opened is not None
    refuse_kept_away(session, change.target, done=opened[0], wanted=new + other, what="inserted")
    changed = closed[1]
    return Changed(
        inserted=opened[0] - changed,
        updated=changed,
        deleted=closed[0] - changed,
        grown=(opened[0], int(closed[2] + opened[1])),
    )
