"""One load: source → staging → checks → one transaction with the rows, the watermark and the load record."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

import psycopg
from psycopg import sql

from etl_jobs.changes import Change, Changed, merge, replace_rows, upsert
from etl_jobs.checks import Found, count_problems, parents_keys, reject_problems, whole
from etl_jobs.errors import DataRejectedError
from etl_jobs.records import (
    RECORDED,
    Attempt,
    Loaded,
    move_watermark,
    recorded_load,
    target_name,
    watermark_less_lag,
    write_record,
)
from etl_jobs.sources import Source, open_source
from etl_jobs.staging import check_header, copy_into, create_staging, identifiers
from etl_jobs.tables import Catalogue, Table
from etl_jobs.target import ensure_target
from etl_jobs.warehouse import Session, locked, prepare, server_version


def load_table(session: Session, catalogue: Catalogue, table: Table, *, attempt: Attempt, wait: float) -> Loaded:
    """Make the target equal to the source, or leave it as it is and raise a JobError.

    `wait` is how many seconds to wait for another load of the same target to end.
    """
    source = open_source(catalogue, table)
    header = check_header(source, table)
    prepare(session, catalogue.schema, catalogue.staging_schema)
    name = target_name(catalogue, table)
    with locked(session, name, wait=wait):
        fingerprint = source.fingerprint()
        if recorded := recorded_load(session, name, attempt, fingerprint=fingerprint):
            return recorded
        load = _Load(session, catalogue, table, source, fingerprint, datetime.now(UTC))
        started = time.monotonic()
        staged = load.stage(header)
        copied = time.monotonic()
        found = load.check(staged)
        checked = time.monotonic()
        loaded = load.apply(staged, found, attempt)
        return replace(
            loaded,
            copy_seconds=round(copied - started, 3),
            check_seconds=round(checked - copied, 3),
            load_seconds=round(time.monotonic() - checked, 3),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Staged:
    """What was copied: the condition it was filtered by, where an increment began, how many bytes were read."""

    part: sql.Composable | None
    since: str | None
    bytes: int


@dataclass(frozen=True, slots=True)
class _Load:
    """The three steps of one load, under the target's lock."""

    session: Session
    catalogue: Catalogue
    table: Table
    source: Source
    fingerprint: str
    started: datetime

    @property
    def name(self) -> str:
        return target_name(self.catalogue, self.table)

    @property
    def target(self) -> sql.Identifier:
        return sql.Identifier(self.catalogue.schema, self.table.name)

    @property
    def staging(self) -> sql.Identifier:
        return sql.Identifier(self.catalogue.staging_schema, self.table.name)

    def stage(self, header: tuple[str, ...]) -> _Staged:
        create_staging(self.session, self.staging, self.table)
        ensure_target(self.session, self.target, self.staging, self.table, name=self.name)
        since = watermark_less_lag(self.session, self.name, self.table)
        part = part_of(self.table, since=since)
        sent = copy_into(self.session, self.staging, self.source, header, part=part)
        if self.table.key:
            analyze = sql.SQL("ANALYZE {} ({})").format(self.staging, identifiers(self.table.key))
            self.session.execute(analyze)
        return _Staged(part=part, since=since, bytes=sent)

    def check(self, staged: _Staged) -> Found:
        parents = parents_keys(self.session, self.catalogue, self.table, self.staging, whole=staged.part is None)
        found = count_problems(self.session, self.staging, self.table, parents)
        reject_problems(self.session, self.staging, self.table, parents, found=found, source=self.source)
        return found

    def apply(self, staged: _Staged, found: Found, attempt: Attempt) -> Loaded:
        """Rows, watermark and load record together; staging goes with the same commit."""
        with self.session.transaction():
            changed = self._change(staged.part)
            _guard_deletes(self.session, self.table, self.target, changed)
            move_watermark(self.session, self.name, self.table, found)
            loaded = Loaded(
                rows=found.rows,
                **asdict(changed),
                duplicates=found.duplicates,
                orphans=sum(found.orphans),
                bytes=staged.bytes,
            )
            write_record(self.session, attempt, self._record_values(loaded, found, since=staged.since))
            self.session.execute(sql.SQL("DROP TABLE {}").format(self.staging))
        return loaded

    def _change(self, part: sql.Composable | None) -> Changed:
        columns, key = tuple(self.table.columns), self.table.identity
        change = Change(staging=self.staging, target=self.target, columns=columns, key=key)
        try:
            if self.table.strategy == "incremental":
                return upsert(self.session, change)
            if self.table.strategy == "snapshot" and key and server_version(self.session) >= 17:
                return merge(self.session, change)
            return replace_rows(self.session, change, part=part)
        except psycopg.IntegrityError as error:
            raise DataRejectedError(
                f"table {self.table.name!r}: {error.diag.message_primary} ({error.diag.message_detail or 'no detail'})",
                hint="the table has a constraint that the catalogue does not declare",
            ) from error

    def _record_values(self, loaded: Loaded, found: Found, *, since: str | None) -> dict[str, object]:
        if self.table.strategy == "snapshot":
            held = found.rows, found.checksum
        else:
            held = whole(self.session, self.target, self.table)
        return {
            "target": self.name,
            "strategy": self.table.strategy,
            "source": self.source.name,
            "fingerprint": self.fingerprint,
            "since": since,
            "checksum": found.checksum,
            "held_rows": held[0],
            "held_checksum": held[1],
            "started": self.started,
            **{column: getattr(loaded, field) for field, column in RECORDED.items()},
        }


def part_of(table: Table, *, since: str | None) -> sql.Composable | None:
    """Which rows of source and target a load answers for, as an SQL condition; None means all of them."""
    if table.strategy == "slice":
        return sql.SQL("(({}) IS TRUE)").format(sql.SQL(table.where))
    if table.strategy == "incremental" and since is not None:
        return sql.SQL("(({} >= {}) IS NOT FALSE)").format(sql.Identifier(table.watermark), sql.Literal(since))
    return None


def _guard_deletes(session: Session, table: Table, target: sql.Identifier, changed: Changed) -> None:
    """A source that lost most of its rows is more often broken than right."""
    if not changed.deleted or table.max_delete >= 1:
        return
    row = session.execute(sql.SQL("SELECT count(*) FROM {}").format(target)).fetchone()
    before = (row[0] if row else 0) - changed.inserted + changed.deleted
    if changed.deleted > table.max_delete * before:
        raise DataRejectedError(
            f"table {table.name!r}: {changed.deleted} of {before} rows are no longer in the source,"
            f" more than max_delete = {table.max_delete:g} allows; the table is as it was",
            hint="if that is right, raise max_delete (1 = no limit) for one load",
        )
