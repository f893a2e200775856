"""Sources with one thing wrong, in a copy of the tree: do the tests notice?"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Mutant(NamedTuple):
    """`source` is a path below etl_runner, `old` a text that occurs in it once, `tests` are those that must fail."""

    name: str
    source: str
    old: str
    new: str
    tests: tuple[str, ...]


def check(
    mutants: Sequence[Mutant],
    *,
    verdict: str,
    at_once: int = 4,
    options: Sequence[str] = (),
    env: Mapping[str, str] = {},
) -> int:
    """Run each mutant against its tests, and all the tests without any; print `VERDICT N/N`. The exit status.

    `options` are more of pytest's, `env` more variables for it.
    """
    if spoilt := [m.name for m in mutants if (ROOT / "etl_runner" / m.source).read_text().count(m.old) != 1]:
        print("the text to replace does not occur exactly once:", *spoilt, sep="\n  ")
        return 1
    every_test = tuple(dict.fromkeys(test for mutant in mutants for test in mutant.tests))
    with ThreadPoolExecutor(max_workers=at_once) as pool:
        healthy = pool.submit(_passes, None, every_test, options, env)
        passed = list(pool.map(lambda mutant: _passes(mutant, mutant.tests, options, env), mutants))
    if not healthy.result():
        print("the tests fail without any mutant")
        return 1
    alive = [mutant for mutant, lives in zip(mutants, passed, strict=True) if lives]
    for mutant in alive:
        print(f"not noticed: {mutant.name} ({mutant.source})")
    print(f"{verdict} {len(mutants) - len(alive)}/{len(mutants)}")
    return 1 if alive else 0


def _passes(mutant: Mutant | None, tests: Sequence[str], more: Sequence[str], env: Mapping[str, str]) -> bool:
    """Whether the tests pass on a copy of the tree with this mutant in it."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        tree = Path(folder)
        for part in ("etl_runner", "tests"):
            shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copyfile(ROOT / "pyproject.toml", tree / "pyproject.toml")
        if mutant is not None:
            source = tree / "etl_runner" / mutant.source
            source.write_text(source.read_text().replace(mutant.old, mutant.new))
        options = ("-x", "-n", "1", "-p", "no:cacheprovider", "--timeout", "60")
        ended = subprocess.run(
            [sys.executable, "-B", "-m", "pytest", *options, *more, *tests],
            cwd=tree,
            env={**os.environ, "PYTHONPATH": folder, **env},
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode and "\nFAILED " not in ended.stdout:
            raise RuntimeError(f"pytest of {mutant.name if mutant else 'the tree'}: {ended.stdout[-2000:]}")
        return ended.returncode == 0
