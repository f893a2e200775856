"""Partners and companies by id: asked for once in a run, whichever of its jobs comes first."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from etl_jobs.sources.jsonrpc import Erp, Record

LookUp = dict[int, Record]
_ARCHIVED_TOO = {"active_test": False}


def looked_up(erp: Erp, model: str, fields: Sequence[str], *, env: Mapping[str, str] = os.environ) -> LookUp:
    """All records of a model by id, kept in `$ETL_RUN_DIR` for the other jobs of the run."""
    folder = env.get("ETL_RUN_DIR")

    def ask() -> LookUp:
        return _asked(erp, model, fields)

    if not folder:
        return ask()
    return _once(Path(folder, "look-ups", f"{model}.json"), ask)


def learn(erp: Erp, model: str, fields: Sequence[str], *, known: LookUp, wanted: Collection[int]) -> list[int]:
    """Ask for those wanted that are not known: they came after the look-up. Returns those that cannot be seen."""
    if missing := sorted(set(wanted) - known.keys()):
        known.update(_asked(erp, model, fields, domain=[["id", "in", missing]]))
    return sorted(set(missing) - known.keys())


def _asked(erp: Erp, model: str, fields: Sequence[str], *, domain: Sequence[Any] = ()) -> LookUp:
    """Archived ones are among them: documents go on naming them."""
    pages = erp.pages(model, fields, domain=domain, context=_ARCHIVED_TOO)
    return {record["id"]: record for page in pages for record in page}


def _once(path: Path, ask: Callable[[], LookUp]) -> LookUp:
    """What the file holds; the first process to come asks and writes it, the others wait for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _only_one(path.with_suffix(".lock")):
        if not path.exists():
            _write(path, ask())
    found: list[Record] = json.loads(path.read_text("utf-8"))
    return {record["id"]: record for record in found}


def _write(path: Path, found: LookUp) -> None:
    """Whole or not at all: a process that dies while writing leaves nothing that looks finished."""
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(list(found.values()), default=str), "utf-8")
    beside.replace(path)


@contextlib.contextmanager
def _only_one(path: Path) -> Iterator[Any]:
    """Hold the lock file; the kernel gives it back when the process is gone."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
