"""The target table: made where it is missing, refused where it is not as the catalogue declares it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import psycopg
from psycopg import sql

from etl_jobs.errors import JobError, MisconfiguredError
from etl_jobs.names import clip, derived
from etl_jobs.row_security import refuse_row_security
from etl_jobs.sources import Source, types_of
from etl_jobs.sources.types import losses
from etl_jobs.staging import definitions, identifiers
from etl_jobs.tables import HISTORY, Table
from etl_jobs.warehouse import Session, lock_alone

_COLUMNS = """
    SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
    WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
_UNIQUE = """
    SELECT array_agg(a.attname::text), array_agg(a.attname::text) FILTER (WHERE NOT a.attnotnull), i.indimmediate
    FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid
     AND a.attnum = ANY((i.indkey::smallint[])[0:i.indnkeyatts - 1])
    WHERE i.indrelid = to_regclass(%s) AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
    GROUP BY i.indexrelid, i.indimmediate
"""
_PRIMARY = """
    SELECT quote_ident(p.conname), string_agg(quote_ident(f.conname) || ' of ' || f.conrelid::regclass, ', ')
    FROM pg_constraint p LEFT JOIN pg_constraint f ON f.contype = 'f' AND f.conindid = p.conindid
    WHERE p.conrelid = to_regclass(%s) AND p.contype = 'p' GROUP BY p.conname
"""
_CURRENT = """
    SELECT format('%%I.%%I', n.nspname, x.relname)
    FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_namespace n ON n.oid = x.relnamespace
    WHERE i.indrelid = to_regclass(%s) AND i.indisunique AND pg_get_expr(i.indpred, i.indrelid) = 'is_current'
"""
_BEGINS = {"valid_from": " DEFAULT now()", "is_current": " DEFAULT true"}  # what a history begins with


def columns_of(session: Session, relation: sql.Identifier) -> dict[str, str]:
    """The relation's columns with their types as the server writes them; empty where there is none."""
    return dict(session.execute(_COLUMNS, [relation.as_string(session)]).fetchall())


def check_target(
    session: Session, target: sql.Identifier, table: Table, *, found: Mapping[str, str], wanted: Mapping[str, str]
) -> None:
    """Refuse an existing target whose columns, types or key are not the declared ones, or that hides rows from us.

    `found` are its columns, `wanted` the declared ones, both with types as the server writes them.
    """
    refuse_row_security(session, target, table=table.name)
    shown = target.as_string(session)
    wrong, cures = [], []
    begins = _BEGINS if table.strategy == "scd2" else {}
    for column, kind in wanted.items():
        name = sql.Identifier(column).as_string(session)
        if column not in found:
            wrong.append(f"{column!r} is missing")
            cures.append(f"ADD COLUMN {name} {kind}{begins.get(column, '')}")
        elif found[column] != kind:
            wrong.append(f"{column!r} is {found[column]}, declared {kind}")
            cures.append(_retype(name, kind))
    for column in found:
        if column not in wanted:
            wrong.append(f"{column!r} is not declared")
            cures.append(f"DROP COLUMN {sql.Identifier(column).as_string(session)}")
    if wrong:
        raise MisconfiguredError(
            f"table {table.name!r}: {shown} exists with other columns: {'; '.join(wrong)}",
            hint=f"change the catalogue, or {_altering(session, shown, table, cures, found=found)}",
        )
    _check_key(session, shown, table)


def _altering(session: Session, shown: str, table: Table, cures: Sequence[str], *, found: Mapping[str, str]) -> str:
    """What to run so that the target has other columns; where it is to have a history from now on, another key, too."""
    if table.strategy != "scd2" or HISTORY.keys() & found.keys():
        return f"run: ALTER TABLE {shown} {', '.join(cures)};"
    defaults = ", ".join(f'ALTER COLUMN "{column}" DROP DEFAULT' for column in _BEGINS)
    return f"{_rekeying(session, shown, table, cures)}  ALTER TABLE {shown} {defaults};"


def _rekeying(session: Session, shown: str, table: Table, cures: Sequence[str] = ()) -> str:
    """What to run so that the target has the declared key in place of the one it may have."""
    row = session.execute(_PRIMARY, [shown]).fetchone()
    name, referring = row or ("", "")
    drop = [f"DROP CONSTRAINT {name}"] if name else []
    key = f"ADD PRIMARY KEY ({identifiers(table.primary_key).as_string(session)})"
    first = f"drop what refers to its key, {referring}, then " if referring else ""
    steps = [f"ALTER TABLE {shown} {', '.join([*cures, *drop, key])};"]
    if table.strategy == "scd2":
        steps += [f"DROP INDEX {index};" for (index,) in session.execute(_CURRENT, [shown]).fetchall()]
        current = identifiers(table.identity).as_string(session)
        steps.append(f"CREATE UNIQUE INDEX ON {shown} ({current}) WHERE is_current;")
    return f"{first}run: {'  '.join(steps)}"


def refuse_history(
    session: Session, target: sql.Identifier, table: Table, source: Source, *, found: Mapping[str, str]
) -> None:
    """Refuse a target, with the columns `found`, that keeps a history of which neither strategy nor source knows.

    The source is asked for its columns only where that decides: it may be far away.
    """
    if table.strategy == "scd2" or not HISTORY.keys() <= found.keys() or HISTORY.keys() & set(source.columns()):
        return
    shown = target.as_string(session)
    steps = [f"DROP COLUMN {sql.Identifier(column).as_string(session)}" for column in HISTORY]
    if table.identity:
        steps.append(f"ADD PRIMARY KEY ({identifiers(table.identity).as_string(session)})")
    other = sql.Identifier(derived(table.name, after="_history")).as_string(session)
    raise MisconfiguredError(
        f"table {table.name!r}: {shown} keeps a history ({', '.join(HISTORY)}), strategy {table.strategy!r} does not",
        hint=f"to keep it beside, run: ALTER TABLE {shown} RENAME TO {other};  or to go on without it:"
        f" DELETE FROM {shown} WHERE NOT is_current; ALTER TABLE {shown} {', '.join(steps)};",
    )


