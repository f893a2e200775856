"""One load: source → staging → checks → one transaction with the rows, the watermark and the load record."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import psycopg
from psycopg import sql

from etl_jobs.batches import forget_batches, refuse_unknown_batches, refuse_untold_files
from etl_jobs.changes import Changed
from etl_jobs.checks import Found
from etl_jobs.checksums import whole
from etl_jobs.owned import refuse_others
from etl_jobs.records import (
    RECORDED,
    Attempt,
    Held,
    Loaded,
    cached_load,
    columns_held,
    declaration,
    held_before,
    is_held,
    recorded_load,
    refuse_full_interval,
    target_name,
    write_record,
)
from etl_jobs.refusals import explained, refused_rows
from etl_jobs.rejects import Rejected, keep_rejected
from etl_jobs.shape import pinned_columns, shape_of
from etl_jobs.sources import open_source, types_of
from etl_jobs.staging import check_header
from etl_jobs.strategies import change_target
from etl_jobs.tables import Catalogue, Table
from etl_jobs.target import added_columns, columns_of, create_target, refuse_history
from etl_jobs.warehouse import Session, locked, prepare
from etl_jobs.watermarks import forget_watermark, loaded_otherwise, move_watermark
from etl_jobs.work import Staged, Work

_GROWING = frozenset(("incremental", "append"))  # what was rejected before is still so


def load_table(
    session: Session, catalogue: Catalogue, table: Table, *, attempt: Attempt, wait: float, full: bool = False
) -> Loaded:
    """Bring the target up to date with its source, or leave it as it is and raise a JobError.

    `wait` is how many seconds to wait for another load of the same target to end. `full` reads the source from
    its beginning and never finds that nothing is to be done.
    """
    if full:
        refuse_full_interval(table)
    refuse_untold_files(catalogue, table)
    source = open_source(catalogue, table)
    check_header(source, table)
    prepare(session, catalogue.schema, catalogue.staging_schema)
    name = target_name(catalogue, table)
    with locked(session, name, wait=wait):
        refuse_others(session, catalogue, table)
        work = Work(
            session=session,
            catalogue=catalogue,
            table=table,
            source=source,
            held=columns_of(session, sql.Identifier(catalogue.schema, table.name)),
            full=full,
            wait=wait,
        )
        load = _Load(
            work=work,
            attempt=attempt,
            fingerprint=source.fingerprint(),
            declared=declaration(catalogue, table),
            started=datetime.now(UTC),
        )
        try:
            return load.known() or load.run()
        except psycopg.IntegrityError as error:  # of a constraint that is looked at when all is done
            raise refused_rows(error, table=table.name, secret=bool(table.secret)) from error
        except psycopg.Error as error:
            raise explained(error, secret=bool(table.secret)) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class _Load:
    """The steps of one load, under the target's lock, and what its record will say."""

    work: Work
    attempt: Attempt
    fingerprint: str
    declared: str
    started: datetime

    def known(self) -> Loaded | None:
        """What need not be done again: this job did it, or an earlier load still holds."""
        work = self.work
        if not work.held:
            return None
        source = {"fingerprint": self.fingerprint, "declared": self.declared}
        found = recorded_load(work.session, work.name, self.attempt, **source)
        if not found and not work.full:
            found = cached_load(work.session, work.name, work.table, **source)
        return found if found and is_held(work.session, work.target, found) else None

    def run(self) -> Loaded:
        started = time.monotonic()
        work = self.work
        if work.held and not work.full:
            refuse_unknown_batches(work.session, work.name, work.table)
        refuse_history(work.session, work.target, work.table, work.source, found=work.held)
        header = check_header(work.source, work.table, pinned=pinned_columns(work.table, work.held))
        shape = shape_of(work.table, header, work.held, own=types_of(work.source))
        work, staged = replace(work, table=shape.table).stage(header, shape)
        copied = time.monotonic()
        staged, found = work.check(staged)
        checked = time.monotonic()
        loaded = replace(self, work=work).apply(staged, found, shape.added)
        return replace(
            loaded,
            copy_seconds=round(copied - started, 3),
            check_seconds=round(checked - copied, 3),
            load_seconds=round(time.monotonic() - checked, 3),
        )

    def apply(self, staged: Staged, found: Found, added: Sequence[str]) -> Loaded:
        """Rows, watermark, rejects and load record together; staging goes with the same commit.

        Only `added` columns go to an existing target just before, as nobody is to wait for their values. They go again
        where the rest fails.
        """
        work, session, table = self.work, self.work.session, self.work.table
        new = {} if work.beside else {c: table.columns[c] for c in added}
        with added_columns(session, work.target, new, patience=work.wait), session.transaction():
            if not work.held:
                create_target(session, work.target, table)
            self._forget()
            changed = change_target(session, work.step(staged, found))
            move_watermark(session, work.name, table, found)
            loaded = _loaded(staged, found, changed)
            self._keep(staged.rejected)
            values = self._record_values(loaded, found, held=self._held(staged, found, changed), since=staged.since)
            number = write_record(session, self.attempt, values)
            session.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(work.staging))
        return replace(loaded, load=number)

    def _forget(self) -> None:
        """What was remembered holds for a target that exists, and only as long as it is loaded in the same way."""
        session, table, anew = self.work.session, self.work.table, self.work.full or not self.work.held
        if anew or loaded_otherwise(session, self.work.name, table):
            forget_watermark(session, self.work.name)
        if anew or not table.batched:
            forget_batches(session, self.work.name)

    def _held(self, staged: Staged, found: Found, changed: Changed) -> Held:
        """What the target holds now.

        A target that grows is not read for that: what has changed is added to what it held after its last load. So
        what others did to it in between is still found at the end. Who reads all of a source takes the target as it is.
        """
        work, table = self.work, self.work.table
        columns = columns_held(work.session, table)
        if work.beside or table.strategy == "snapshot":
            return Held(rows=found.rows, checksum=found.checksum, columns=columns)
        before = held_before(work.session, work.name)
        anew = work.full or not work.held or (table.goes_on and staged.since is None)
        if anew or changed.grown is None or before is None or before.columns != columns:
            rows, checksum = whole(work.session, work.target, table.held_columns)
            return Held(rows=rows, checksum=checksum, columns=columns)
        rows, checksum = changed.grown
        return Held(rows=before.rows + rows, checksum=before.checksum + checksum, columns=columns)

    def _keep(self, rejected: Sequence[Rejected]) -> None:
        """Write the rejected rows down, unless their table is one that the catalogue loads."""
        work, table = self.work, self.work.table
        if work.catalogue.lists(table.rejects_name) and not table.reject_limit:
            return
        anew, alone = work.full or table.strategy not in _GROWING, bool(table.interval)
        keep_rejected(work.session, work.rejects, rejected, attempt=self.attempt, anew=anew, alone=alone)

    def _record_values(self, loaded: Loaded, found: Found, *, held: Held, since: str | None) -> dict[str, object]:
        return {
            "target": self.work.name,
            "strategy": self.work.table.strategy,
            "source": self.work.source.name,
            "fingerprint": self.fingerprint,
            "declared": self.declared,
            "since": since,
            "interval": self.work.table.interval or None,
            "checksum": found.checksum,
            "held_rows": held.rows,
            "held_checksum": held.checksum,
            "held_columns": held.columns,
            "started": self.started,
            **{column: getattr(loaded, field) for field, column in RECORDED.items()},
        }


def _loaded(staged: Staged, found: Found, changed: Changed) -> Loaded:
    return Loaded(
        rows=found.rows,
        inserted=changed.inserted,
        updated=changed.updated,
        deleted=changed.deleted,
        duplicates=found.duplicates,
        orphans=sum(found.orphans),
        rejected=len(staged.rejected),
        warnings=len(staged.warned),
        warned=staged.warned,
        bytes=staged.bytes,
    )
