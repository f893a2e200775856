"""What the rows of a table must fulfil, as SQL over staging: counted together, shown and rejected one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from etl_jobs.staging import identifiers
from etl_jobs.tables import Check, Reference, Table

_COUNT_GROUPED = (
    "(SELECT coalesce(sum(n - 1), 0)::bigint FROM"
    " (SELECT count(*) AS n FROM {staging} AS s WHERE {filled} GROUP BY {keys}) AS keys)"
)
_COUNT_SORTED = (  # one short value is sorted several times faster than grouped
    "(SELECT count({keys}) - count(DISTINCT {keys}) + greatest(count(*) - count({keys}) - 1, 0)"
    " FROM {staging} AS s WHERE {filled})"
)
_SHORT = frozenset(("smallint", "integer", "int", "bigint", "date", "uuid"))
ROW_PLACE = sql.Identifier("row place")  # of `s`, where rows are to be rejected


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One thing that may be wrong with rows of `s`, which is staging.

    `count` is an SQL aggregate or scalar: how many are; `where` finds them, `surplus` those that must go where it is
    not the same. `reason` says what is wrong with one row, `said` with `{n}` of them. `columns` are shown.
    `severity` is "fail", "warn", or "count": told as a number. `of_rows` is false where no single row is to blame.
    """

    reason: str
    said: str
    count: sql.Composable
    where: sql.Composable
    columns: tuple[str, ...] = ()
    join: sql.Composable | None = None
    surplus: sql.Composable | None = None
    severity: str = "fail"
    of_rows: bool = True


def rules_of(table: Table, staging: sql.Composable, parents: Sequence[sql.Composable]) -> list[Rule]:
    """First the columns that take no nulls, then the key where there is one, then the references, then the checks."""
    rules = [_not_null(c, Check(column=c), f"column {c!r}: {{n}} empty, but it is required") for c in table.never_null]
    if table.key:
        rules.append(_unique(staging, table, table.key, "key", severity="fail" if table.identity else "count"))
    pairs = enumerate(zip(table.references, parents, strict=True))
    rules += [_reference(reference, parent, f"parent {n}") for n, (reference, parent) in pairs]
    return rules + [
        _check(staging, table, check, n) for n, check in enumerate(table.checks) if check.row_change is None
    ]


def check_name(number: int) -> sql.Identifier:
    """The column of `s` that says whether an SQL check is fulfilled."""
    return sql.Identifier(f"check {number}")


def _counted(bad: sql.Composable) -> sql.Composed:
    return sql.SQL("count(*) FILTER (WHERE {})").format(bad)


def _not_null(column: str, check: Check, said: str) -> Rule:
    bad = sql.SQL("{} IS NULL").format(sql.Identifier("s", column))
    reason = f"column {column!r} is empty"
    return Rule(reason=reason, said=said, count=_counted(bad), where=bad, severity=check.severity)


def _unique(staging: sql.Composable, table: Table, columns: tuple[str, ...], word: str, *, severity: str) -> Rule:
    """Rows with an empty value repeat nothing; of rows that repeat each other the first one stays."""
    filled = sql.SQL(" AND ").join(sql.SQL("{} IS NOT NULL").format(sql.Identifier(c)) for c in columns)
    keys = identifiers(columns)
    condition = filled if word == "unique" else sql.SQL("true")
    sortable = len(columns) == 1 and table.columns.get(columns[0]) in _SHORT
    values = {
        "place": ROW_PLACE,
        "keys": keys,
        "staging": staging,
        "filled": condition,
        "own": identifiers(columns, of="s"),
    }
    return Rule(
        reason=f"{word} ({', '.join(columns)}) is there already",
        said=f"{word} ({', '.join(columns)}): {{n}} rows too many",
        count=sql.SQL(_COUNT_SORTED if sortable else _COUNT_GROUPED).format(**values),
        where=sql.SQL(
            "({own}) IN (SELECT {keys} FROM {staging} AS k WHERE {filled} GROUP BY {keys} HAVING count(*) > 1)"
        ).format(**values),
        surplus=sql.SQL(
            "s.{place} IN (SELECT place FROM (SELECT ctid AS place,"
            " row_number() OVER (PARTITION BY {keys} ORDER BY ctid) AS nth FROM {staging} WHERE {filled}) AS k"
            " WHERE nth > 1)"
        ).format(**values),
        columns=columns,
        severity=severity,
    )


