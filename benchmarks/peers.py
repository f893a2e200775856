"""The same CSV file loaded by dlt and by pandas; `python -m benchmarks.peers` installs them, apart from everything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

from benchmarks.commands import environment
from benchmarks.loading import (
    ROWS,
    SCHEMA,
    after,
    count,
    load,
    psql_copy,
    server_in,
    target_like,
    values,
    write_catalogue,
    write_csv,
)
from benchmarks.measure import Result, Rounds, Spent, run
from etl_runner.postgres import Server

ROUNDS = 3
PACKAGES = ("dlt[postgres]", "pandas", "pyarrow", "sqlalchemy>=2", "psycopg[binary]")
OURS, PSQL = "ours", "psql \\copy, with key"

DLT = """\
import sys, dlt
from dlt.sources.filesystem import filesystem, read_csv
file, url = sys.argv[1:]
folder, name = file.rsplit("/", 1)
pipeline = dlt.pipeline("rows", destination=dlt.destinations.postgres(url), dataset_name="dlt_rows")
rows = filesystem(bucket_url=folder, file_glob=name) | read_csv()
pipeline.run(rows.with_name("sale"), write_disposition="replace")
"""
DLT_ARROW = """\
import sys, dlt, pyarrow, pyarrow.csv
file, url = sys.argv[1:]

@dlt.resource(name="sale", write_disposition="replace")
def tables():
    with pyarrow.csv.open_csv(file) as batches:
        for batch in batches:
            yield pyarrow.Table.from_batches([batch])

pipeline = dlt.pipeline("tables", destination=dlt.destinations.postgres(url), dataset_name="dlt_tables")
pipeline.run(tables())
"""
PANDAS = """\
import sys, pandas, sqlalchemy
file, url = sys.argv[1:]
engine = sqlalchemy.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
frame = pandas.read_csv(file, parse_dates=["day", "at"])
frame.to_sql("by_pandas", engine, if_exists="replace", index=False, chunksize=10_000)
"""
SCRIPTS = {"pandas.to_sql": PANDAS, "dlt, pyarrow": DLT_ARROW, "dlt, its default": DLT}

VERSIONS = """\
import json
from importlib.metadata import version
print(json.dumps({name: version(name) for name in ("dlt", "pandas", "pyarrow", "sqlalchemy", "psycopg")}))
"""


def bench(folder: Path, *, rounds: int | None, rows: int | None) -> Result:
    """Whole processes that make a table of the file; only psql and we are told its types, and have a key to keep."""
    versions = _versions()
    if not versions:
        return Result(
            rows=[],
            notes=[f"peers: dlt and pandas are not here: python -m benchmarks.peers installs them in {_place()}"],
        )
    rows, file = rows or ROWS, folder / "sale.csv"
    with server_in(folder) as server:
        write_csv(server, file, values(rows))
        catalogue = write_catalogue(folder, 'kind = "csv"\nfolder = "."', [("sale", "")])
        cases: dict[str, Callable[[], Spent]] = {
            OURS: after(server, f"DROP TABLE IF EXISTS {SCHEMA}.sale", partial(load, server, catalogue)),
            PSQL: after(server, "DROP TABLE IF EXISTS b", partial(psql_copy, server, file, target_like("b"), "b")),
            **{name: partial(_script, folder, server, file, script) for name, script in SCRIPTS.items()},
        }
        measured = Rounds(cases, rounds=rounds or ROUNDS)
    what = f"CSV: the whole load, {count(rows)} rows"
    return Result(
        rows=[measured.row(what, OURS, name) for name in cases if name != OURS],
        notes=[f"peers: {versions}"],
    )


def _script(folder: Path, server: Server, file: Path, script: str) -> Spent:
    """One of theirs; what they keep in a home or cache is new with the bench, and nobody is told that they ran."""
    url = server.url if script is PANDAS else _with_host(server.url)
    env = environment(HOME=str(folder), DLT_DATA_DIR=str(folder / "dlt"), RUNTIME__DLTHUB_TELEMETRY="false")
    return run([_python(), "-c", script, str(file), url], cwd=folder, env=env)


def _with_host(url: str) -> str:
    """The URL with its socket in the place of a host, as dlt wants it."""
    parts = urlsplit(url)
    said = {name: value for name, (value,) in parse_qs(parts.query).items()}
    return f"postgresql://{said['user']}:-@{quote(said['host'], safe='')}:{said['port']}{parts.path}"


def _versions() -> str:
    """The peers' versions for people, empty where they are not all installed."""
    if not _python().exists():
        return ""
    asked = subprocess.run([_python(), "-c", VERSIONS], capture_output=True, text=True, check=False)
    found = json.loads(asked.stdout) if asked.returncode == 0 else {}
    return ", ".join(f"{name} {version}" for name, version in found.items())


def _place() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return cache / "etl-run-benchmarks" / "peers"


def _python() -> Path:
    return _place() / "bin" / "python"


def install() -> int:
    """Make the peers' own environment anew: they share nothing with ours, and its folder may go at any time."""
    made = subprocess.run([sys.executable, "-m", "venv", "--clear", _place()], check=False).returncode
    return made or subprocess.run([_python(), "-m", "pip", "install", "-q", *PACKAGES], check=False).returncode


if __name__ == "__main__":
    sys.exit(install())
