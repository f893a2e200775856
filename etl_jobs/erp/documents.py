"""Documents that people pay: those that are paid are read once, the others again until they are.

A run reads from the ERP what is unpaid or new, and what was unpaid in the warehouse and is paid now. These rows replace
every unpaid one, in one transaction. So a run costs what is open, not what there is; and a document that was
cancelled while it was unpaid goes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from psycopg import sql

from etl_jobs.erp.lookups import LookUp, looked_up
from etl_jobs.erp.session import erp_session
from etl_jobs.sources.jsonrpc import Erp, Record
from etl_jobs.sources.paths import path_of
from etl_jobs.sources.records import are_arrays, header, lines, rows_of
from etl_jobs.sources.trail import Trail
from etl_jobs.staging import copy_into, definitions
from etl_jobs.warehouse import Session, connect, locked, prepare
from etl_runner.job import report

SCHEMA = "erp"
_IDS_AT_ONCE = 500
_UNPAID = ["payment_state", "!=", "paid"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """What to read and where it goes.

    `columns`: name → type and path in the record, where `partner` and `company` are the looked-up ones and
    `paid` says whether nothing is left to pay. There must be `id` and `paid`.
    """

    model: str
    target: str
    fields: Sequence[str]
    columns: Mapping[str, tuple[str, str]]

    @property
    def types(self) -> dict[str, str]:
        return {name: kind for name, (kind, _) in self.columns.items()}


def reload_unpaid(documents: Documents, *, wait: float = 60.0) -> None:
    """Bring the target up to date over one connection to the ERP and one to the warehouse."""
    name = f"{SCHEMA}.{documents.target}"
    target = sql.Identifier(SCHEMA, documents.target)
    with connect() as session:
        prepare(session, SCHEMA)
        with locked(session, name, wait=wait):
            create = sql.SQL("CREATE TABLE IF NOT EXISTS {} ({}, PRIMARY KEY (id))")
            session.execute(create.format(target, definitions(documents.types)))
            with erp_session() as erp:
                rows = _stage(session, erp, documents, target)
            deleted, inserted = _replace(session, target)
            row = session.execute(sql.SQL("SELECT count(*) FROM {} WHERE NOT paid").format(target)).fetchone()
    unpaid = row[0] if row else 0
    report(table=name, rows=rows, deleted=deleted, inserted=inserted, unpaid=unpaid)
    print(f"{name}: {rows:,} documents read, {deleted:,} rows replaced by {inserted:,}, {unpaid:,} unpaid")


def _stage(session: Session, erp: Erp, documents: Documents, target: sql.Identifier) -> int:
    """What is to be replaced, in a table that only this session sees."""
    staged = sql.Identifier("pg_temp", "staged")
    session.execute(sql.SQL("CREATE TEMPORARY TABLE {} (LIKE {})").format(staged, target))
    open_ids = [n for (n,) in session.execute(sql.SQL("SELECT id FROM {} WHERE NOT paid").format(target))]
    newest = session.execute(sql.SQL("SELECT coalesce(max(id), 0) FROM {}").format(target)).fetchone()
    source = _DocumentSource(erp, documents, open_ids=open_ids, newest=newest[0] if newest else 0)
    copy_into(session, staged, source, tuple(documents.columns))
    return source.trail.records


def _replace(session: Session, target: sql.Identifier) -> tuple[int, int]:
    """Delete what is unpaid or was read again, insert what was read: how many of each."""
    delete = sql.SQL("DELETE FROM {} WHERE NOT paid OR id IN (SELECT id FROM pg_temp.staged)")
    with session.transaction():
        deleted = session.execute(delete.format(target)).rowcount
        inserted = session.execute(sql.SQL("INSERT INTO {} SELECT * FROM pg_temp.staged").format(target)).rowcount
    return deleted, inserted


class _DocumentSource:
    """The documents to read now, as CSV text."""

    delimiter, quote, escape, null, encoding = ",", '"', '"', "", "UTF8"

    def __init__(self, erp: Erp, documents: Documents, *, open_ids: Sequence[int], newest: int) -> None:
        self.name = f"the ERP's {documents.model}"
        self.trail = Trail()
        self._erp, self._documents, self._open, self._newest = erp, documents, open_ids, newest

    def columns(self) -> tuple[str, ...]:
        return tuple(self._documents.columns)

    def blocks(self) -> Iterator[bytes]:
        partners = looked_up(self._erp, "res.partner", ["name", "country", "city"])
        companies = looked_up(self._erp, "res.company", ["name", "currency"])
        paths = [path_of(path) for _, path in self._documents.columns.values()]
        arrays = are_arrays(self._documents.types)
        yield header(self.columns())
        for page in self._pages():
            records = [_complete(record, partners, companies) for record in page]
            block = lines(rows_of(records, paths), arrays)
            self.trail.add(block, records=len(records))
            yield block

    def fingerprint(self) -> str:
        return ""

    def size(self) -> int | None:
        return None

    def place(self, *, record: int | None = None, line: int | None = None) -> str:
        return f"{self.name}, {f'row {record}' if record is not None else self.trail.at_line(line or 1)}"

    def _pages(self) -> Iterator[list[Record]]:
        """What is unpaid or new, then what has been paid since it was read."""
        wanted = self._documents.fields
        seen: set[int] = set()
        for page in self._erp.pages(self._documents.model, wanted, domain=["|", _UNPAID, ["id", ">", self._newest]]):
            seen.update(record["id"] for record in page)
            yield page
        settled = iter([n for n in self._open if n not in seen])
        while ids := list(islice(settled, _IDS_AT_ONCE)):
            yield from self._erp.pages(self._documents.model, wanted, domain=[["id", "in", ids]])


def _complete(record: Record, partners: LookUp, companies: LookUp) -> Record:
    """The record with its partner and company; those that came after the look-up have their name alone."""
    more: dict[str, Any] = {"paid": record["payment_state"] == "paid"}
    for name, known in (("partner", partners), ("company", companies)):
        reference = record[f"{name}_id"]
        more[name] = (known.get(reference[0]) or {"name": reference[1]}) if reference else None
    return {**record, **more}
