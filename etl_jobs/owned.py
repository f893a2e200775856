"""What in the warehouse is ours, and what only has the name: nothing that somebody else has made is dropped."""

from __future__ import annotations

from psycopg import sql

from etl_jobs.errors import MisconfiguredError
from etl_jobs.names import whole_name
from etl_jobs.tables import Catalogue, Table
from etl_jobs.warehouse import Session

STAGING = "Staging of a load: the next one drops it."  # the comment of our staging tables
BUILT = "Built by {}.sql."  # the comment of a mart
REJECTS = {  # the columns of a table of rejects: the type as the server writes it, and what else is said of them
    "run": ("bigint", ""),
    "job": ("text", "NOT NULL"),
    "attempt": ("integer", "NOT NULL"),
    "rejected": ("timestamp with time zone", "NOT NULL DEFAULT now()"),
    "place": ("text", "NOT NULL"),
    "reason": ("text", "NOT NULL"),
    "record": ("jsonb", "NOT NULL"),
}
_COLUMNS = """
    SELECT attname, format_type(atttypid, atttypmod) FROM pg_class c JOIN pg_attribute ON attrelid = c.oid
    WHERE c.oid = to_regclass(%s) AND relkind = 'r' AND attnum > 0 AND NOT attisdropped
"""


def exists(session: Session, relation: sql.Identifier) -> bool:
    """There is a table, view or the like of this name."""
    row = session.execute("SELECT to_regclass(%s) IS NOT NULL", [relation.as_string(session)]).fetchone()
    return bool(row and row[0])


def is_staging(session: Session, relation: sql.Identifier) -> bool:
    """The relation is a staging table that a load has made."""
    row = session.execute(
        "SELECT obj_description(to_regclass(%s), 'pg_class') = %s", [relation.as_string(session), STAGING]
    ).fetchone()
    return bool(row and row[0])


def is_rejects(session: Session, relation: sql.Identifier) -> bool:
    """The relation is a table of rejects: nobody else has just these columns."""
    found: dict[str, str] = dict(session.execute(_COLUMNS, [relation.as_string(session)]).fetchall())
    return found == {column: kind for column, (kind, _) in REJECTS.items()}


def refuse_other_mart(session: Session, schema: str, name: str) -> None:
    """Raise MisconfiguredError where something else has the name: a mart has our comment and was not loaded."""
    shown = sql.Identifier(schema, name).as_string(session)
    comment = BUILT.format(name)
    row = session.execute(
        "SELECT to_regclass(%(mart)s) IS NOT NULL"
        " AND (obj_description(to_regclass(%(mart)s), 'pg_class') IS DISTINCT FROM %(comment)s"
        " OR EXISTS (SELECT FROM etl.load WHERE target = %(target)s))",
        {"mart": shown, "comment": comment, "target": whole_name(schema, name)},
    ).fetchone()
    if row and row[0]:
        raise MisconfiguredError(
            f"mart {name!r}: {shown} exists, and was not built as a mart",
            hint=f"if nobody needs it, run: DROP TABLE {shown};  else move it: {schema!r} is for marts alone. If only"
            f" its comment was changed, run: COMMENT ON TABLE {shown} IS {sql.Literal(comment).as_string(session)};",
        )


def refuse_others(session: Session, catalogue: Catalogue, table: Table) -> None:
    """Raise MisconfiguredError where a load of the table would drop or fill what is not its own."""
    target = sql.Identifier(catalogue.schema, table.name)
    staging = sql.Identifier(catalogue.staging_schema, table.name)
    rejects = sql.Identifier(catalogue.schema, table.rejects_name)
    if is_staging(session, target):
        raise MisconfiguredError(
            f"table {table.name!r}: {target.as_string(session)} is staging of a load into another schema",
            hint=f"give the catalogue another schema than {catalogue.schema!r}",
        )
    if exists(session, staging) and not is_staging(session, staging):
        shown = staging.as_string(session)
        raise MisconfiguredError(
            f"table {table.name!r}: staging would drop {shown}, which no load has made for that",
            hint=f"if nobody needs it, run: DROP TABLE {shown};  else move it, or give the catalogue another schema:"
            f" {catalogue.staging_schema!r} is for staging alone",
        )
    if table.reject_limit and exists(session, rejects) and not is_rejects(session, rejects):
        shown = rejects.as_string(session)
        raise MisconfiguredError(
            f"table {table.name!r}: rejects: {shown} exists, and is no table of rejects",
            hint=f"give it another name: ALTER TABLE {shown} RENAME TO …;",
        )
