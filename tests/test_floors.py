"""The floors of the house: imports go down only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A module may import its own floor and those above it in this list. Adapters (floor 2) do not import each other.
FLOORS: list[set[str]] = [
    {"model", "events", "errors", "paths", "job"},
    {
        "scheduler", "expanding", "simulate", "intervals", "timeline", "pipeline", "words", "look", "deciding", "rerun",
        "masking", "secrecy", "hiding", "measures",
    },
    {
        "control", "ticks", "signals", "streams", "first", "environment", "reported", "keeper", "executors", "sinks",
        "ledger", "postgres",
    },
    {"journal", "inbox", "attempts", "runner", "report", "ui"},
    {"cli", "__main__"},
]  # fmt: skip
ADAPTERS = {"executors", "sinks", "ledger", "postgres"}
PURE_BANS = {
    "asyncio", "time", "os", "subprocess", "sqlite3", "rich", "click", "psycopg", "threading", "socket", "random",
}  # fmt: skip


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def room(path: Path) -> str:
    """`scheduler` for etl_runner/scheduler.py, `pipeline` for everything in etl_runner/pipeline/."""
    inner = path.relative_to(ROOT / "etl_runner")
    return inner.parts[0].removesuffix(".py")


def floor(name: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if name in rooms)


def imports(path: Path) -> Iterator[str]:
    """Every module a file imports, anywhere in it, but for what only type checkers see."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    unseen = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in unseen:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms_imported(path: Path) -> set[str]:
    names = (name.split(".") for name in imports(path) if name.startswith("etl_runner."))
    return {parts[1] for parts in names if (ROOT / "etl_runner" / parts[1]).exists() or
            (ROOT / "etl_runner" / f"{parts[1]}.py").exists()}  # fmt: skip


@pytest.mark.parametrize("path", modules("etl_runner"), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down_only(path: Path) -> None:
    here = room(path)
    if here == "__init__":
        return

    ups = {name for name in rooms_imported(path) if floor(name) > floor(here)}
    sideways = {name for name in rooms_imported(path) if here in ADAPTERS and name in ADAPTERS - {here}}

    assert (ups, sideways) == (set(), set())


@pytest.mark.parametrize("path", modules("etl_runner"), ids=lambda path: str(path.relative_to(ROOT)))
def test_pure_floors_import_nothing_of_the_outside_world(path: Path) -> None:
    here = room(path)
    if here in ("__init__", "job") or floor(here) > 1:  # job.py runs inside jobs: it reads their environment
        return

    assert {name.split(".")[0] for name in imports(path)} & PURE_BANS == set()


def test_the_runner_never_imports_the_jobs() -> None:
    assert not [path for path in modules("etl_runner") if any(name.startswith("etl_jobs") for name in imports(path))]


@pytest.mark.parametrize("path", modules("etl_jobs"), ids=lambda path: str(path.relative_to(ROOT)))
def test_jobs_import_only_the_job_side_of_the_runner(path: Path) -> None:
    ours = {name for name in imports(path) if name.startswith("etl_runner.")}

    assert all(name == "etl_runner.job" or name.startswith("etl_runner.job.") for name in ours)
