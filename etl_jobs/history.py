"""A target that keeps every version of a row: since when it held, until when, and whether it still does."""

from __future__ import annotations

from psycopg import sql

from etl_jobs.changes import Change, Changed, differ, equal
from etl_jobs.staging import identifiers
from etl_jobs.warehouse import Session

# An instant later than every one in the table, also when the clock went back.
_SET_INSTANT = (
    "SELECT set_config('etl.instant',"
    " greatest(now(), greatest(max(valid_from), max(valid_to)) + interval '1 microsecond')::text, true) FROM {}"
)
_INSTANT = sql.SQL("(SELECT current_setting('etl.instant')::timestamptz)")
_CLOSE = (
    "WITH closed AS (UPDATE {target} AS t SET valid_to = {instant}, is_current = false"
    " WHERE t.is_current AND NOT EXISTS (SELECT FROM {staging} AS s WHERE {same_key}{same_values})"
    " RETURNING {key})"
    " SELECT count(*), count({one_of_key}) FROM closed LEFT JOIN {staging} AS s ON {same_key_closed}"
)
_OPEN = (
    "INSERT INTO {target} ({columns}, valid_from, valid_to, is_current)"
    " SELECT {values}, {instant}, NULL, true FROM {staging} AS s"
    " WHERE NOT EXISTS (SELECT FROM {target} AS t WHERE t.is_current AND {same_key})"
)


def keep_history(session: Session, change: Change) -> Changed:
    """Close the versions that are no longer so, open those that are new; equal rows stay untouched.

    A version holds from `valid_from` until before `valid_to`. A row that vanished from the source is closed
    and counts as deleted; one that comes back opens a new version.
    """
    session.execute(sql.SQL(_SET_INSTANT).format(change.target))
    same = sql.SQL(" AND NOT ({})").format(differ(change.others, "t", "s")) if change.others else sql.SQL("")
    closed = session.execute(
        sql.SQL(_CLOSE).format(
            target=change.target,
            staging=change.staging,
            instant=_INSTANT,
            key=identifiers(change.key, of="t"),
            same_key=equal(change.key, "t", "s"),
            same_values=same,
            one_of_key=sql.Identifier("s", change.key[0]),
            same_key_closed=equal(change.key, "closed", "s"),
        )
    ).fetchone()
    assert closed is not None
    opened = session.execute(
        sql.SQL(_OPEN).format(
            target=change.target,
            staging=change.staging,
            instant=_INSTANT,
            columns=identifiers(change.columns),
            values=identifiers(change.columns, of="s"),
            same_key=equal(change.key, "t", "s"),
        )
    ).rowcount
    return Changed(inserted=opened - closed[1], updated=closed[1], deleted=closed[0] - closed[1])
