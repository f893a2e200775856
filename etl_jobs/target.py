"""The target table: made where it is missing, refused where it is not as the catalogue declares it."""

from __future__ import annotations

from psycopg import sql

from etl_jobs.errors import MisconfiguredError
from etl_jobs.staging import definitions, identifiers
from etl_jobs.tables import Table
from etl_jobs.warehouse import Session

_COLUMNS = """
    SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
    WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
_UNIQUE = """
    SELECT array_agg(a.attname::text) FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid
     AND a.attnum = ANY(i.indkey)
    WHERE i.indrelid = to_regclass(%s) AND i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL
    GROUP BY i.indexrelid
"""


def ensure_target(
    session: Session, target: sql.Identifier, staging: sql.Identifier, table: Table, *, name: str
) -> None:
    """Make the target, or check that an existing one has the declared columns, types and key.

    Staging is there already, with the declared types: so the server itself says what they are called.
    `name` is what watermarks call the target.
    """
    found = columns_of(session, target)
    if not found:
        _create(session, target, table, name=name)
        return
    wanted = columns_of(session, staging)
    wrong = [f"{c!r} is missing" for c in wanted if c not in found]
    wrong += [f"{c!r} is not declared" for c in found if c not in wanted]
    wrong += [f"{c!r} is {found[c]}, declared {kind}" for c, kind in wanted.items() if found.get(c, kind) != kind]
    shown = target.as_string(session)
    if wrong:
        raise MisconfiguredError(
            f"table {table.name!r}: {shown} exists with other columns: {'; '.join(wrong)}",
            hint="change the catalogue, or ALTER or DROP the table",
        )
    _check_key(session, shown, table)


def columns_of(session: Session, relation: sql.Identifier) -> dict[str, str]:
    """The relation's columns with their types as the server writes them; empty where there is none."""
    return dict(session.execute(_COLUMNS, [relation.as_string(session)]).fetchall())


def _check_key(session: Session, name: str, table: Table) -> None:
    unique = [set(columns) for (columns,) in session.execute(_UNIQUE, [name]).fetchall()]
    if table.identity and set(table.identity) not in unique:
        raise MisconfiguredError(
            f"table {table.name!r}: {name} exists without a primary key on ({', '.join(table.identity)})",
            hint=f"ALTER TABLE {name} ADD PRIMARY KEY (…), or DROP it and let the load make it",
        )
    if not table.identity and unique:
        raise MisconfiguredError(
            f"table {table.name!r}: {name} has a unique index, but the catalogue lets rows repeat",
            hint='declare the key with duplicates = "fail", or drop the table\'s primary key',
        )


def _create(session: Session, target: sql.Identifier, table: Table, *, name: str) -> None:
    parts: list[sql.Composable] = [definitions(table.columns)]
    if table.identity:
        parts.append(sql.SQL("PRIMARY KEY ({})").format(identifiers(table.identity)))
    comment = table.comment or f"Loaded from {table.file}."
    with session.transaction():
        session.execute("DELETE FROM etl.watermark WHERE target = %s", [name])  # of a table somebody dropped
        session.execute(sql.SQL("CREATE TABLE {} ({})").format(target, sql.SQL(", ").join(parts)))
        for column in table.never_null:
            statement = sql.SQL("ALTER TABLE {} ALTER COLUMN {} SET NOT NULL")
            session.execute(statement.format(target, sql.Identifier(column)))
        session.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(target, sql.Literal(comment)))
