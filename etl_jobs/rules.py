"""What the rows of a table must fulfil, as SQL over staging: counted together, shown and rejected one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from psycopg import sql

from etl_jobs.names import own
from etl_jobs.sources.types import parse
from etl_jobs.staging import identifiers
from etl_jobs.tables import Check, Reference, Table
from etl_jobs.warehouse import Session

_COUNT_GROUPED = (
    "(SELECT coalesce(sum(n - 1), 0)::bigint FROM"
    " (SELECT count(*) AS n FROM {staging} AS s WHERE {filled} GROUP BY {keys}) AS keys)"
)
_COUNT_SORTED = (  # one short value is sorted several times faster than grouped
    "(SELECT count({keys}) - count(DISTINCT {keys}) + greatest(count(*) - count({keys}) - 1, 0)"
    " FROM {staging} AS s WHERE {filled})"
)
_SHORT = frozenset(("smallint", "integer", "int", "bigint", "date", "uuid"))
_NUMBERS = dict.fromkeys(("numeric", "real", "double precision"), ("NaN", "Infinity"))
_TIMES = dict.fromkeys(("date", "timestamp without time zone", "timestamp with time zone"), ("infinity",))
_ENDLESS = _NUMBERS | _TIMES
ROW_PLACE = sql.Identifier(own("row place"))  # of `s`, where rows are to be rejected


@dataclass(frozen=True, slots=True, kw_only=True)
class Lot:
    """Rows of a table, taken or refused together: the relation where they lie, and what they are asked about.

    `parents` are the relations with the parents' keys, in the order of `table.references`.
    """

    session: Session
    table: Table
    staging: sql.Composable
    parents: Sequence[sql.Composable]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One thing that may be wrong with rows of `s`, which is staging.

    `count` is an SQL aggregate or scalar: how many are; `where` finds them, `surplus` those that must go where it is
    not the same. `reason` says what is wrong with one row, `said` with so many of them. `columns` are shown.
    `severity` is "fail", "warn", or "count": told as a number. `of_rows` is false where no single row is to blame.
    """

    reason: str
    said: Callable[[int], str]
    count: sql.Composable
    where: sql.Composable
    columns: tuple[str, ...] = ()
    join: sql.Composable | None = None
    surplus: sql.Composable | None = None
    severity: str = "fail"
    of_rows: bool = True


def rules_of(lot: Lot) -> list[Rule]:
    """The columns that take no nulls, the key where there is one, the references, the checks, the watermark."""
    table = lot.table
    rules = [_not_null(c, why=", but it is required") for c in table.never_null]
    if table.key:
        rules.append(_unique(lot, table.key, "key", severity="fail" if table.identity else "count"))
    pairs = enumerate(zip(table.references, lot.parents, strict=True))
    rules += [_reference(reference, parent, f"parent {n}") for n, (reference, parent) in pairs]
    rules += [_check(lot, check, n) for n, check in enumerate(table.checks) if check.row_change is None]
    return rules + (_of_watermark(table) if table.goes_on else [])


def check_name(number: int) -> sql.Identifier:
    """The column of `s` that says whether an SQL check is fulfilled."""
    return sql.Identifier(own(f"check {number}"))


def _rule(
    bad: sql.Composable,
    reason: str,
    said: Callable[[int], str],
    *,
    columns: tuple[str, ...] = (),
    join: sql.Composable | None = None,
    severity: str = "fail",
) -> Rule:
    """Every row is wrong for which `bad` holds."""
    count = sql.SQL("count(*) FILTER (WHERE {})").format(bad)
    return Rule(reason=reason, said=said, count=count, where=bad, columns=columns, join=join, severity=severity)


def _not_null(column: str, *, why: str = "", severity: str = "fail") -> Rule:
    bad = sql.SQL("{} IS NULL").format(sql.Identifier("s", column))
    shown = f"column {column!r}"
    return _rule(bad, f"{shown} is empty", lambda n: f"{shown}: {n} empty{why}", severity=severity)


def _unique(lot: Lot, columns: tuple[str, ...], word: str, *, severity: str) -> Rule:
    """Rows with an empty value repeat nothing; of rows that repeat each other the first one stays."""
    filled = sql.SQL(" AND ").join(sql.SQL("{} IS NOT NULL").format(sql.Identifier(c)) for c in columns)
    keys = identifiers(columns)
    condition = filled if word == "unique" else sql.SQL("true")
    sortable = len(columns) == 1 and lot.table.columns.get(columns[0]) in _SHORT
    values = {
        "place": ROW_PLACE,
        "keys": keys,
        "staging": lot.staging,
        "filled": condition,
        "own": identifiers(columns, of="s"),
        "limit": sql.Literal(lot.table.reject_limit),
    }
    return Rule(
        reason=f"{word} ({', '.join(columns)}) is there already",
        said=lambda n: f"{word} ({', '.join(columns)}): {n} rows too many",
        count=sql.SQL(_COUNT_SORTED if sortable else _COUNT_GROUPED).format(**values),
        where=sql.SQL(
            "({own}) IN (SELECT {keys} FROM {staging} AS k WHERE {filled} GROUP BY {keys} HAVING count(*) > 1)"
        ).format(**values),
        surplus=sql.SQL(
            "s.{place} IN (SELECT place FROM (SELECT ctid AS place,"
            " row_number() OVER (PARTITION BY {keys} ORDER BY ctid) AS nth FROM {staging} WHERE {filled}) AS k"
            " WHERE nth > 1 ORDER BY place LIMIT {limit} + 1)"  # no more are asked for; so the server can keep them all
        ).format(**values),
        columns=columns,
        severity=severity,
    )


