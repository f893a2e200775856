"""One load of documents: what is unpaid, new or not here is read, and replaces what was unpaid, in one transaction.

So a run costs what is open, not what there is, and a document that was cancelled while it was unpaid goes.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from psycopg import sql

from etl_jobs.checksums import whole
from etl_jobs.command import this_attempt
from etl_jobs.copying import Copy, copy_text
from etl_jobs.erp.documents import Documents, DocumentSource, paid_ids
from etl_jobs.erp.session import asked, erp_session
from etl_jobs.errors import DataRejectedError
from etl_jobs.records import RECORDED, Attempt, Loaded, is_held, recorded_load, write_record
from etl_jobs.sources.jsonrpc import Erp
from etl_jobs.staging import definitions, identifiers
from etl_jobs.target import check_target, columns_of, create_target
from etl_jobs.warehouse import Session, connect, locked, prepare
from etl_runner.job import report

SCHEMA = "erp"
_STAGED = sql.Identifier("pg_temp", "staged")
_MAY_GO = 0.5  # of the unpaid documents: more than that gone at once is a mistake rather than cancelled ones
_FEW = 20


def load_documents(documents: Documents, description: str) -> None:
    """A script's main: its options, the load, what to say of it."""
    parser = argparse.ArgumentParser(description=f"{description} Reads what is unpaid or new.")
    parser.add_argument("--full-refresh", action="store_true", help="read everything again, what is paid as well")
    parser.add_argument("--wait", type=float, default=60.0, help="seconds to wait for another load of the table")
    options = parser.parse_args()
    attempt = this_attempt(documents.target.replace("_", "-"))
    name = f"{SCHEMA}.{documents.target}"
    with connect() as session:
        prepare(session, SCHEMA)
        with locked(session, name, wait=options.wait):
            load = _Load(session=session, documents=documents, attempt=attempt, full=options.full_refresh)
            loaded = load.known() or load.run()
            row = session.execute(sql.SQL("SELECT count(*) FROM {} WHERE NOT paid").format(load.target)).fetchone()
    _tell(name, loaded, unpaid=row[0] if row else 0)


def _tell(name: str, loaded: Loaded, *, unpaid: int) -> None:
    changed = {"rows": loaded.rows, "deleted": loaded.deleted, "inserted": loaded.inserted}
    report(table=name, **changed, unpaid=unpaid, load=loaded.load, **({"recorded": True} if loaded.recorded else {}))
    print(
        f"{name}: {loaded.rows:,} documents read, {loaded.deleted:,} rows replaced by {loaded.inserted:,},"
        f" {unpaid:,} unpaid" + (", as recorded by an earlier attempt" if loaded.recorded else "")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Load:
    """The steps, under the target's lock."""

    session: Session
    documents: Documents
    attempt: Attempt
    full: bool

    @property
    def name(self) -> str:
        return f"{SCHEMA}.{self.documents.target}"

    @property
    def target(self) -> sql.Identifier:
        return sql.Identifier(SCHEMA, self.documents.target)

    @property
    def question(self) -> str:
        """What is asked of whom: an earlier attempt that asked the same need not be repeated."""
        return asked(repr((self.documents, self.full)))

    def known(self) -> Loaded | None:
        """What an earlier attempt of this job committed without living to say so, if the table still has it."""
        if not columns_of(self.session, self.target):
            return None
        found = recorded_load(self.session, self.name, self.attempt, fingerprint=self.question)
        return found if found and is_held(self.session, self.target, found) else None

    def run(self) -> Loaded:
        started = datetime.now(UTC)
        create = sql.SQL("CREATE TEMPORARY TABLE {} ({})")
        self.session.execute(create.format(_STAGED, definitions(self.documents.types)))
        held = columns_of(self.session, self.target)
        if held:
            wanted = columns_of(self.session, _STAGED)
            check_target(self.session, self.target, self.documents.table, found=held, wanted=wanted)
        with erp_session() as erp:
            rows = self._stage(erp, held)
        return self._replace(held, rows=rows, started=started)

    def _stage(self, erp: Erp, held: Mapping[str, str]) -> int:
        """What is to be replaced, in a table that only this session sees: how many documents."""
        ids, newest = [], 0
        if held and not self.full:
            query = sql.SQL(
                "SELECT coalesce(array_agg(id) FILTER (WHERE NOT paid), ARRAY[]::integer[]), max(id) FROM {}"
            )
            row = self.session.execute(query.format(self.target)).fetchone()
            ids, newest = (row[0], row[1] or 0) if row else ([], 0)
            ids += self._late(erp, newest)
        source = DocumentSource(erp, self.documents, ids=ids, newest=newest)
        columns = tuple(self.documents.columns)
        copy_text(Copy(session=self.session, target=_STAGED, source=source, columns=columns, secret=()))
        return source.trail.records

    def _late(self, erp: Erp, newest: int) -> list[int]:
        """The ids of what is paid and not here, although what came after it is: ids are given before a commit."""
        asked = sql.SQL("SELECT n FROM unnest(%s::bigint[]) AS n WHERE NOT EXISTS (SELECT FROM {} WHERE id = n)")
        late = asked.format(self.target)
        pages = paid_ids(erp, self.documents, newest=newest)
        return [n for page in pages for (n,) in self.session.execute(late, [page]).fetchall()]

    def _replace(self, held: Mapping[str, str], *, rows: int, started: datetime) -> Loaded:
        """Delete what is unpaid or was read again, insert what was read, and the load record with it."""
        which = "" if self.full else " WHERE NOT paid OR id IN (SELECT id FROM pg_temp.staged)"
        columns = identifiers(self.documents.columns)  # whose order in the target may be another one
        delete, insert = sql.SQL("DELETE FROM {}" + which), sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {}")
        with self.session.transaction():
            if not held:
                create_target(self.session, self.target, self.documents.table)
            self._refuse_too_few()
            deleted = self.session.execute(delete.format(self.target)).rowcount
            inserted = self.session.execute(insert.format(self.target, columns, columns, _STAGED)).rowcount
            loaded = Loaded(rows=rows, inserted=inserted, updated=0, deleted=deleted, duplicates=0, orphans=0)
            values = self._record(loaded) | {"started": started}
            return replace(loaded, load=write_record(self.session, self.attempt, values))

    def _refuse_too_few(self) -> None:
        """An ERP that suddenly shows next to nothing has changed somebody's rights, or is another one."""
        row = self.session.execute(
            sql.SQL(
                "SELECT count(*), count(*) FILTER (WHERE NOT EXISTS"
                " (SELECT FROM pg_temp.staged AS s WHERE s.id = t.id)) FROM {} AS t WHERE NOT paid"
            ).format(self.target)
        ).fetchone()
        unpaid, gone = row or (0, 0)
        if gone > max(_FEW, _MAY_GO * unpaid) and not self.full:
            raise DataRejectedError(
                f"{self.name}: {gone:,} of {unpaid:,} unpaid documents are no longer in the ERP",
                hint="may this user still see them? If they are gone indeed: --full-refresh",
            )

    def _record(self, loaded: Loaded) -> dict[str, object]:
        columns = self.documents.types
        checksum = whole(self.session, _STAGED, columns)[1]
        held_rows, held_checksum = whole(self.session, self.target, columns)
        return {
            "target": self.name,
            "strategy": "slice",
            "source": self.documents.origin,
            "fingerprint": self.question,
            "checksum": checksum,
            "held_rows": held_rows,
            "held_checksum": held_checksum,
            **{column: getattr(loaded, field) for field, column in RECORDED.items()},
        }
