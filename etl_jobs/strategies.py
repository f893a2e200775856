"""What each strategy does with a checked staging table, inside one transaction; and what it may take away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from etl_jobs.appending import append
from etl_jobs.batches import Batch, remember_batches
from etl_jobs.changes import Change, Changed, make_equal, upsert
from etl_jobs.errors import DataRejectedError
from etl_jobs.history import keep_history
from etl_jobs.names import whole_name
from etl_jobs.refusals import REFUSED_ROWS, refused_rows
from etl_jobs.repeating import replace_rows
from etl_jobs.swap import swap
from etl_jobs.tables import Catalogue, Table
from etl_jobs.warehouse import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One table to be changed: `part` is what of it the load answers for, `batch` the rows' number and checksum,
    `batches` what they were copied as where they have no key and only grow.

    `full` makes the target equal to the whole source, also where it usually only grows. `beside`: staging takes the
    target's place. `patience` is how many seconds to wait for readers, where a strategy needs the table for itself.
    """

    catalogue: Catalogue
    table: Table
    change: Change
    part: sql.Composable | None
    batch: tuple[int, int]
    batches: Sequence[Batch]
    full: bool
    beside: bool
    patience: float

    @property
    def name(self) -> str:
        return whole_name(self.catalogue.schema, self.table.name)


def part_of(table: Table, *, since: str | None) -> sql.Composable | None:
    """Which rows of source and target a load answers for, as an SQL condition; None means all of them."""
    if table.strategy == "slice":
        return sql.SQL("(({}) IS TRUE)").format(sql.SQL(table.where))
    if table.grows and since is not None:
        return sql.SQL("(({} >= {}) IS NOT FALSE)").format(sql.Identifier(table.watermark), sql.Literal(since))
    return None


def change_target(session: Session, step: Step) -> Changed:
    """Bring the target up to date; raises DataRejectedError where its own constraints or max_delete refuse."""
    table = step.table
    try:
        changed = _change(session, step)
    except REFUSED_ROWS as error:
        raise refused_rows(error, table=table.name, secret=bool(table.secret)) from error
    _guard_deletes(session, step, changed)
    return changed


def _change(session: Session, step: Step) -> Changed:
    table, change = step.table, step.change
    if table.batched and (step.full or step.beside):
        remember_batches(session, step.name, change, step.batches, file_column=table.file_column)
    if step.beside:
        return swap(session, change, catalogue=step.catalogue, name=table.name, patience=step.patience)
    match table.strategy:
        case "scd2":
            return keep_history(session, change)
        case "incremental" if not step.full:
            return upsert(session, change)
        case "append" if not step.full:
            return append(
                session,
                change,
                name=step.name,
                batch=step.batch,
                batches=step.batches,
                file_column=table.file_column,
            )
    return (make_equal if change.key else replace_rows)(session, change, part=step.part)


def _guard_deletes(session: Session, step: Step, changed: Changed) -> None:
    """A source that lost most of its rows is more often broken than right."""
    limit = step.table.max_delete
    if not changed.deleted or limit >= 1:
        return
    before, lost = _before(session, step, changed), changed.deleted
    if step.table.strategy == "replace":
        lost = before - changed.inserted
    if lost > limit * before:
        raise DataRejectedError(
            f"table {step.table.name!r}: {lost} of {before} rows are no longer in the source,"
            f" more than max_delete = {limit:g} allows; the table is as it was",
            hint="if that is right, raise max_delete (1 = no limit) for one load",
        )


def _before(session: Session, step: Step, changed: Changed) -> int:
    """How many rows the target had, of a history how many current ones."""
    if step.table.strategy == "replace":
        return changed.deleted
    current = sql.SQL(" WHERE is_current" if step.table.strategy == "scd2" else "")
    row = session.execute(sql.SQL("SELECT count(*) FROM {}").format(step.change.target) + current).fetchone()
    return (row[0] if row else 0) - changed.inserted + changed.deleted
