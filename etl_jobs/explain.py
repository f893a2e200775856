"""What a load would do, as SQL: the load's own steps, given a session that only writes their statements down."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, cast

from psycopg import sql

from etl_jobs.ancestors import ancestors
from etl_jobs.batches import Batch, batches_in, refuse_unknown_batches, refuse_untold_files
from etl_jobs.checks import HIDDEN, Found, count_problems
from etl_jobs.copying import text_statement
from etl_jobs.infer import infer
from etl_jobs.owned import refuse_others
from etl_jobs.parents import keys_of
from etl_jobs.places import Places
from etl_jobs.records import cached_load, declaration, is_held, refuse_full_interval
from etl_jobs.rules import Lot
from etl_jobs.shape import Shape, pinned_columns, shape_of
from etl_jobs.sources import open_source, types_of
from etl_jobs.staging import check_header, create_staging
from etl_jobs.strategies import change_target, part_of
from etl_jobs.swap import moving, refuse_dependents
from etl_jobs.tables import Catalogue, Table
from etl_jobs.target import columns_of, create_target, refuse_history
from etl_jobs.warehouse import Session
from etl_jobs.watermarks import beginning
from etl_jobs.work import Staged, Work

_SWAP = (
    "-- staging gets the target's defaults, constraints, indexes, comments, grants, owner; then, for a moment:\n"
    "LOCK TABLE {target} IN ACCESS EXCLUSIVE MODE;\n"
    "DROP TABLE {target};\n"
    "{moving};\n"
    "-- views on it are given their queries again"
)


def explain(session: Session, catalogue: Catalogue, table: Table, *, full: bool) -> str:
    """The steps of this load in words and SQL. Reads the source's header and the server's catalogue, changes nothing.

    Raises what the load itself would raise before it reads any rows.
    """
    refuse_others(session, catalogue, table)
    if full:
        refuse_full_interval(table)
    refuse_untold_files(catalogue, table)
    source = open_source(catalogue, table)
    target = sql.Identifier(catalogue.schema, table.name)
    held = columns_of(session, target)
    refuse_history(session, target, table, source, found=held)
    header = check_header(source, table, pinned=pinned_columns(table, held))
    shape = shape_of(table, header, held, own=types_of(source))
    work = Work(session=session, catalogue=catalogue, table=shape.table, source=source, held=held, full=full, wait=0.0)
    knows = session.execute("SELECT to_regclass('etl.batch') IS NOT NULL").fetchone()
    known = bool(knows and knows[0]) and bool(held) and not full
    probe = sql.Identifier("pg_temp", table.name)  # the server's names of the declared types
    create_staging(session, probe, shape.table, logged=True)
    work.check_target(shape, like=probe)
    if held and table.strategy == "replace":
        refuse_dependents(session, work.target)
    if known:
        refuse_unknown_batches(session, work.name, work.table)
    cached = _cached(session, work, table) if known else ""
    work = replace(work, full=full or bool(cached))
    since = beginning(session, work.name, shape.table) if known and not cached else None
    if since and table.watermark in table.secret:
        since = HIDDEN
    said = [_head(session, work, since=since)]
    if cached and table.interval:
        return f"{said[0]}\n-- Nothing would be done: {cached}."
    if cached:
        said.append(f"-- Nothing would be done: {cached}. With --full-refresh:")
    return "\n".join([*said, *_steps(work, shape, header, since=since)])


def _steps(work: Work, shape: Shape, header: tuple[str, ...], *, since: str | None) -> list[str]:
    part = part_of(work.table, since=since)
    said = ["-- 1. Staging", *_staging(work, shape, header, part)]
    said += ["-- 2. Checks: one statement counts everything", *_checks(work, part)]
    return [*said, "-- 3. One transaction", *_apply(work, shape, part, since=since)]


def _head(session: Session, work: Work, *, since: str | None) -> str:
    exists = f"has {len(work.held)} columns" if work.held else "does not exist"
    since_when = f", from {since} on" if since else ""
    target = work.target.as_string(session)
    return f"-- {work.table.strategy} of {work.source.name}{since_when} into {target}, which {exists}"


def _cached(session: Session, work: Work, table: Table) -> str:
    declared = declaration(work.catalogue, table)
    found = cached_load(session, work.name, table, fingerprint=work.source.fingerprint(), declared=declared)
    return found.cached if found and is_held(session, work.target, found) else ""


def _staging(work: Work, shape: Shape, header: tuple[str, ...], part: sql.Composable | None) -> list[str]:
    script = _Script(work.session)
    create_staging(script.session, work.staging, work.table, first=work.held, logged=work.beside)
    script.execute(text_statement(work.copy(header, None if shape.unknown else part)))
    if shape.unknown:
        script.say(f"the types of {', '.join(shape.unknown)} are found in all their values")
        infer(script.session, work.staging, shape.unknown)
        if part is not None:
            script.execute(sql.SQL("DELETE FROM {} WHERE NOT {}").format(work.staging, part))
    if work.table.batched:
        batches_in(script.session, work.staging, work.table)
    return script.lines


def _checks(work: Work, part: sql.Composable | None) -> list[str]:
    script = _Script(work.session)
    own = {work.table.name: work.staging} if part is None else {}
    for name in (name for group in ancestors(work.catalogue, work.table) for name in group if name not in own):
        script.say(f"the keys of {name} are read from its source")
    parents = [own.get(r.table, keys_of(r.table)) for r in work.table.references]
    count_problems(Lot(session=script.session, table=work.table, staging=work.staging, parents=parents))
    return script.lines


def _apply(work: Work, shape: Shape, part: sql.Composable | None, *, since: str | None) -> list[str]:
    script = _Script(work.session)
    nothing = Found(rows=0, checksum=0, watermark=None, duplicates=0, orphans=(), counts=())
    staged = Staged(
        part=part, since=since, bytes=0, rejected=(), places=Places(work.source), batches=(Batch(None, 0, 0),)
    )
    script.lines.append("BEGIN;")
    if not work.held:
        create_target(script.session, work.target, work.table)
    if work.beside:
        moved = sql.SQL(";\n").join(moving(work.catalogue, work.table.name))
        script.lines.append(sql.SQL(_SWAP).format(target=work.target, moving=moved).as_string(work.session))
    else:
        if shape.added:
            script.say(f"just before: ALTER TABLE … ADD COLUMN {', '.join(shape.added)}")
        change_target(script.session, work.step(staged, nothing))
    if work.table.goes_on:
        script.say(f"the watermark moves to the greatest {work.table.watermark}")
    script.say(f"INSERT INTO etl.load: what was done to {work.name}")
    if work.table.reject_limit:
        script.say(f"rejected rows go to {work.rejects.as_string(work.session)}")
    return [*script.lines, "COMMIT;"]


@dataclass(slots=True)
class _Script:
    """Stands in for a session: writes statements down, and answers that nothing was found."""

    real: Session
    lines: list[str] = field(default_factory=list)
    rowcount: int = 0

    @property
    def session(self) -> Session:
        return cast(Session, self)

    @property
    def info(self) -> Any:
        return self.real.info

    def say(self, words: str) -> None:
        self.lines.append(f"-- {words}")

    def execute(self, statement: sql.Composable | str, params: object = None) -> _Script:
        text = statement if isinstance(statement, str) else statement.as_string(self.real)
        for value in params if isinstance(params, list | tuple) else ():
            text = text.replace("%s", sql.Literal(value).as_string(self.real), 1)
        self.lines.append(" ".join(text.split()) + ";")
        return self

    def fetchall(self) -> list[tuple[int, ...]]:
        return []

    def fetchone(self) -> tuple[int, ...]:
        return (0,) * 500

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        yield
