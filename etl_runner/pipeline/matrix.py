"""From a job's `matrix` to its copies: values, combinations, names."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import product

from etl_runner.model import Copy, Expansion, Output
from etl_runner.pipeline.file import SOURCES, MatrixSource

LARGEST = 1_000_000
SHORT_FORM = "item"
_RANGE = re.compile(r"(\d+)\.\.(\d+)(?:\.\.(\d+))?")
_UNSAFE = re.compile(r"[^\w.-]+")

Values = str | list[str | int] | MatrixSource
LONGEST_NAME = 200
LONGEST_SHOWN = 14
RunCommand = Callable[[str], str]


class MatrixError(ValueError):
    """A matrix value cannot be used; `cure` says what to do."""

    def __init__(self, message: str, *, cure: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure


def matrix_values(values: Values, *, run_command: RunCommand | None) -> tuple[str, ...] | Output:
    """The values of one key, as texts, all different; or which job will report them. Raises MatrixError."""
    match values:
        case str():
            found = _from_range(values)
        case list():
            found = tuple(str(value) for value in values)
        case MatrixSource(command=str(command), job=None, output=None):
            found = _from_command(command, run_command)
        case MatrixSource(command=None, job=str(job), output=str(output)):
            return Output(job=job, output=output)
        case _:
            raise MatrixError(f"expected {SOURCES}")
    if not found:
        raise MatrixError("no values, so no jobs")
    _check(found)
    return found


def reported_values(values: object) -> tuple[str, ...]:
    """The values of one key, from what a job reported: a list of texts and whole numbers, or one of them."""
    listed = values if isinstance(values, list) else [values]
    for value in listed:
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise MatrixError(f"{_shown(value)} is no text or whole number")
        if not _is_unicode(str(value)):
            raise MatrixError(f"{str(value)[:40]!r} cannot be written as UTF-8")
    found = tuple(str(value) for value in listed)
    _check(found)
    return found


def copies_of(job: str, expansion: Expansion, reported: Callable[[Output], object]) -> tuple[Copy, ...]:
    """The copies of a job; `reported` gives what another job reported. No value, no copies. Raises MatrixError."""
    return named(job, combinations({key: _known(key, values, reported) for key, values in expansion.matrix.items()}))


def _known(key: str, values: tuple[str, ...] | Output, reported: Callable[[Output], object]) -> tuple[str, ...]:
    if not isinstance(values, Output):
        return values
    try:
        return reported_values(reported(values))
    except MatrixError as error:
        raise MatrixError(f"{key} from {values.job}: {error.message}") from None


def named(job: str, every: Iterable[dict[str, str]]) -> tuple[Copy, ...]:
    """A copy for each of the values; those that would have the same name get a hash of their values behind it.

    So a name does not depend on the order, and a hash not on other values. Whether there is one does: where a value
    comes that would have the name of another, both are called by their hashes from then on. Raises MatrixError where a
    name is too long, or taken all the same.
    """
    plain = [(copy_name(job, params), params) for params in every]
    times = Counter(name for name, _ in plain)
    copies: dict[str, Copy] = {}
    for name, params in plain:
        _add(copies, Copy(name=name if times[name] == 1 else f"{name}-{_hash(params)}", params=params))
    return tuple(copies.values())


def _hash(params: Mapping[str, str]) -> str:
    return hashlib.sha256("\0".join(params.values()).encode(errors="surrogatepass")).hexdigest()[:8]


def _add(copies: dict[str, Copy], copy: Copy) -> None:
    if len(copy.name.encode()) > LONGEST_NAME:
        raise MatrixError(f"the name {copy.name[:40]}… is longer than {LONGEST_NAME} bytes")
    if other := copies.get(copy.name):
        both = " and ".join("-".join(p.values()) for p in (other.params, copy.params))
        raise MatrixError(f"{both} give the same name {copy.name!r}", cure="use other values")
    copies[copy.name] = copy


def _shown(value: object) -> str:
    """A reported value as it was written, so short that what is said of it still fits a line."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 1]}…"


def _check(found: tuple[str, ...]) -> None:
    if "" in found:
        raise MatrixError("a value is empty")
    if any("\0" in value for value in found):
        raise MatrixError("no text can hold a NUL character")
    if len(set(found)) < len(found):
        twice = Counter(found).most_common(1)[0][0]
        raise MatrixError(f"{twice!r} stands there twice")


def _is_unicode(text: str) -> bool:
    """Whether there are no halves of surrogate pairs in it, nor bytes that could not be decoded."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _from_range(text: str) -> tuple[str, ...]:
    found = _RANGE.fullmatch(text.strip())
    if not found:
        raise MatrixError(f'expected a range such as "0..19", got {text!r}', cure='one value alone is a list: ["…"]')
    first, last, step = int(found[1]), int(found[2]), int(found[3] or 1)
    if first > last or not step:
        raise MatrixError(f"the range {text!r} is empty", cure="write the smaller number first")
    if (last - first) // step >= LARGEST:
        raise MatrixError(f"the range {text!r} has more than {LARGEST:,} values")
    width = len(found[1]) if found[1].startswith("0") else 0
    return tuple(f"{number:0{width}d}" for number in range(first, last + 1, step))


def _from_command(command: str, run_command: RunCommand | None) -> tuple[str, ...]:
    if run_command is None:
        raise MatrixError("commands are not run here")
    try:
        output = run_command(command)
    except (OSError, ValueError) as error:
        raise MatrixError(f"the command failed: {error}", cure="try it by hand in the project's folder") from None
    return tuple(line.strip() for line in output.splitlines() if line.strip())


def combinations(matrix: Mapping[str, tuple[str, ...]]) -> list[dict[str, str]]:
    """Every combination of the values, the last key changing fastest. No matrix: one empty combination."""
    size = 1
    for values in matrix.values():
        size *= len(values)
    if size > LARGEST:
        raise MatrixError(f"{size:,} combinations are more than {LARGEST:,}")
    return [dict(zip(matrix, values, strict=True)) for values in product(*matrix.values())]


def copy_name(template: str, params: Mapping[str, str]) -> str:
    """`table` and id=3 → `table-3`; what is no letter or digit of any alphabet, nor ".", "_" or "-", becomes "_"."""
    return "-".join([template, *(_UNSAFE.sub("_", value) for value in params.values())])
