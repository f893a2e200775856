"""Where control groups of attempts can be made, if anywhere (cgroups(7), version 2)."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

CONTROLLERS = ("memory", "pids")


class Groups:
    """The folder below which attempts get groups. `controllers` are those that can limit them."""

    def __init__(self, folder: Path, controllers: frozenset[str]) -> None:
        self.folder = folder
        self.controllers = controllers

    def close(self) -> None:
        with suppress(OSError):
            self.folder.rmdir()


def find_groups() -> Groups | None:
    """A new folder for groups beside our own processes; None where we may not make any.

    A group with processes of its own cannot hand controllers down (the "no internal processes" rule), so where ours is
    delegated to us alone we move aside first, into a group below it.
    """
    own = _own_group()
    if own is None:
        return None
    folder = own / f"etl-run-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError:
        return None
    for controller in CONTROLLERS:
        if not _hand_down(own, controller) and _move_aside(own, folder):
            _hand_down(own, controller)
    with suppress(OSError):
        (folder / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in _controllers(folder)))
    return Groups(folder, frozenset(_controllers(folder)) & frozenset(CONTROLLERS))


def _own_group() -> Path | None:
    """Our group's folder in the version 2 hierarchy (proc(5): cgroup, mountinfo)."""
    try:
        mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        mount = next(fields[4] for fields in mounts if fields[fields.index("-") + 1] == "cgroup2")
        groups = Path("/proc/self/cgroup").read_text().splitlines()
        path = next(line.removeprefix("0::") for line in groups if line.startswith("0::"))
    except (OSError, StopIteration, ValueError):
        return None
    return Path(mount) / path.lstrip("/")


def _controllers(folder: Path) -> list[str]:
    try:
        return [name for name in (folder / "cgroup.controllers").read_text().split() if name in CONTROLLERS]
    except OSError:
        return []


def _hand_down(own: Path, controller: str) -> bool:
    try:
        (own / "cgroup.subtree_control").write_text(f"+{controller}")
    except OSError:
        return False
    return True


def _move_aside(own: Path, folder: Path) -> bool:
    """Move ourselves one group down, if nobody else is in this one."""
    try:
        if (own / "cgroup.procs").read_text().split() != [str(os.getpid())]:
            return False
        aside = folder / "runner"
        aside.mkdir()
        (aside / "cgroup.procs").write_text(str(os.getpid()))
    except OSError:
        return False
    return True
