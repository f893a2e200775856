"""From a job's `matrix` to its copies: values, combinations, names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import product

from etl_runner.pipeline.file import MatrixCommand

LARGEST = 1_000_000
SHORT_FORM = "item"
_RANGE = re.compile(r"(\d+)\.\.(\d+)(?:\.\.(\d+))?")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")

Values = str | list[str | int] | MatrixCommand
RunCommand = Callable[[str], str]


class MatrixError(ValueError):
    """A matrix value cannot be used; `cure` says what to do."""

    def __init__(self, message: str, *, cure: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure


def matrix_values(values: Values, *, run_command: RunCommand | None) -> tuple[str, ...]:
    """The values of one key, as texts, all different. Raises MatrixError."""
    match values:
        case str():
            found = _from_range(values)
        case list():
            found = tuple(str(value) for value in values)
        case MatrixCommand(command=command):
            found = _from_command(command, run_command)
    if not found:
        raise MatrixError("no values, so no jobs")
    if "" in found:
        raise MatrixError("a value is empty")
    if len(set(found)) < len(found):
        twice = Counter(found).most_common(1)[0][0]
        raise MatrixError(f"{twice!r} stands there twice")
    return found


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
    """`table` and id=3 → `table-3`; what a file's name cannot hold becomes "_"."""
    return "-".join([template, *(_UNSAFE.sub("_", value) for value in params.values())])
