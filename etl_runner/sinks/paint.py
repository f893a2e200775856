"""Lines of styled pieces as text for a stream."""

from __future__ import annotations

from collections.abc import Iterable
from io import StringIO

from etl_runner.look import Line, Look


def plain(line: Line) -> str:
    """The text of a line, without trailing blanks."""
    return "".join(text for text, _ in line).rstrip()


def paint(lines: Iterable[Line], look: Look) -> str:
    """The lines as text, each ended by a newline; with escape sequences only if the look has colour."""
    if not look.colour:
        return "".join(plain(line) + "\n" for line in lines)
    from rich.console import Console
    from rich.text import Text

    out = StringIO()
    console = Console(
        file=out,
        force_terminal=True,
        no_color=look.no_colour,
        width=look.width,
        height=25,
        markup=False,
        highlight=False,
        legacy_windows=False,
    )
    for line in lines:
        text = Text.assemble(*line, no_wrap=True, overflow="ignore", end="\n")
        text.rstrip()
        console.print(text, crop=False, soft_wrap=True)
    return out.getvalue()
