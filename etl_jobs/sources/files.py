"""Files of a folder as streams of bytes: names and patterns, compressed or not."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path, PurePath
from typing import Any, BinaryIO, cast

from etl_jobs.errors import DataRejectedError, MisconfiguredError, UnavailableError
from etl_jobs.sources.extras import needed

BLOCK = 256 * 1024


def find_files(folder: Path, patterns: Iterable[str]) -> list[Path]:
    """The files that are named, each once: in the order of the patterns, those of one pattern by name."""
    if not folder.is_dir():
        raise MisconfiguredError(
            f"the source folder {folder} does not exist",
            hint='[source] folder in the catalogue names it; if as "${ETL_SOURCE}", set the variable ETL_SOURCE',
        )
    found: dict[Path, None] = {}
    for pattern in patterns:
        matching = _matching(folder, pattern)
        if not matching and (folder / pattern).is_dir():
            raise DataRejectedError(f"{folder / pattern} is a folder", hint=f"its files are {pattern.rstrip('/')}/*")
        if not matching and not is_pattern(pattern):
            raise DataRejectedError(f"{folder / pattern} does not exist", hint=f"looked in {folder}")
        if not matching:
            raise DataRejectedError(f"no file in {folder} matches {pattern!r}")
        found |= dict.fromkeys(matching)
    return list(found)


def is_pattern(name: str) -> bool:
    return any(character in name for character in "*?[")


def _matching(folder: Path, pattern: str) -> list[Path]:
    literal = folder / pattern
    if literal.is_file():
        return [literal]
    if not is_pattern(pattern):
        return []
    try:
        return sorted(matching(folder, pattern))
    except (ValueError, NotImplementedError) as error:
        raise MisconfiguredError(f"{pattern!r} is no pattern of files: {error}") from error


def matching(folder: Path, pattern: str) -> Iterator[Path]:
    """The files that the pattern finds, in any order; hidden ones only where it says the dot, as in a shell.

    Raises ValueError or NotImplementedError for what is no pattern.
    """
    dotted = [part for part in PurePath(pattern).parts if part.startswith(".")]
    for path in folder.glob(pattern):
        hidden = (part for part in path.relative_to(folder).parts if part.startswith("."))
        if all(any(fnmatchcase(part, said) for said in dotted) for part in hidden) and path.is_file():
            yield path


def fingerprint_of(paths: list[Path]) -> str:
    """Sizes and times of the files, for many of them as one number."""
    seen = [(path, _stat(path)) for path in paths]
    if len(seen) == 1:
        return f"{seen[0][1][0]} bytes, {seen[0][1][1]}"
    said = "\n".join(f"{path} {size} {changed}" for path, (size, changed) in seen)
    total = sum(size for _, (size, _) in seen)
    digest = hashlib.sha256(said.encode("utf-8", "surrogateescape")).hexdigest()
    return f"{len(seen)} files, {total} bytes, {digest[:16]}"


def size_of(paths: list[Path]) -> int | None:
    """Bytes of all files together; None where one is compressed: what is in it is larger."""
    if any(path.suffix.lower() in _OPENERS for path in paths):
        return None
    return sum(_stat(path)[0] for path in paths)


def _stat(path: Path) -> tuple[int, int]:
    try:
        seen = path.stat()
    except OSError as error:
        raise UnavailableError(f"cannot read {path}: {error.strerror}") from error
    return seen.st_size, seen.st_mtime_ns


def open_bytes(path: Path) -> BinaryIO:
    """The file's content, decompressed where its name ends in .gz, .bz2, .xz or .zst."""
    opener = _OPENERS.get(path.suffix.lower(), _open_plain)
    try:
        return opener(path)
    except OSError as error:
        raise MisconfiguredError(f"cannot read {path}: {error.strerror or error}") from error


def read_blocks(path: Path) -> Iterator[bytes]:
    """The file's content in blocks; a broken file is an error that says how far it could be read."""
    done = 0
    with open_bytes(path) as file:
        while True:
            try:
                block = file.read(BLOCK)
            except Exception as error:  # every compression has errors of its own
                said = f"{path} is broken: {error} (after {done:,} bytes of text)"
                raise DataRejectedError(said, hint="the file may not have been written to its end") from error
            if not block:
                return
            done += len(block)
            yield block


def _open_plain(path: Path) -> BinaryIO:
    return cast(BinaryIO, path.open("rb", buffering=0))


def _open_gzip(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb"))


def _open_bz2(path: Path) -> BinaryIO:
    return cast(BinaryIO, bz2.open(path, "rb"))


def _open_xz(path: Path) -> BinaryIO:
    return cast(BinaryIO, lzma.open(path, "rb"))


def _open_zstd(path: Path) -> BinaryIO:
    with needed("zst", path.name):
        try:
            from compression import zstd  # type: ignore[import-not-found, unused-ignore]  # Python 3.14
        except ImportError:
            from backports import zstd
    return cast(BinaryIO, zstd.open(path, "rb"))


_OPENERS: dict[str, Callable[[Path], BinaryIO]] = {
    ".gz": _open_gzip,
    ".bz2": _open_bz2,
    ".xz": _open_xz,
    ".zst": _open_zstd,
}


class Stream(io.RawIOBase):
    """Blocks of bytes as a file to read, for those who want one."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._rest = block
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size
