"""Marts: one SELECT in one .sql file each, brought up to date together in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from etl_jobs.changes import Change, Changed
from etl_jobs.errors import MisconfiguredError
from etl_jobs.names import LONGEST_NAME, derived
from etl_jobs.owned import BUILT, refuse_other_mart
from etl_jobs.repeating import replace_rows
from etl_jobs.tables import Catalogue
from etl_jobs.target import columns_of
from etl_jobs.warehouse import Session, locked, prepare


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A mart as it stands after the build."""

    name: str
    rows: int
    changed: Changed


def build_marts(session: Session, catalogue: Catalogue, *, wait: float) -> list[Built]:
    """All marts of the catalogue, or none: readers see the old ones until all are done. Equal rows stay."""
    files = _files(catalogue)
    if not files:
        return []
    prepare(session, catalogue.mart_schema)
    with locked(session, catalogue.mart_schema, wait=wait), session.transaction():
        path = sql.SQL("SET LOCAL search_path = {}").format(sql.Identifier(catalogue.schema))
        session.execute(path)
        return [_build(session, catalogue, file) for file in files]


def _files(catalogue: Catalogue) -> list[Path]:
    if catalogue.marts is None:
        return []
    files = sorted(catalogue.marts.glob("*.sql"))
    if not files:
        raise MisconfiguredError(f"no .sql file in {catalogue.marts}", hint="see [warehouse] marts in the catalogue")
    for file in files:
        if len(file.stem.encode()) > LONGEST_NAME:
            raise MisconfiguredError(
                f"{file}: a mart's name is at most {LONGEST_NAME} bytes long, as the server keeps it"
            )
    return files


def _build(session: Session, catalogue: Catalogue, file: Path) -> Built:
    refuse_other_mart(session, catalogue.mart_schema, file.stem)
    mart = sql.Identifier(catalogue.mart_schema, file.stem)
    new = sql.Identifier("pg_temp", derived(file.stem, before="new "))
    query = sql.SQL(file.read_text("utf-8"))
    try:
        session.execute(sql.SQL("CREATE TEMPORARY TABLE {} ON COMMIT DROP AS {}").format(new, query))
    except psycopg.ProgrammingError as error:
        raise MisconfiguredError(f"{file}: {error.diag.message_primary}") from error
    columns = columns_of(session, new)
    if columns_of(session, mart) != columns:
        _remake(session, mart, new, file)
    change = Change(staging=new, target=mart, columns=columns, key=())
    changed = replace_rows(session, change)
    session.execute(
        sql.SQL("DROP TABLE pg_temp.{}, pg_temp.{}").format(*map(sql.Identifier, ("fresh rows", "gone rows")))
    )
    row = session.execute(sql.SQL("SELECT count(*) FROM {}").format(new)).fetchone()
    return Built(name=file.stem, rows=row[0] if row else 0, changed=changed)


def _remake(session: Session, mart: sql.Identifier, new: sql.Identifier, file: Path) -> None:
    """A mart that is new, or whose query has other columns than before, starts empty."""
    try:
        session.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(mart))
    except psycopg.errors.DependentObjectsStillExist as error:
        raise MisconfiguredError(
            f"{file}: the columns have changed, but something depends on the old mart: {error.diag.message_detail}",
            hint="drop what depends on it and make it again afterwards",
        ) from error
    session.execute(sql.SQL("CREATE TABLE {} (LIKE {})").format(mart, new))
    comment = sql.Literal(BUILT.format(file.stem))
    session.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(mart, comment))