def refuse_losses(
    session: Session, target: sql.Identifier, table: Table, source: Source, *, found: Mapping[str, str]
) -> None:
    """Refuse what the source would lose silently in the target, whose columns are those `found`, declared or not."""
    own = types_of(source)
    said = losses(own, found, lossy=table.source.get("lossy", ()))
    if said:
        kinds = {clip(column): kind for column, kind in own.items()}
        cures = [_retype(sql.Identifier(column).as_string(session), kinds[column]) for column in said]
        names = ", ".join(f'"{column}"' for column in said)
        raise MisconfiguredError(
            "\n".join(f"table {table.name!r}, {source.name}: {s}" for s in said.values()),
            hint=f"run: ALTER TABLE {target.as_string(session)} {', '.join(cures)};"
            f"  or allow it: source = {{ lossy = [{names}] }}",
        )


def _retype(name: str, kind: str) -> str:
    return f"ALTER COLUMN {name} TYPE {kind} USING {name}::{kind}"


def retyping(session: Session, target: sql.Identifier, column: str, kind: str) -> str:
    """The statement that gives a column of the target another type, as a hint."""
    name = sql.Identifier(column).as_string(session)
    return f"if the source is right, run: ALTER TABLE {target.as_string(session)} {_retype(name, kind)};"


@contextlib.contextmanager
def added_columns(
    session: Session, target: sql.Identifier, kinds: Mapping[str, str], *, patience: float
) -> Iterator[None]:
    """Add empty columns for what follows, and take them back where that fails. Readers wait for a moment only."""
    if not kinds:
        yield
        return
    names = [sql.Identifier(column) for column in kinds]
    _alter(session, target, [sql.SQL("ADD COLUMN ") + definitions({c: k}) for c, k in kinds.items()], patience=patience)
    try:
        yield
    except (JobError, psycopg.Error) as error:
        try:
            _alter(session, target, [sql.SQL("DROP COLUMN {}").format(name) for name in names], patience=patience)
        except (JobError, psycopg.Error):
            if isinstance(error, JobError):
                stay = "it stays" if len(kinds) == 1 else "they stay"
                said = f"{', '.join(map(repr, kinds))} could not be taken back: {stay}, empty"
                error.hint = "; but ".join(filter(None, (error.hint, said)))
        raise


def _alter(session: Session, target: sql.Identifier, what: Iterable[sql.Composable], *, patience: float) -> None:
    with session.transaction():
        lock_alone(session, target, patience=patience)
        session.execute(sql.SQL("ALTER TABLE {} {}").format(target, sql.SQL(", ").join(what)))


def _check_key(session: Session, name: str, table: Table) -> None:
    unique = session.execute(_UNIQUE, [name]).fetchall()
    if not table.primary_key and unique:
        raise MisconfiguredError(
            f"table {table.name!r}: {name} has a unique index, but the catalogue lets rows repeat",
            hint='declare the key with duplicates = "fail", or drop the table\'s primary key',
        )
    if not table.primary_key:
        return
    fitting = [(empty, immediate) for columns, empty, immediate in unique if set(columns) == set(table.primary_key)]
    if not fitting:
        raise MisconfiguredError(
            f"table {table.name!r}: {name} exists without a primary key on ({', '.join(table.primary_key)})",
            hint=f"{_rekeying(session, name, table)}  or DROP it and let the load make it",
        )
    if empty := fitting[0][0]:
        cures = ", ".join(f"ALTER COLUMN {sql.Identifier(c).as_string(session)} SET NOT NULL" for c in empty)
        raise MisconfiguredError(
            f"table {table.name!r}: {name} exists with a key that may be empty: {', '.join(map(repr, empty))}",
            hint=f"remove its rows without a key, then run: ALTER TABLE {name} {cures};",
        )
    if table.strategy == "append" and not any(immediate for _, immediate in fitting):
        raise MisconfiguredError(
            f"table {table.name!r}: {name} exists with a key that is DEFERRABLE, which append cannot go by",
            hint=_rekeying(session, name, table),
        )


def create_target(session: Session, target: sql.Identifier, table: Table) -> None:
    """Make the target as declared, in the caller's transaction: readers first see it with its rows."""
    parts: list[sql.Composable] = [definitions(table.held_columns)]
    if table.primary_key:
        parts.append(sql.SQL("PRIMARY KEY ({})").format(identifiers(table.primary_key)))
    session.execute(sql.SQL("CREATE TABLE {} ({})").format(target, sql.SQL(", ").join(parts)))
    for column in table.never_null:
        statement = sql.SQL("ALTER TABLE {} ALTER COLUMN {} SET NOT NULL")
        session.execute(statement.format(target, sql.Identifier(column)))
    if table.strategy == "scd2":
        index = sql.SQL("CREATE UNIQUE INDEX ON {} ({}) WHERE is_current")
        session.execute(index.format(target, identifiers(table.identity)))
    comment = table.comment or f"Loaded from {table.file}."
    session.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(target, sql.Literal(comment)))
