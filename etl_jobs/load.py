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
from etl_jobs.sources import Source, open_source
from etl_jobs.staging import check_header, copy_into, create_staging, identifiers
from etl_jobs.tables import Catalogue, Table
from etl_jobs.target import ensure_target
from etl_jobs.warehouse import Session, locked, prepare, server_version

_RECORDED = {c: c for c in ("inserted", "updated", "deleted", "duplicates", "orphans")} | {"rows": "rows_in"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """Who loads: `run` is None for a load started by hand."""

    run: int | None
    job: str
    number: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What a load did. `recorded` means that an earlier attempt of the same job had done it already."""

    rows: int
    inserted: int
    updated: int
    deleted: int
    duplicates: int
    orphans: int
    rejected: int = 0
    bytes: int = 0
    copy_seconds: float = 0.0
    check_seconds: float = 0.0
    load_seconds: float = 0.0
    recorded: bool = False


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
        if recorded := _recorded(session, name, attempt, fingerprint=fingerprint):
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


def target_name(catalogue: Catalogue, table: Table) -> str:
    """What locks and load records call the target."""
    return f"{catalogue.schema}.{table.name}"


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
        ensure_target(self.session, self.target, self.staging, self.table)
        since = _since(self.session, self.name, self.table)
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
            _remember(self.session, self.name, self.table, found)
            loaded = Loaded(
                rows=found.rows,
                **asdict(changed),
                duplicates=found.duplicates,
                orphans=sum(found.orphans),
                bytes=staged.bytes,
            )
            _record(self.session, attempt, self._record_values(loaded, found, since=staged.since))
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
            **{column: getattr(loaded, field) for field, column in _RECORDED.items()},
        }


def part_of(table: Table, *, since: str | None) -> sql.Composable | None:
    """Which rows of source and target a load answers for, as an SQL condition; None means all of them."""
    if table.strategy == "slice":
        return sql.SQL("(({}) IS TRUE)").format(sql.SQL(table.where))
    if table.strategy == "incremental" and since is not None:
        return sql.SQL("(({} >= {}) IS NOT FALSE)").format(sql.Identifier(table.watermark), sql.Literal(since))
    return None


def _since(session: Session, name: str, table: Table) -> str | None:
    """Where an incremental load begins: the watermark minus the lag; None the first time."""
    if table.strategy != "incremental":
        return None
    lag = sql.SQL(" - interval {}" if isinstance(table.lag, str) else " - {}").format(sql.Literal(table.lag))
    statement = sql.SQL(
        'SELECT (CAST(value AS {}){})::text FROM etl.watermark WHERE target = {} AND "column" = {}'
    ).format(
        sql.SQL(table.columns[table.watermark]),
        lag if table.lag else sql.SQL(""),
        sql.Literal(name),
        sql.Literal(table.watermark),
    )
    row = session.execute(statement).fetchone()
    return str(row[0]) if row else None


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


def _remember(session: Session, name: str, table: Table, found: Found) -> None:
    """Move the watermark with the rows; it never goes back."""
    if table.strategy != "incremental" or found.watermark is None:
        return
    statement = sql.SQL(
        'INSERT INTO etl.watermark AS w (target, "column", value) VALUES (%s, %s, %s)'
        ' ON CONFLICT (target) DO UPDATE SET "column" = excluded."column", value = excluded.value, updated = DEFAULT'
        ' WHERE w."column" <> excluded."column" OR CAST(w.value AS {kind}) < CAST(excluded.value AS {kind})'
    ).format(kind=sql.SQL(table.columns[table.watermark]))
    session.execute(statement, [name, table.watermark, found.watermark])


def _recorded(session: Session, name: str, attempt: Attempt, *, fingerprint: str) -> Loaded | None:
    """What an earlier attempt of this job committed without living to say so.

    Only if it is the target's last load and its source is still the same: then the target holds it.
    """
    if attempt.run is None or attempt.number == 1:
        return None
    statement = sql.SQL(
        "SELECT {} FROM etl.load AS l"
        " WHERE target = %s AND run = %s AND job = %s AND attempt < %s AND fingerprint = %s"
        " AND NOT EXISTS (SELECT FROM etl.load AS later WHERE later.target = l.target AND later.id > l.id)"
    ).format(identifiers(_RECORDED.values()))
    row = session.execute(statement, [name, attempt.run, attempt.job, attempt.number, fingerprint]).fetchone()
    return Loaded(**dict(zip(_RECORDED, row, strict=True)), recorded=True) if row else None


def _record(session: Session, attempt: Attempt, values: dict[str, object]) -> None:
    """Write the load record; one of an earlier run with the same number (a new ledger) gives way."""
    session.execute(
        "DELETE FROM etl.load WHERE run = %s AND job = %s AND target = %s",
        [attempt.run, attempt.job, values["target"]],
    )
    values = {"run": attempt.run, "job": attempt.job, "attempt": attempt.number, **values}
    statement = sql.SQL("INSERT INTO etl.load ({}) VALUES ({})")
    session.execute(statement.format(identifiers(values), sql.SQL(", ").join(map(sql.Placeholder, values))), values)