def _reference(reference: Reference, parent: sql.Composable, alias: str) -> Rule:
    pairs = zip(reference.columns, reference.to, strict=True)
    join = sql.SQL("LEFT JOIN (SELECT DISTINCT {}, true AS {} FROM {} AS p) AS {} ON {}").format(
        identifiers(reference.to),
        sql.Identifier("is there"),
        parent,
        sql.Identifier(alias),
        sql.SQL(" AND ").join(
            sql.SQL("{} = {}").format(sql.Identifier("s", child), sql.Identifier(alias, to)) for child, to in pairs
        ),
    )
    filled = [sql.SQL("{} IS NOT NULL").format(sql.Identifier("s", c)) for c in reference.columns]
    bad = sql.SQL(" AND ").join([*filled, sql.SQL("{} IS NULL").format(sql.Identifier(alias, "is there"))])
    return Rule(
        reason=f"refers to no {reference.table}",
        said=f"column {', '.join(reference.columns)}: {{n}} rows refer to no {reference.table}",
        count=_counted(bad),
        where=bad,
        columns=reference.columns,
        join=join,
        severity="fail" if reference.orphans == "fail" else "count",
    )


def _check(staging: sql.Composable, table: Table, check: Check, number: int) -> Rule:
    column = sql.Identifier("s", check.column)
    if check.unique:
        return _unique(staging, table, check.unique, "unique", severity=check.severity)
    if check.not_null:
        return _not_null(check.column, check, f"column {check.column!r}: {{n}} empty")
    if check.fresh:
        return _fresh(staging, check)
    if check.sql:
        name = check.name or check.sql
        bad: sql.Composable = sql.SQL("s.{}").format(check_name(number))
        reason, said, shown = f"check {name!r}", f"check {name!r}: {{n}} rows fail", table.identity
    elif check.accepted:
        bad = sql.SQL("{} NOT IN ({})").format(column, sql.SQL(", ").join(map(sql.Literal, check.accepted)))
        reason = f"column {check.column!r} has a value that is not accepted"
        said, shown = f"column {check.column!r}: {{n}} values are not accepted", (check.column,)
    else:
        limits = [("<", check.min, "below"), (">", check.max, "above")]
        said_limits = " or ".join(f"{word} {limit}" for _, limit, word in limits if limit is not None)
        bad = sql.SQL(" OR ").join(
            sql.SQL("{} {} {}").format(column, sql.SQL(sign), sql.Literal(limit))  # type: ignore[arg-type, unused-ignore]
            for sign, limit, _ in limits
            if limit is not None
        )
        bad = sql.SQL("({})").format(bad)
        reason = f"column {check.column!r} is {said_limits}"
        said, shown = f"column {check.column!r}: {{n}} values are {said_limits}", (check.column,)
    return Rule(reason=reason, said=said, count=_counted(bad), where=bad, columns=shown, severity=check.severity)


def _fresh(staging: sql.Composable, check: Check) -> Rule:
    column = sql.Identifier(check.column)
    newest = sql.SQL("(SELECT max({}) FROM {} AS m)").format(column, staging)
    return Rule(
        reason="",
        said=f"column {check.column!r}: the newest value is older than {check.fresh}",
        count=sql.SQL("CASE WHEN max(s.{}) >= now() - interval {} THEN 0 ELSE 1 END").format(
            column, sql.Literal(check.fresh)
        ),
        where=sql.SQL("s.{} = {}").format(column, newest),
        columns=(check.column,),
        severity=check.severity,
        of_rows=False,
    )
