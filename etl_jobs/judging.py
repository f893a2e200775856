"""Rows that fail a rule are taken out, for as long as there are any: of a table, and of those that it refers to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

import psycopg
from psycopg import sql

from etl_jobs.asking import ASKED, asked_one_by_one
from etl_jobs.checks import HIDDEN, Found, checked, count_problems, refuse_checks
from etl_jobs.errors import JobError
from etl_jobs.names import own
from etl_jobs.places import RECORD_NO, Places
from etl_jobs.refusals import words_for
from etl_jobs.rejects import Rejected, refuse_too_many
from etl_jobs.rules import ROW_PLACE, Lot, Rule, rules_of
from etl_jobs.tables import Table

_RECORD = sql.Identifier(own("whole row"))


@dataclass(slots=True, kw_only=True)
class Judged:
    """Rows that are judged: how many were rejected so far, what is found in those that are left, and where they stand.

    With `tells` it can say which were rejected. Nothing is `found` that does not hold now.
    """

    lot: Lot
    places: Places
    count: int = 0
    tells: bool = False
    found: Found | None = None
    _rows: list[_Row] = field(default_factory=list)

    def take(self, rows: Sequence[_Row]) -> None:
        """These were taken out."""
        if self.tells:
            self._rows += [row._replace(number=self.places.copied(row.number)) for row in rows]
        self.places = self.places.without(row.number for row in rows)

    def rejected(self) -> list[Rejected]:
        """The rejected rows in their order. Only now their places are looked up: the source may be long."""
        rows = sorted(self._rows, key=lambda row: row.number)
        named = replace(self.places, moved=()).of_all(row.number for row in rows)
        return [Rejected(place=p, reason=r.reason, record=r.record or "") for p, r in zip(named, rows, strict=True)]


class _Row(NamedTuple):
    """A row that fails: where it lies in staging, its number there, why, and what it is, as JSON."""

    place: str
    number: int
    reason: str
    record: str | None


def settle(members: Sequence[Judged]) -> list[Found]:
    """Take out the rows that fail a rule where their table rejects rows, and say what is found in the rest.

    Asks again for as long as there are any: a row taken out may have been another one's parent, or the one that it
    repeats. A row repeats another one only if nothing else is wrong with any of them; so whoever judges the same tables
    finds the same. Raises DataRejectedError where more than the limit fail, and what `count_problems` raises.
    """
    while True:
        found = [_found(one) for one in members]
        changed = _first_changed(members)
        if changed is None:
            return found
        for one in members:
            if one is changed or changed.lot.staging in one.lot.parents:
                one.found = None


def _found(one: Judged) -> Found:
    if one.found is None:
        one.found = _count(one)
    return one.found


def _count(one: Judged) -> Found:
    """Rows that an SQL check cannot be asked about are taken out first."""
    asking = bool(one.lot.table.reject_limit) and any(check.sql for check in one.lot.table.checks)
    while asking:
        try:
            return count_problems(one.lot)
        except JobError:
            refuse_checks(one.lot)
            try:
                asking = _take_out(one, _unasked)
            except psycopg.errors.InsufficientPrivilege:  # no language, or no temporary functions, for this role
                asking = False
    return count_problems(one.lot, places=one.places)


def _first_changed(members: Sequence[Judged]) -> Judged | None:
    """Take out rows of one of them that fail a rule; None where none does."""
    failing = [(one, _failing(one)) for one in members if one.lot.table.reject_limit]
    plain = [(one, [rule for rule in rules if rule.surplus is None]) for one, rules in failing]
    repeating = [(one, rules[:1]) for one, rules in failing]
    for one, rules in (*plain, *repeating):
        if rules and _take_out(one, partial(_failed, rules=rules)):
            return one
    return None


def _failing(one: Judged) -> list[Rule]:
    counted = zip(rules_of(one.lot), _found(one).counts, strict=True)
    return [rule for rule, count in counted if count and rule.severity == "fail" and rule.of_rows]


def _take_out(one: Judged, find: Callable[[Judged], list[_Row]]) -> bool:
    """Take the rows that are found out of staging; whether there were any."""
    session, table = one.lot.session, one.lot.table
    with session.transaction():
        session.execute("SET LOCAL synchronize_seqscans = off")
        session.execute("SET LOCAL max_parallel_workers_per_gather = 0")  # else they have no order
        rows = find(one)
        one.count += len(rows)
        if one.count > table.reject_limit:
            refuse_too_many(table, [f"{one.places.of(row.number)}: {row.reason}" for row in rows[:3]])
        delete = sql.SQL("DELETE FROM {} WHERE ctid = ANY({}::tid[])")
        session.execute(delete.format(one.lot.staging, sql.Literal([row.place for row in rows])))
    one.take(rows)
    return bool(rows)


def _failed(one: Judged, rules: Sequence[Rule]) -> list[_Row]:
    """The rows that fail one of the rules, in order; one more than is allowed."""
    reasons = sql.SQL(", ").join(
        sql.SQL("CASE WHEN {} THEN {} END").format(r.surplus or r.where, sql.Literal(r.reason)) for r in rules
    )
    statement = sql.SQL(
        "SELECT * FROM (SELECT s.{}, s.{}, concat_ws('; ', {}) AS reason, s.{} FROM {} {}) AS judged"
        " WHERE reason <> '' ORDER BY 2 LIMIT {}"
    ).format(
        ROW_PLACE,
        RECORD_NO,
        reasons,
        _RECORD,
        checked(one.lot, _numbered(one)),
        sql.SQL(" ").join(r.join for r in rules if r.join is not None),
        sql.Literal(one.lot.table.reject_limit + 1),
    )
    return [_Row(*row) for row in one.lot.session.execute(statement).fetchall()]


def _unasked(one: Judged) -> list[_Row]:
    """The rows that an SQL check cannot be asked about, in order; one more than is allowed."""
    table, secret = one.lot.table, bool(one.lot.table.secret)
    with asked_one_by_one(one.lot.session, one.lot.staging, table.checks, limit=table.reject_limit):
        statement = sql.SQL(
            "SELECT s.{place}, s.{n}, a.nth, a.state, a.said, s.{record} FROM (SELECT {numbered} FROM {staging} AS own)"
            " AS s JOIN {asked}() AS a ON a.place = s.{place} ORDER BY 2"
        ).format(
            place=ROW_PLACE, n=RECORD_NO, record=_RECORD, numbered=_numbered(one), staging=one.lot.staging, asked=ASKED
        )
        rows = one.lot.session.execute(statement).fetchall()
    said = "check {!r} cannot be asked: {}"
    return [
        _Row(place, number, said.format(table.checks[nth].title, words_for(words, state, secret=secret)), record)
        for place, number, nth, state, words, record in rows
    ]


def _numbered(one: Judged) -> sql.Composed:
    """Where the row lies, its number, and the row as JSON if anybody asks for it."""
    record = sql.SQL("NULL::text") if not one.tells else _shown(one.lot.table)
    return sql.SQL("ctid AS {}, row_number() OVER () AS {}, {} AS {}").format(ROW_PLACE, RECORD_NO, record, _RECORD)


def _shown(table: Table) -> sql.Composable:
    """The row as JSON, every digit as it is, less the values of secret columns."""
    masks = [
        sql.SQL("CASE WHEN own.{} IS NULL THEN '{{}}'::jsonb ELSE jsonb_build_object({}, {}) END").format(
            sql.Identifier(column), sql.Literal(column), sql.Literal(HIDDEN)
        )
        for column in table.secret
    ]
    return sql.SQL("({})::text").format(sql.SQL(" || ").join([sql.SQL("to_jsonb(own.*)"), *masks]))
