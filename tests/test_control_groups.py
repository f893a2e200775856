"""Control groups: a real one where one can be made, and a folder of files that looks like one for the rest."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from etl_runner.executors.groups import find_groups
from etl_runner.keeper.cgroup import Group

ENTER = (
    "import sys; from etl_runner.keeper.cgroup import Group; g = Group.__new__(Group); g._path = sys.argv[1]; g.enter()"
)


def test_everybody_in_a_group_is_killed_and_it_is_removed() -> None:
    groups = find_groups()
    if groups is None:  # a machine that lets us make none: then there is nothing to kill either
        return
    group = Group(str(groups.folder), memory=None, pids=None)
    path = str(next(groups.folder.glob("attempt-*")))
    inside = subprocess.Popen([sys.executable, "-c", f"{ENTER}; print(flush=True); import time; time.sleep(60)", path],
                              stdout=subprocess.PIPE)  # fmt: skip
    assert inside.stdout
    inside.stdout.readline()

    group.kill()
    inside.communicate()
    _, out_of_memory = group.remove()
    groups.close()

    assert (inside.returncode, out_of_memory) == (-signal.SIGKILL, False)
    assert not groups.folder.exists()


def test_limits_are_written_as_the_kernel_wants_them(tmp_path: Path) -> None:
    Group(str(tmp_path), memory=2 << 30, pids=50)

    folder = tmp_path / f"attempt-{os.getpid()}"
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        "memory.max": "2147483648", "memory.swap.max": "0", "memory.oom.group": "1", "pids.max": "50",
    }  # fmt: skip


def test_peak_memory_and_running_out_of_it_are_read_back(tmp_path: Path) -> None:
    group = Group(str(tmp_path), memory=None, pids=None)
    folder = tmp_path / f"attempt-{os.getpid()}"
    (folder / "memory.peak").write_text("123456\n")
    (folder / "memory.events").write_text("low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\n")

    assert group.remove() == (123456, True)
