"""The first half of a load: the source's text into staging, with the types that it is to have, and checked."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import psycopg
from psycopg import sql
from psycopg.errors import NumericValueOutOfRange

from etl_jobs.batches import Batch, batches_in
from etl_jobs.changes import Change
from etl_jobs.checks import Found, judge
from etl_jobs.checksums import refuse_incomparable
from etl_jobs.copying import Copied, Copy
from etl_jobs.declared_checks import refuse_unfit
from etl_jobs.errors import DataRejectedError, MisconfiguredError
from etl_jobs.infer import cast, infer
from etl_jobs.judging import Judged
from etl_jobs.parents import judge_with_parents
from etl_jobs.places import Places, kept_records
from etl_jobs.records import rows_of_last_load, target_name
from etl_jobs.refusals import words_of
from etl_jobs.rejects import Rejected, unreadable
from etl_jobs.rules import Lot
from etl_jobs.shape import Shape, refuse_text_watermark
from etl_jobs.sources import Source
from etl_jobs.sources.types import wider
from etl_jobs.staging import create_staging, identifiers, refusing_long_rows
from etl_jobs.strategies import Step, part_of
from etl_jobs.swap import refuse_dependents
from etl_jobs.tables import HISTORY, Catalogue, Table
from etl_jobs.target import check_target, columns_of, refuse_losses, retyping
from etl_jobs.transfer import copy_rows
from etl_jobs.warehouse import Session
from etl_jobs.watermarks import beginning, warning_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """What was copied: the condition it was filtered by, where an increment began, how many bytes were read.

    `rejected` are the records that are not in staging, or no longer; `places` says where its rows come from, `batches`
    what was copied where that is what is remembered.
    """

    part: sql.Composable | None
    since: str | None
    bytes: int
    rejected: tuple[Rejected, ...]
    places: Places
    batches: tuple[Batch, ...] = ()
    warned: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is to be loaded, and where. `held` are the target's columns with types, empty where it is missing."""

    session: Session
    catalogue: Catalogue
    table: Table
    source: Source
    held: Mapping[str, str]
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

    @property
    def beside(self) -> bool:
        """Staging itself becomes the target: it need not be copied again, and an index is made faster than filled."""
        return self.table.strategy == "replace" or not (self.held or self.table.strategy == "scd2")

    @property
    def rejects(self) -> sql.Identifier:
        return sql.Identifier(self.catalogue.schema, self.table.rejects_name)

    def stage(self, header: tuple[str, ...], shape: Shape) -> tuple[Work, Staged]:
        """Copy the source; returns the work with the types of all columns as well."""
        if self.beside and self.held:
            refuse_dependents(self.session, self.target)
        since = None if self.full or not self.held else beginning(self.session, self.name, self.table)
        part = part_of(self.table, since=since)
        together = self.session.transaction() if self.beside else contextlib.nullcontext()
        with refusing_long_rows(self.table), together:
            create_staging(self.session, self.staging, self.table, first=self.held, logged=self.beside)
            self.check_target(shape, like=self.staging)
            copied = self._copied(self.copy(header, None if shape.unknown else part))
            types = self._inferred(shape.unknown, part)
        typed = replace(self, table=replace(self.table, columns=self.table.columns | types))
        refuse_unfit(typed.table)
        self._analyze()
        rejected, unread = unreadable(self.source, header, copied.skipped, table=self.table)
        kept = kept_records(typed.copy(header, part), typed.table, unread=unread)
        places = Places(self.source, kept=kept, unread=unread)
        batches = batches_in(self.session, self.staging, typed.table) if self.table.batched else ()
        return typed, Staged(
            part=part,
            since=since,
            bytes=copied.bytes,
            rejected=tuple(rejected),
            places=places,
            batches=tuple(batches),
        )

    def _inferred(self, unknown: tuple[str, ...], part: sql.Composable | None) -> dict[str, str]:
        """Give the columns that came as text their types. Only then a condition can be asked about such rows."""
        types = infer(self.session, self.staging, unknown)
        refuse_text_watermark(self.table, types)
        cast(self.session, self.staging, types)
        if unknown and part is not None:
            with self._asking(part):
                self.session.execute(sql.SQL("DELETE FROM {} WHERE NOT {}").format(self.staging, part))
        return types

    def _analyze(self) -> None:
        """What the server has to know of staging; of a table that is replaced, what it knew of the old one."""
        if self.beside and self.held:
            self.session.execute(sql.SQL("ANALYZE {}").format(self.staging))
        elif self.table.key:
            with self.session.transaction():
                self.session.execute("SET LOCAL default_statistics_target = 10")  # a tenth of the pages
                self.session.execute(sql.SQL("ANALYZE {} ({})").format(self.staging, identifiers(self.table.key)))

    def check_target(self, shape: Shape, *, like: sql.Identifier) -> None:
        """Refuse types that no load can compare, and a target that is not as declared.

        `like` is a relation with the declared columns.
        """
        refuse_incomparable(self.session, like, self.table.columns, table=self.table.name)
        if self.held:
            wanted = columns_of(self.session, like) | self._history()
            new = shape.added if self.table.new_columns == "add" else shape.unknown
            known = {column: kind for column, kind in wanted.items() if column not in new}
            check_target(self.session, self.target, self.table, found=self.held, wanted=known)
            refuse_losses(self.session, self.target, self.table, self.source, found=self.held)

    def copy(self, header: tuple[str, ...], part: sql.Composable | None) -> Copy:
        """The source's way into staging; of its rows those of `part`."""
        return Copy(
            session=self.session,
            target=self.staging,
            source=self.source,
            columns=header,
            secret=self.table.secret,
            part=part,
            freeze=self.beside,
            limit=self.table.reject_limit,
        )

    def _copied(self, copy: Copy) -> Copied:
        try:
            with self._asking(copy.part):
                return copy_rows(copy)
        except DataRejectedError as error:
            column = re.search(r"column '(.+?)'", error.message)
            if column and not error.hint:
                error.hint = self._cure(column[1], too_large=isinstance(error.__cause__, NumericValueOutOfRange))
            elif not column and not error.hint and self.table.where:
                error.hint = self._what_where_has_to_be
            raise

    def _cure(self, column: str, *, too_large: bool) -> str:
        """Which type takes the value, if it is right."""
        kind = wider(self.table.columns.get(column, "")) if too_large else "text"
        if column in self.held:
            return retyping(self.session, self.target, column, kind)
        return f"if the source is right, declare {column!r} as {kind}" if too_large else ""

    @property
    def _what_where_has_to_be(self) -> str:
        return f"where = {self.table.written_where!r} has to be a condition that every row can be asked about"

    @contextlib.contextmanager
    def _asking(self, part: sql.Composable | None) -> Iterator[None]:
        """Say of what goes wrong with the condition of a slice that it does."""
        try:
            yield
        except (psycopg.ProgrammingError, psycopg.DataError) as error:
            if part is None or not self.table.where:
                raise
            kind = MisconfiguredError if isinstance(error, psycopg.ProgrammingError) else DataRejectedError
            said = words_of(error, secret=bool(self.table.secret))
            raise kind(
                f"table {self.table.name!r}: where: {said}",
                hint=self._what_where_has_to_be,
            ) from error

    def _history(self) -> dict[str, str]:
        names = {"timestamptz": "timestamp with time zone"}
        return {c: names.get(k, k) for c, k in HISTORY.items() if c in self.table.held_columns}

    def check(self, staged: Staged) -> tuple[Staged, Found]:
        """Raise what is wrong with the rows, or take them out where the catalogue allows it."""
        lot = Lot(session=self.session, table=self.table, staging=self.staging, parents=())
        own = Judged(lot=lot, places=staged.places, count=len(staged.rejected), tells=True)
        found = judge_with_parents(self.catalogue, own, whole=staged.part is None)
        before = None if self.table.interval else rows_of_last_load(self.session, self.name)
        warned = judge(own.lot, found, places=own.places, rows_before=before)
        warned += warning_of(self.session, self.table, since=staged.since)
        rejected = (*staged.rejected, *own.rejected())
        return replace(staged, rejected=rejected, places=own.places, warned=tuple(warned)), found

    def step(self, staged: Staged, found: Found) -> Step:
        """What is left to be done, in one transaction."""
        columns, key = self.table.columns, self.table.identity
        return Step(
            catalogue=self.catalogue,
            table=self.table,
            change=Change(staging=self.staging, target=self.target, columns=columns, key=key),
            part=staged.part,
            batch=(found.rows, found.checksum),
            batches=staged.batches,
            full=self.full,
            beside=self.beside,
            patience=self.wait,
        )
