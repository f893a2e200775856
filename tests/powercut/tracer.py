"""What a process does to the files of a folder, call by call, as the kernel sees it (ptrace(2), Linux ≥ 5.3).

The process to trace calls `let_trace` when it is ready. It has one thread and starts no others.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO


@dataclass(frozen=True)
class Created:
    """A new name: of a file (`inode` is ours to number), or of a folder (`inode` is 0)."""

    path: Path
    inode: int


@dataclass(frozen=True)
class Removed:
    path: Path


@dataclass(frozen=True)
class Written:
    inode: int
    offset: int
    data: bytes


@dataclass(frozen=True)
class Cut:
    """A file got another length."""

    inode: int
    size: int


@dataclass(frozen=True)
class Synced:
    """What was done to a file is on the disk."""

    inode: int


@dataclass(frozen=True)
class FolderSynced:
    """The names in a folder are on the disk."""

    path: Path


@dataclass(frozen=True)
class Said:
    """The process printed something."""

    text: str


Step = Created | Removed | Written | Cut | Synced | FolderSynced | Said

_CALLS = {
    "x86_64": {
        1: "write", 2: "open", 18: "pwrite64", 20: "writev", 74: "fsync", 75: "fdatasync", 76: "truncate",
        77: "ftruncate", 82: "rename", 83: "mkdir", 85: "creat", 87: "unlink", 257: "openat", 258: "mkdirat",
        263: "unlinkat", 264: "renameat", 285: "fallocate", 296: "pwritev", 316: "renameat2", 326: "copy_file_range",
    },
    "aarch64": {
        64: "write", 68: "pwrite64", 66: "writev", 82: "fsync", 83: "fdatasync", 45: "truncate", 46: "ftruncate",
        34: "mkdirat", 35: "unlinkat", 38: "renameat", 56: "openat", 47: "fallocate", 70: "pwritev", 276: "renameat2",
        285: "copy_file_range",
    },
}  # fmt: skip
_NOT_FOLLOWED = {"writev", "pwritev", "truncate", "fallocate", "copy_file_range", "rename", "renameat", "renameat2"}
_TRACEME, _SYSCALL, _SETOPTIONS, _GET_SYSCALL_INFO = 0, 24, 0x4200, 0x420E
_SYSGOOD, _EXITKILL = 1, 1 << 20
_SYSCALL_STOP = signal.SIGTRAP | 0x80
_ENTRY, _EXIT = 1, 2
_AT_REMOVEDIR = 0x200

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def let_trace() -> None:
    """In the process to be traced: from here on."""
    _ptrace(_TRACEME, 0, 0)
    os.kill(os.getpid(), signal.SIGSTOP)


def trace(command: Sequence[str], folder: Path, **settings: object) -> list[Step]:
    """Run a command that lets itself be traced, to its good end; what it did to the files in `folder`."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, **settings)  # type: ignore[call-overload]
    try:
        status = _stopped(process.pid)
        assert os.WIFSTOPPED(status) and os.WSTOPSIG(status) == signal.SIGSTOP, "it did not let itself be traced"
        _ptrace(_SETOPTIONS, process.pid, _SYSGOOD | _EXITKILL)
        with Path(f"/proc/{process.pid}/mem").open("rb", buffering=0) as memory:
            steps = _Follower(process.pid, folder, memory).follow()
    except BaseException:
        process.kill()
        raise
    finally:
        process.wait()
    return steps


