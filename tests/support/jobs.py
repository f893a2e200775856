"""Jobs as real processes, CSV folders with their catalogue, and what a warehouse holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

ROOT = Path(__file__).parents[2]
_KEPT = ("PATH", "HOME", "LANG", "TMPDIR")


def environment(dsn: str | None, **more: str) -> dict[str, str]:
    """A bare environment for a job; nothing of the tester's own PG* or ETL_* gets in."""
    bare = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return bare | ({"DATABASE_URL": dsn} if dsn else {}) | more


def start_job(dsn: str | None, module: str, *arguments: object, **env: str) -> subprocess.Popen[str]:
    """`python -m etl_jobs.<module>` running; wait for it with `communicate`."""
    return subprocess.Popen(
        [sys.executable, "-m", f"etl_jobs.{module}", *map(str, arguments)],
        cwd=ROOT,
        env=environment(dsn, **env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@dataclass(frozen=True)
class Ended:
    """How a job ended, and the metrics it reported."""

    status: int
    stdout: str
    stderr: str
    metrics: dict[str, Any]


def run_job(dsn: str | None, module: str, *arguments: object, output: Path | None = None, **env: str) -> Ended:
    """Run a job to its end."""
    if output is not None:
        output.unlink(missing_ok=True)
        env["ETL_OUTPUT"] = str(output)
    process = start_job(dsn, module, *arguments, **env)
    stdout, stderr = process.communicate(timeout=100)
    metrics: dict[str, Any] = {}
    if output is not None and output.exists():
        for line in output.read_text().splitlines():
            metrics.update(json.loads(line))
    return Ended(status=process.returncode, stdout=stdout, stderr=stderr, metrics=metrics)


@dataclass
class Shop:
    """A folder of CSV files with a catalogue beside it, loaded into one database."""

    folder: Path
    dsn: str
    tables: list[str] = field(default_factory=list)
    source: str = ""

    @property
    def catalogue(self) -> Path:
        return self.folder / "tables.toml"

    def table(self, name: str, columns: Mapping[str, str], settings: str = "") -> None:
        """Declare a table; `settings` are further lines of its part of the catalogue."""
        kinds = ", ".join(f'"{column}" = "{kind}"' for column, kind in columns.items())
        self.tables.append(f'[[table]]\nname = "{name}"\ncolumns = {{ {kinds} }}\n{settings}\n')
        self._write()

    def redeclare(self, number: int, old: str, new: str) -> None:
        assert old in self.tables[number]
        self.tables[number] = self.tables[number].replace(old, new)
        self._write()

    def file(self, name: str, text: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def load(self, number: int = 0, *arguments: object, **env: str) -> Ended:
        return self.run("table", "--id", number, *arguments, **env)

    def run(self, module: str, *arguments: object, **env: str) -> Ended:
        output = self.folder / "output.jsonl"
        return run_job(self.dsn, module, *arguments, "--catalogue", self.catalogue, output=output, **env)

    def rows(self, name: str) -> list[tuple[Any, ...]]:
        """All rows of the target in order; an empty list where it does not exist."""
        return rows(self.dsn, "shop", name)

    def _write(self) -> None:
        head = f'[source]\nkind = "csv"\nfolder = "."\n{self.source}\n[warehouse]\nschema = "shop"\nmarts = "marts"\n'
        if not (self.folder / "marts").exists():
            head = head.replace('marts = "marts"\n', "")
        self.catalogue.write_text(head + "\n".join(self.tables))


def rows(dsn: str, schema: str, name: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn) as session:
        known = session.execute("SELECT to_regclass(%s)", [f'"{schema}"."{name}"']).fetchone()
        if known is None or known[0] is None:
            return []
        return session.execute(
            sql.SQL("SELECT * FROM {} ORDER BY 1, 2").format(sql.Identifier(schema, name))
        ).fetchall()


def query(dsn: str, statement: str) -> list[tuple[Any, ...]]:
    """Run one statement of the test's own; its rows, if it has any."""
    with psycopg.connect(dsn, autocommit=True) as session:
        cursor = session.execute(statement)  # type: ignore[arg-type, unused-ignore]
        return cursor.fetchall() if cursor.description else []


def state(dsn: str, *schemas: str) -> dict[str, tuple[Any, ...]]:
    """Row count and checksum of every table of the schemas: equal states mean equal content."""
    with psycopg.connect(dsn) as session:
        names = session.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = ANY(%s)", [list(schemas)]
        ).fetchall()
        statement = sql.SQL("SELECT count(*), sum(hashtextextended(t::text, 0)) FROM {} AS t")
        return {
            f"{schema}.{name}": session.execute(statement.format(sql.Identifier(schema, name))).fetchone() or ()
            for schema, name in names
        }


def wait_for(fact: Callable[[], object], *, seconds: float = 20) -> None:
    """Until the fact is true."""
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline, "it never became true"
        time.sleep(0.01)


def nobody_left(dsn: str) -> bool:
    """No session but the asking one is on the database."""
    [(others,)] = query(
        dsn,
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND backend_type = 'client backend'",
    )
    return not others


@contextmanager
def holding(dsn: str, statement: str) -> Iterator[psycopg.Connection[Any]]:
    """A session that has run the statement in a transaction and keeps it open."""
    with psycopg.connect(dsn) as session:
        session.execute(statement)  # type: ignore[arg-type, unused-ignore]
        yield session
        session.rollback()
