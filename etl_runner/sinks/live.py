"""The part of a terminal that moves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO, cast

from rich.console import Console, ConsoleDimensions
from rich.live import Live
from rich.text import Text

from etl_runner.look import Line, Look
from etl_runner.sinks.outlet import Outlet


class LiveScreen:
    """Permanent lines scroll up above a footer that is drawn anew with each frame."""

    def __init__(self, out: Outlet, look: Look) -> None:
        self._console = Console(
            file=cast(IO[str], out),
            force_terminal=True,
            force_interactive=True,
            no_color=look.no_colour,
            width=look.width,
            height=24,
            markup=False,
            highlight=False,
            emoji=False,
            legacy_windows=False,
        )
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )

    def frame(self, above: Sequence[Line], footer: Sequence[Line], *, width: int, height: int) -> None:
        """One write: the new permanent lines, then the footer."""
        self._console.size = ConsoleDimensions(width, height)
        with self._console:  # one write for both
            if not self._live.is_started:
                self._live.start()
            if above:
                self._console.print(_text(above), crop=False)
            self._live.update(_text(footer), refresh=True)

    def close(self, above: Sequence[Line]) -> None:
        """Print the last lines and take the footer away."""
        self._live.update(Text(""))
        if self._live.is_started:
            self._live.stop()
        if above:
            self._console.print(_text(above), crop=False)


def _text(lines: Sequence[Line]) -> Text:
    text = Text("\n", no_wrap=True, overflow="ignore").join(
        Text.assemble(*line, no_wrap=True, overflow="ignore", end="") for line in lines
    )
    text.no_wrap, text.overflow = True, "ignore"
    return text
