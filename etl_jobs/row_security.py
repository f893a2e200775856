"""Row level security of a target: who sees only some of its rows would load what is there once more."""

from __future__ import annotations

from psycopg import sql

from etl_jobs.errors import MisconfiguredError
from etl_jobs.warehouse import Session

# Policies that let a role do everything with every row leave nothing out.
_APPLIES = """
    WITH target AS (
        SELECT oid, pg_has_role(relowner, 'USAGE') AS ours FROM pg_class WHERE oid = to_regclass(%s)
    ), policy AS (
        SELECT p.*, pg_get_expr(polqual, polrelid) AS qual, pg_get_expr(polwithcheck, polrelid) AS new
        FROM target JOIN pg_policy p ON polrelid = target.oid
        WHERE EXISTS (SELECT FROM unnest(polroles) AS role WHERE role = 0 OR pg_has_role(role, 'USAGE'))
    )
    SELECT ours, quote_ident(current_user) FROM target
    WHERE row_security_active(oid) AND (
        EXISTS (SELECT FROM policy WHERE NOT polpermissive)
        OR EXISTS (SELECT FROM unnest('{r,a,w,d}'::"char"[]) AS command WHERE NOT EXISTS (
            SELECT FROM policy WHERE polcmd IN ('*', command) AND (command = 'a' OR qual = 'true')
                AND (command IN ('r', 'd') OR coalesce(new, qual) = 'true')
        ))
    )
"""


def refuse_row_security(session: Session, relation: sql.Identifier, *, table: str) -> None:
    """Raise MisconfiguredError where our role may not see or change every row of the table."""
    shown = relation.as_string(session)
    row = session.execute(_APPLIES, [shown]).fetchone()
    if row is None:
        return
    ours, role = row
    cure = f"ALTER TABLE {shown} NO FORCE ROW LEVEL SECURITY;" if ours else f"ALTER TABLE {shown} OWNER TO {role};"
    raise MisconfiguredError(
        f"table {table!r}: row level security of {shown} applies to the role {role}, which would not see all its rows",
        hint=f"run: ALTER ROLE {role} BYPASSRLS;  or: {cure}  or, if nothing restricts that:"
        f" CREATE POLICY etl ON {shown} TO {role} USING (true) WITH CHECK (true);",
    )
