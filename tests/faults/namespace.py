"""The outside: a folder with a pipeline, and a scene played among nobody but its own processes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
NAMESPACE = ("unshare", "-Urpf", "--kill-child", "--mount-proc")  # unshare(1); -Ur where we are not root


def play(folder: Path, scene: str, **arguments: object) -> dict[str, Any]:
    """What was seen of a scene of scenes.py; nobody of it can outlive it."""
    ended = subprocess.run(
        [*NAMESPACE, sys.executable, "-m", "tests.faults.inside", str(folder), scene, json.dumps(arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    seen: dict[str, Any] = json.loads(ended.stdout)
    return seen


def write_pipeline(folder: Path, jobs: Mapping[str, str | Mapping[str, object]]) -> None:
    """A pipeline of shell jobs: a script, or `run` with further settings."""
    lines = ["[pipeline]", 'name = "faults"', "[defaults]", 'grace = "0.3s"', "shell = true"]
    for name, job in jobs.items():
        settings = {"run": job} if isinstance(job, str) else dict(job)
        settings["run"] = str(settings["run"]).replace("{", "{{").replace("}", "}}")
        lines += [f"[jobs.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in settings.items())]
    (folder / "etl.toml").write_text("\n".join(lines), encoding="utf-8")