def _reference(reference: Reference, parent: sql.Composable, alias: str) -> Rule:
    pairs = zip(reference.columns, reference.to, strict=True)
    join = sql.SQL("LEFT JOIN (SELECT DISTINCT {}, true AS {} FROM {} AS p) AS {} ON {}").format(
        identifiers(reference.to),
        sql.Identifier(own("is there")),
        parent,
        sql.Identifier(alias),
        sql.SQL(" AND ").join(
            sql.SQL("{} = {}").format(sql.Identifier("s", child), sql.Identifier(alias, to)) for child, to in pairs
        ),
    )
    filled = [sql.SQL("{} IS NOT NULL").format(sql.Identifier("s", c)) for c in reference.columns]
    bad = sql.SQL(" AND ").join([*filled, sql.SQL("{} IS NULL").format(sql.Identifier(alias, own("is there")))])
    return _rule(
        bad,
        f"refers to no {reference.table}",
        lambda n: f"column {', '.join(reference.columns)}: {n} rows refer to no {reference.table}",
        columns=reference.columns,
        join=join,
        severity="fail" if reference.orphans == "fail" else "count",
    )


def _check(lot: Lot, check: Check, number: int) -> Rule:
    if check.unique:
        return _unique(lot, check.unique, "unique", severity=check.severity)
    if check.not_null:
        return _not_null(check.column, severity=check.severity)
    if check.fresh:
        return _fresh(lot.staging, check)
    if check.sql:
        return _asked(check, number, shown=lot.table.identity)
    return _accepted(check) if check.accepted else _between(check)


def _asked(check: Check, number: int, *, shown: tuple[str, ...]) -> Rule:
    bad, name = sql.SQL("s.{}").format(check_name(number)), f"check {check.title!r}"
    return _rule(bad, name, lambda n: f"{name}: {n} rows fail", columns=shown, severity=check.severity)


def _accepted(check: Check) -> Rule:
    values = sql.SQL(", ").join(map(sql.Literal, check.accepted))
    bad = sql.SQL("{} NOT IN ({})").format(sql.Identifier("s", check.column), values)
    return _of_values(check, bad, "has a value that is not accepted", "are not accepted")


def _between(check: Check) -> Rule:
    limits = [("<", check.min, "below"), (">", check.max, "above")]
    bad = sql.SQL(" OR ").join(
        sql.SQL("{} {} {}").format(sql.Identifier("s", check.column), sql.SQL(sign), sql.Literal(limit))  # type: ignore[arg-type, unused-ignore]
        for sign, limit, _ in limits
        if limit is not None
    )
    words = " or ".join(f"{word} {limit}" for _, limit, word in limits if limit is not None)
    return _of_values(check, sql.SQL("({})").format(bad), f"is {words}", f"are {words}")


def _of_values(check: Check, bad: sql.Composable, has: str, have: str) -> Rule:
    column = f"column {check.column!r}"
    return _rule(
        bad,
        f"{column} {has}",
        lambda n: f"{column}: {n} values {have}",
        columns=(check.column,),
        severity=check.severity,
    )


def _of_watermark(table: Table) -> list[Rule]:
    """Nothing is newer than a value without end, and for long nothing than one far ahead."""
    name, column = table.watermark, sql.Identifier("s", table.watermark)
    kind = parse(table.columns.get(name, ""))
    ends = _ENDLESS.get(kind.name, ()) if not kind.array else ()
    if not ends:
        return []
    values = [sql.SQL("{}::{}").format(sql.Literal(end), sql.SQL(kind.name)) for end in ends]
    endless = sql.SQL("{} IN ({})").format(column, sql.SQL(", ").join(values))
    cure = " (mend them, or set them aside with `rejects`)"
    rules = [
        _rule(
            endless,
            f"column {name!r}: nothing could be newer than this watermark",
            lambda n: f"column {name!r}: nothing could be newer than {n} values of the watermark{cure}",
            columns=(name,),
        )
    ]
    if "NaN" not in ends:
        ahead = sql.SQL("({0} > now() + interval '1 day' AND {0} <> 'infinity')").format(column)
        late = "of the watermark are more than a day ahead: nothing is newer until then"
        rules.append(
            _rule(ahead, "", lambda n: f"column {name!r}: {n} values {late}", columns=(name,), severity="warn")
        )
    return rules


def _fresh(staging: sql.Composable, check: Check) -> Rule:
    column = sql.Identifier(check.column)
    newest = sql.SQL("(SELECT max({}) FROM {} AS m)").format(column, staging)
    return Rule(
        reason="",
        said=lambda _: f"column {check.column!r}: the newest value is older than {check.fresh}",
        count=sql.SQL("CASE WHEN max(s.{}) >= now() - interval {} THEN 0 ELSE 1 END").format(
            column, sql.Literal(check.fresh)
        ),
        where=sql.SQL("s.{} = {}").format(column, newest),
        columns=(check.column,),
        severity=check.severity,
        of_rows=False,
    )