class _Follower:
    def __init__(self, pid: int, folder: Path, memory: BinaryIO) -> None:
        self._pid = pid
        self._folder = folder
        self._memory = memory
        self._names = _CALLS[platform.machine()]
        self._inodes: dict[Path, int] = {}
        self._files: dict[int, int] = {}  # descriptor → our inode
        self._folders: dict[int, Path] = {}
        self._count = 0
        self.steps: list[Step] = []

    def follow(self) -> list[Step]:
        deliver, entry = 0, None
        while True:
            _ptrace(_SYSCALL, self._pid, deliver)
            status = _stopped(self._pid)
            if not os.WIFSTOPPED(status):
                assert status == 0, f"the traced process ended with {status}"
                return self.steps
            deliver = 0
            if os.WSTOPSIG(status) != _SYSCALL_STOP:
                deliver = os.WSTOPSIG(status)
            elif (told := self._told())[0] == _ENTRY:
                entry = self._begin(told[1], told[2:])
            elif told[0] == _EXIT and entry:
                self._end(*entry, result=told[1])
                entry = None

    def _told(self) -> tuple[int, ...]:
        """(ENTRY, number, six arguments) or (EXIT, result)."""
        buffer = ctypes.create_string_buffer(88)
        _libc.ptrace(_GET_SYSCALL_INFO, self._pid, len(buffer), ctypes.addressof(buffer))
        kind = buffer.raw[0]
        if kind == _ENTRY:
            return kind, *struct.unpack_from("=7Q", buffer.raw, 24)
        return kind, *struct.unpack_from("=q", buffer.raw, 24)

    def _begin(self, number: int, arguments: tuple[int, ...]) -> tuple[str, tuple[int, ...], bytes, bool] | None:
        """What must be seen before the call happens: its name, arguments, data, and whether its file is there."""
        name = self._names.get(number)
        match name:
            case None:
                return None
            case "write" | "pwrite64":
                return name, arguments, self._read(arguments[1], arguments[2]), True
            case "open" | "creat" | "mkdir" | "unlink" | "truncate" | "rename":
                path = self._text(arguments[0])
            case "openat" | "mkdirat" | "unlinkat":
                path = self._text(arguments[1])
            case _:
                return name, arguments, b"", True
        return name, arguments, path, os.path.lexists(path)

    def _end(self, name: str, arguments: tuple[int, ...], data: bytes, existed: bool, *, result: int) -> None:
        if result < 0:
            return
        first = arguments[0]
        match name:
            case "open" | "openat" | "creat":
                self._opened(Path(os.fsdecode(data)), result, existed, _flags(name, arguments))
            case "write" if first in (1, 2):
                self.steps.append(Said(data.decode()))
            case "pwrite64" if first in self._files:
                self.steps.append(Written(self._files[first], arguments[3], data[:result]))
            case "ftruncate" if first in self._files:
                self.steps.append(Cut(self._files[first], arguments[1]))
            case "fsync" | "fdatasync" if first in self._files:
                self.steps.append(Synced(self._files[first]))
            case "fsync" | "fdatasync" if first in self._folders:
                self.steps.append(FolderSynced(self._folders[first]))
            case "mkdir" | "mkdirat" if self._is_ours(path := Path(os.fsdecode(data))):
                self.steps.append(Created(path, 0))
            case "unlink" | "unlinkat" if self._is_ours(path := Path(os.fsdecode(data))):
                self._inodes.pop(path, None)
                self.steps.append(Removed(path))
            case "write" | "writev" | "pwritev" | "fallocate" | "copy_file_range":
                assert first not in self._files, f"{name} is not followed"
            case _:
                assert name not in _NOT_FOLLOWED or not self._is_ours(Path(os.fsdecode(data))), (
                    f"{name} is not followed"
                )

    def _opened(self, path: Path, descriptor: int, existed: bool, flags: int) -> None:
        self._files.pop(descriptor, None)
        self._folders.pop(descriptor, None)
        if path.is_dir():
            self._folders[descriptor] = path
        elif self._is_ours(path) and flags & os.O_ACCMODE != os.O_RDONLY:
            if not existed:
                self._count += 1
                self._inodes[path] = self._count
                self.steps.append(Created(path, self._count))
            assert not flags & os.O_TRUNC or not existed, "O_TRUNC is not followed"
            self._files[descriptor] = self._inodes[path]

    def _is_ours(self, path: Path) -> bool:
        """Side files that live in memory only (-shm) and marks (-setup, .gitignore) are worth nothing after a cut."""
        return path.is_relative_to(self._folder) and not path.name.endswith(("-shm", "-setup", ".gitignore"))

    def _read(self, address: int, size: int) -> bytes:
        self._memory.seek(address)
        return self._memory.read(size)

    def _text(self, address: int) -> bytes:
        """A C string; page by page, as what follows it may not be readable."""
        text = b""
        while b"\0" not in text:
            text += self._read(address + len(text), 4096 - (address + len(text)) % 4096)
        return text.split(b"\0", 1)[0]


def _flags(name: str, arguments: tuple[int, ...]) -> int:
    if name == "creat":
        return os.O_CREAT | os.O_WRONLY | os.O_TRUNC
    return arguments[2] if name == "openat" else arguments[1]


def _stopped(pid: int) -> int:
    return os.waitpid(pid, os.WUNTRACED)[1]


def _ptrace(request: int, pid: int, data: int) -> None:
    if _libc.ptrace(request, pid, 0, data) == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"ptrace: {os.strerror(number)}")
