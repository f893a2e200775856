"""Every tree shape against every way to end a run: nobody survives, and what is remembered is true."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.faults.namespace import play, write_pipeline
from tests.faults.shapes import CROWDS, SHAPES, Shape

# What the run's status is, and what a job that the action stops may count as: a killed run knows only that it lost it.
LOST_RUN = (-signal.SIGKILL, {"lost"})
ENDINGS = {
    "timeout": (1, {"timed-out"}),
    "TERM": (-signal.SIGTERM, {"cancelled"}),
    "INT": (-signal.SIGINT, {"cancelled"}),
    "HUP": (-signal.SIGHUP, {"cancelled"}),
    "INT twice": (-signal.SIGINT, {"cancelled"}),
    "TERM thrice": (-signal.SIGTERM, {"cancelled", "lost"}),  # the third makes the runner leave, if it is not done
    "KILL": LOST_RUN,
    "KILL of the group": LOST_RUN,
    "KILL of the keeper, TERM": (-signal.SIGTERM, {"cancelled"}),
    "KILL of the shims": (1, {"lost"}),
    "KILL of keeper and shims": (1, {"lost"}),
    "KILL of runner and keeper": LOST_RUN,
    "KILL of runner and shims": LOST_RUN,
}


@pytest.mark.parametrize("action", ENDINGS)
@pytest.mark.parametrize("name", SHAPES)
def test_nobody_survives(tmp_path: Path, name: str, action: str) -> None:
    play_and_check(tmp_path, SHAPES[name], action)


@pytest.mark.parametrize(
    "action",
    ["timeout", "INT twice", "KILL", "KILL of the shims", "KILL of keeper and shims", "KILL of runner and shims"],
)
@pytest.mark.parametrize("name", CROWDS)
def test_nobody_of_many_survives(tmp_path: Path, name: str, action: str) -> None:
    play_and_check(tmp_path, CROWDS[name], action)


def play_and_check(folder: Path, shape: Shape, action: str) -> None:
    limit = {} if shape.ends else {"timeout": "1.5s"}
    beside = {"run": "exec sleep 1000", "timeout": "1.5s"}  # keeps the run going until something ends it
    write_pipeline(folder, {"shape": {"run": shape.script, **limit}, "beside": beside})
    status, outcomes = ENDINGS[action]

    seen = play(folder, "ended by", action=action, ends=shape.ends)

    assert seen["survivors"] == []
    assert seen["status"] == status
    assert "Traceback" not in seen["errors"]
    assert seen["jobs"]["shape"] in ({"succeeded"} if shape.ends else outcomes)
    assert seen["jobs"]["beside"] in outcomes
