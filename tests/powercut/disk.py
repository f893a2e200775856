"""A disk that forgets: what may be on it after a power cut.

What was synced is there. Of what was written since then any part may be there and any part not, in sectors of 512
bytes or pages of 4096: nothing, all, the first part of it with the last write torn, or any choice (so late writes
without earlier ones). Names behave alike, but in order, as in the journal of a file system.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.powercut.tracer import Created, Cut, FolderSynced, Removed, Said, Step, Synced, Written

SECTOR, PAGE = 512, 4096
Change = Written | Cut
Loss = Callable[[list[Change], Random], list[Change]]


@dataclass
class Content:
    durable: bytearray = field(default_factory=bytearray)
    pending: list[Change] = field(default_factory=list)


class Disk:
    """The files of a folder. `apply` what is done to them; `after_cut` tells what may be there."""

    def __init__(self) -> None:
        self._contents: dict[int, Content] = {}
        self._names: dict[Path, int] = {}
        self._pending: dict[Path, list[Created | Removed]] = {}

    def apply(self, step: Step) -> None:
        match step:
            case Created(path=path, inode=inode):
                if inode:
                    self._contents[inode] = Content()
                self._pending.setdefault(path.parent, []).append(step)
            case Removed(path=path):
                self._pending.setdefault(path.parent, []).append(step)
            case Written(inode=inode) | Cut(inode=inode):
                self._contents[inode].pending.append(step)
            case Synced(inode=inode):
                content = self._contents[inode]
                change(content.durable, content.pending)
                content.pending = []
            case FolderSynced(path=path):
                rename(self._names, self._pending.pop(path, []))
            case Said():
                pass

    def after_cut(self, loss: Loss, chance: Random) -> dict[Path, bytes]:
        """The files that are there when the power is back."""
        names = dict(self._names)
        for pending in self._pending.values():
            kept = {nothing: 0, everything: len(pending)}.get(loss, chance.randint(0, len(pending)))
            rename(names, pending[:kept])
        found = {}
        for path, inode in names.items():
            if inode and self._is_reachable(path, names):
                content = self._contents[inode]
                data = bytearray(content.durable)
                change(data, loss(content.pending, chance))
                found[path] = bytes(data)
        return found

    def now(self) -> dict[Path, bytes]:
        """The files as the process that writes them sees them."""
        return self.after_cut(everything, Random(0))

    def _is_reachable(self, path: Path, names: dict[Path, int]) -> bool:
        """Whether its folder is there; one that was there before we began is."""
        made = any(isinstance(step, Created) and step.path == path.parent for step in self._made())
        return not made or path.parent in names

    def _made(self) -> list[Created | Removed]:
        return [step for pending in self._pending.values() for step in pending]


def nothing(pending: list[Change], chance: Random) -> list[Change]:
    return []


def everything(pending: list[Change], chance: Random) -> list[Change]:
    return pending


def first_part(pending: list[Change], chance: Random) -> list[Change]:
    """What came first, and of the next write a part."""
    if not pending:
        return []
    number = chance.randrange(len(pending))
    pieces = list(split(pending[number], SECTOR))
    return [*pending[:number], *pieces[: chance.randint(0, len(pieces))]]


def any_sectors(pending: list[Change], chance: Random) -> list[Change]:
    return any_of(pending, SECTOR, chance)


def any_pages(pending: list[Change], chance: Random) -> list[Change]:
    return any_of(pending, PAGE, chance)


LOSSES: tuple[Loss, ...] = (nothing, everything, first_part, any_sectors, any_pages)


def any_of(pending: list[Change], size: int, chance: Random) -> list[Change]:
    kept = chance.choice([0.1, 0.5, 0.9])
    return [piece for step in pending for piece in split(step, size) if chance.random() < kept]


def split(step: Change, size: int) -> list[Change]:
    """A write as the writes of the blocks it touches."""
    if isinstance(step, Cut):
        return [step]
    pieces: list[Change] = []
    at, end = step.offset, step.offset + len(step.data)
    while at < end:
        to = min(at - at % size + size, end)
        pieces.append(Written(step.inode, at, step.data[at - step.offset : to - step.offset]))
        at = to
    return pieces


def change(data: bytearray, steps: list[Change]) -> None:
    for step in steps:
        if isinstance(step, Cut):
            del data[step.size :]
            data.extend(bytes(step.size - len(data)))
        else:
            data.extend(bytes(max(step.offset - len(data), 0)))
            data[step.offset : step.offset + len(step.data)] = step.data


def rename(names: dict[Path, int], steps: list[Created | Removed]) -> None:
    for step in steps:
        if isinstance(step, Created):
            names[step.path] = step.inode
        else:
            names.pop(step.path, None)
