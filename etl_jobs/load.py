"""One load: source → staging → checks → one transaction with the rows, the watermark and the load record."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from psycopg import sql

from etl_jobs.appending import forget_batches
from etl_jobs.changes import Change
from etl_jobs.checks import Found, count_problems, judge, whole
from etl_jobs.parents import parents_keys
from etl_jobs.places import Places, kept_records
from etl_jobs.records import (
    RECORDED,
    Attempt,
    Loaded,
    cached_load,
    declaration,
    forget_watermark,
    move_watermark,
    recorded_load,
    rows_of_last_load,
    target_name,
    watermark_less_lag,
    write_record,
)
from etl_jobs.rejects import Rejected, keep_rejected, move_bad_rows, unreadable
from etl_jobs.sources import Source, open_source
from etl_jobs.staging import Skipped, check_header, copy_into, create_staging, identifiers
from etl_jobs.strategies import Step, change_target, part_of
from etl_jobs.swap import refuse_dependents
from etl_jobs.tables import HISTORY, Catalogue, Table
from etl_jobs.target import check_target, columns_of, create_target
from etl_jobs.warehouse import Session, locked, prepare


def load_table(
    session: Session, catalogue: Catalogue, table: Table, *, attempt: Attempt, wait: float, full: bool = False
) -> Loaded:
    """Bring the target up to date with its source, or leave it as it is and raise a JobError.

    `wait` is how many seconds to wait for another load of the same target to end. `full` reads the source from
    its beginning and never finds that nothing is to be done.
    """
    source = open_source(catalogue, table)
    header = check_header(source, table)
    prepare(session, catalogue.schema, catalogue.staging_schema)
    name = target_name(catalogue, table)
    with locked(session, name, wait=wait):
        load = _Load(
            session=session,
            catalogue=catalogue,
            table=table,
            source=source,
            fingerprint=source.fingerprint(),
            declared=declaration(table, _parents_fingerprints(catalogue, table)),
            held=columns_of(session, sql.Identifier(catalogue.schema, table.name)),
            started=datetime.now(UTC),
            full=full,
            wait=wait,
        )
        return load.known(attempt) or load.run(header, attempt)


def _parents_fingerprints(catalogue: Catalogue, table: Table) -> list[str]:
    """Of no use, so not asked for, where nothing is ever found unchanged."""
    if not table.skip_unchanged:
        return []
    prints = [open_source(catalogue, catalogue.named(r.table)).fingerprint() for r in table.references]
    return [known or f"unknown at {time.time_ns()}" for known in prints]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Staged:
    """What was copied: the condition it was filtered by, where an increment began, how many bytes were read.

    `rejected` are the records that are not in staging, or no longer; `places` says where its rows come from.
    """

    part: sql.Composable | None
    since: str | None
    bytes: int
    rejected: tuple[Rejected, ...]
    places: Places
    warned: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Load:
    """The steps of one load, under the target's lock. `held` are the target's columns, empty where it is missing."""

    session: Session
    catalogue: Catalogue
    table: Table
    source: Source
    fingerprint: str
    declared: str
    held: Mapping[str, str]
    started: datetime
    full: bool
    wait: float

    @property
    def name(self) -> str:
        return target_name(self.catalogue, self.table)

    @property
    def target(self) -> sql.Identifier:
        return sql.Identifier(self.catalogue.schema, self.table.name)

    @property
    def staging(self) -> sql.Identifier:
        return sql.Identifier(self.catalogue.staging_schema, self.table.name)

    def known(self, attempt: Attempt) -> Loaded | None:
        """What need not be done again: this job did it, or an earlier load still holds."""
        if recorded := recorded_load(self.session, self.name, attempt, fingerprint=self.fingerprint):
            return recorded
        if self.full or not self.held:
            return None
        return cached_load(self.session, self.name, self.table, fingerprint=self.fingerprint, declared=self.declared)

    def run(self, header: tuple[str, ...], attempt: Attempt) -> Loaded:
        started = time.monotonic()
        staged = self.stage(header)
        copied = time.monotonic()
        staged, found = self.check(staged)
        checked = time.monotonic()
        loaded = self.apply(staged, found, attempt)
        return replace(
            loaded,
            copy_seconds=round(copied - started, 3),
            check_seconds=round(checked - copied, 3),
            load_seconds=round(time.monotonic() - checked, 3),
        )

    def stage(self, header: tuple[str, ...]) -> _Staged:
        beside = self.table.strategy == "replace"  # staging itself becomes the target
        if beside and self.held:
            refuse_dependents(self.session, self.target)
        since = None if self.full or not self.held else watermark_less_lag(self.session, self.name, self.table)
        part = part_of(self.table, since=since)
        with self.session.transaction() if beside else contextlib.nullcontext():
            create_staging(self.session, self.staging, self.table, first=self.held, logged=beside)
            if self.held:
                wanted = columns_of(self.session, self.staging) | self._history()
                check_target(self.session, self.target, self.table, found=self.held, wanted=wanted)
            skipped: list[Skipped] = []
            sent = copy_into(
                self.session,
                self.staging,
                self.source,
                header,
                part=part,
                freeze=beside,
                skipped=skipped if self.table.reject_limit else None,
                limit=self.table.reject_limit,
                secret=self.table.secret,
            )
        if beside or self.table.key:
            columns = sql.SQL("") if beside else sql.SQL(" ({})").format(identifiers(self.table.key))
            self.session.execute(sql.SQL("ANALYZE {}").format(self.staging) + columns)
        rejected, unread = unreadable(self.source, header, skipped, table=self.table)
        kept = kept_records(self.session, self.source, self.table, header, part)
        places = Places(self.source, kept=kept, unread=unread)
        return _Staged(part=part, since=since, bytes=sent, rejected=tuple(rejected), places=places)

    def _history(self) -> dict[str, str]:
        names = {"timestamptz": "timestamp with time zone"}
        return {c: names.get(k, k) for c, k in HISTORY.items() if c in self.table.held_columns}

    def check(self, staged: _Staged) -> tuple[_Staged, Found]:
        """Raise what is wrong with the rows, or take them out where the catalogue allows it."""
        parents = parents_keys(self.session, self.catalogue, self.table, self.staging, whole=staged.part is None)
        found = count_problems(self.session, self.staging, self.table, parents)
        while self.table.reject_limit:  # a row taken out may have been another one's parent
            moved, places = move_bad_rows(
                self.session, self.staging, self.table, parents, places=staged.places, already=len(staged.rejected)
            )
            if not moved:
                break
            staged = replace(staged, rejected=(*staged.rejected, *moved), places=places)
            found = count_problems(self.session, self.staging, self.table, parents)
        warned = judge(
            self.session,
            self.staging,
            self.table,
            parents,
            found=found,
            places=staged.places,
            rows_before=rows_of_last_load(self.session, self.name),
        )
        return replace(staged, warned=tuple(warned)), found

    def apply(self, staged: _Staged, found: Found, attempt: Attempt) -> Loaded:
        """Rows, watermark and load record together; staging goes with the same commit."""
        with self.session.transaction():
            if not self.held:
                create_target(self.session, self.target, self.table)
                forget_batches(self.session, self.name)
            if self.full or not self.held:
                forget_watermark(self.session, self.name)
            changed = change_target(self.session, self._step(staged, found))
            move_watermark(self.session, self.name, self.table, found)
            loaded = Loaded(
                rows=found.rows,
                **asdict(changed),
                duplicates=found.duplicates,
                orphans=sum(found.orphans),
                rejected=len(staged.rejected),
                warnings=len(staged.warned),
                warned=staged.warned,
                bytes=staged.bytes,
            )
            rejects = sql.Identifier(self.catalogue.schema, self.table.rejects_name)
            keep_rejected(self.session, rejects, staged.rejected, attempt=attempt, anew=self._answers_for_all())
            number = write_record(self.session, attempt, self._record_values(loaded, found, since=staged.since))
            self.session.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(self.staging))
        return replace(loaded, load=number)

    def _answers_for_all(self) -> bool:
        """Whether what earlier loads rejected is out of date, too."""
        return self.full or self.table.strategy not in {"append", "incremental"}

    def _step(self, staged: _Staged, found: Found) -> Step:
        columns, key = tuple(self.table.columns), self.table.identity
        return Step(
            catalogue=self.catalogue,
            table=self.table,
            change=Change(staging=self.staging, target=self.target, columns=columns, key=key),
            part=staged.part,
            batch=(found.rows, found.checksum),
            full=self.full,
            patience=self.wait,
        )

    def _record_values(self, loaded: Loaded, found: Found, *, since: str | None) -> dict[str, object]:
        if self.table.strategy in {"snapshot", "replace"}:
            held = found.rows, found.checksum
        else:
            held = whole(self.session, self.target, self.table.held_columns)
        return {
            "target": self.name,
            "strategy": self.table.strategy,
            "source": self.source.name,
            "fingerprint": self.fingerprint,
            "declared": self.declared,
            "since": since,
            "checksum": found.checksum,
            "held_rows": held[0],
            "held_checksum": held[1],
            "started": self.started,
            **{column: getattr(loaded, field) for field, column in RECORDED.items()},
        }
