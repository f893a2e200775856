"""What is wrong in a pipeline file: each problem with its place, its line and a cure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from etl_runner.errors import PipelineError

LONGEST_LINE = 72  # and eight columns before it


class Problem(Struct, frozen=True, kw_only=True):
    """One problem. `line` and `col` count from 1; `col` and `width` are in characters of `text`, the line itself.

    `key` is the path of the key in the file (`jobs.table.run`), empty where the text is no TOML.
    """

    file: str
    line: int
    col: int
    width: int
    key: str
    message: str
    suggestion: str = ""
    text: str = ""


class PipelineProblems(PipelineError):  # noqa: N818 (one exception, several problems)
    """The pipeline file has problems. All of them are in `problems`, in file order; str() shows them to people."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda p: (p.file, p.line, p.col)))
        super().__init__(render_problems(self.problems))


def render_problems(problems: Sequence[Problem], *, unicode: bool = True) -> str:
    """Every problem as a block with its line and a caret, then how many there are."""
    blocks = [render_problem(problem, unicode=unicode) for problem in problems]
    files = ", ".join(dict.fromkeys(problem.file for problem in problems))
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return "\n\n".join([*blocks, f"{count} in {files}"])


def render_problem(problem: Problem, *, unicode: bool = True) -> str:
    """`file:line:col: key: message`, the line, and carets under the place with the suggestion beside them."""
    where = f"{problem.file}:{problem.line}:{problem.col}"
    head = f"{where}: {problem.key}: {problem.message}" if problem.key else f"{where}: {problem.message}"
    bar = "│" if unicode else "|"
    before, place, after = _shown_parts(problem)
    under = f"{_padding(before)}{'^' * max(1, _cells(place))} {problem.suggestion}".rstrip()
    return f"{head}\n{problem.line:>5} {bar} {before}{place}{after}\n{'':>5} {bar} {under}"


def _shown_parts(problem: Problem) -> tuple[str, str, str]:
    """The line before, at and behind the carets, cut to what fits a screen and free of control characters."""
    text = "".join(c if c.isprintable() or c == "\t" else "?" for c in problem.text)
    start = problem.col - 1
    first = 0 if len(text) <= LONGEST_LINE else max(0, start - LONGEST_LINE // 2)
    last = first + LONGEST_LINE
    end = min(start + problem.width, last)
    return text[first:start], text[start:end], text[end:last]


def _padding(text: str) -> str:
    """Blanks as wide as the text; tabs stay tabs, so that the caret stands under its column."""
    return "".join("\t" if c == "\t" else " " * _cells(c) for c in text)


def _cells(text: str) -> int:
    """How many terminal cells the text takes."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)
