"""Every tree shape against every way to end a run: nobody survives, and what is remembered is true."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.inside import ACTIONS
from tests.faults.shapes import SHAPES, Shape

ROOT = Path(__file__).parents[2]
STATUS = {
    "timeout": 1,
    "TERM": -signal.SIGTERM,
    "INT": -signal.SIGINT,
    "HUP": -signal.SIGHUP,
    "INT twice": -signal.SIGINT,
    "TERM thrice": -signal.SIGTERM,
    "KILL": -signal.SIGKILL,
    "KILL of the group": -signal.SIGKILL,
}


def in_namespace(folder: Path, action: str, *, ends: bool) -> dict[str, Any]:
    """What was seen of a case that ran among nobody but its own processes (unshare(1); -Ur where we are not root)."""
    ended = subprocess.run(
        [
            *("unshare", "-Urpf", "--mount-proc", sys.executable, "-m", "tests.faults.inside"),
            *(str(folder), action, *(["ends"] if ends else [])),
        ],
        cwd=ROOT, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    seen: dict[str, Any] = json.loads(ended.stdout)
    return seen


def write_pipeline(folder: Path, shape: Shape) -> None:
    """The shape's job, and beside it one that keeps the run going until something ends it."""
    lines = ["[pipeline]", 'name = "faults"', "[defaults]", 'grace = "0.3s"', "shell = true"]
    lines += ["[jobs.shape]", f"run = {json.dumps(shape.script.replace('{', '{{').replace('}', '}}'))}"]
    lines += ['timeout = "1.5s"' if not shape.ends else ""]
    lines += ["[jobs.beside]", 'run = "exec sleep 1000"', 'timeout = "1.5s"']
    (folder / "etl.toml").write_text("\n".join(lines))


def expected(action: str) -> set[str]:
    """The right outcomes of a job that the action stops. A killed run knows of its jobs only that it lost them."""
    if action == "timeout":
        return {"timed-out"}
    if action.startswith("KILL"):
        return {"lost"}
    if action == "TERM thrice":  # the third makes the runner leave, if it is not done by then
        return {"cancelled", "lost"}
    return {"cancelled"}


@pytest.mark.parametrize("action", [action for action in ACTIONS if action in STATUS])
@pytest.mark.parametrize("name", SHAPES)
def test_nobody_survives(tmp_path: Path, name: str, action: str) -> None:
    shape = SHAPES[name]
    write_pipeline(tmp_path, shape)

    seen = in_namespace(tmp_path, action, ends=shape.ends)

    assert seen["survivors"] == []
    assert seen["status"] == STATUS[action]
    assert "Traceback" not in seen["errors"]
    stopped = expected(action)
    assert seen["jobs"]["shape"] in ({"succeeded"} if shape.ends else stopped)
    assert seen["jobs"]["beside"] in stopped
