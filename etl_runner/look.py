"""What a screen can show: its width, whether it moves, colours, which characters."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from etl_runner.model import Outcome

DEFAULT_WIDTH = 80
NARROWEST = 20

Span = tuple[str, str]
"""A piece of text and its style (`green`, `bold red`, empty), the same words rich uses."""
Line = list[Span]


class Glyphs(Struct, frozen=True, kw_only=True):
    """The characters we draw with. `width` is the widest mark's."""

    ok: str = "✓"
    fail: str = "✗"
    skip: str = "−"
    cancelled: str = "■"
    lost: str = "?"
    retry: str = "↻"
    running: str = "●"
    warn: str = "!"
    bar: str = "━"
    rest: str = "─"
    deciding: str = "█"
    earlier: str = "┄"
    full: str = "█"
    empty: str = "░"
    side: str = "│"
    dot: str = "·"
    arrow: str = "→"
    times: str = "×"
    more: str = "…"
    width: int = 1

    @property
    def is_ascii(self) -> bool:
        return self.more.isascii()

    def of(self, outcome: Outcome) -> str:
        """The mark of an outcome."""
        if outcome.is_good:
            return self.ok
        if outcome is Outcome.SKIPPED:
            return self.skip
        if outcome is Outcome.CANCELLED:
            return self.cancelled
        return self.lost if outcome is Outcome.LOST else self.fail


ASCII = Glyphs(
    ok="ok",
    fail="FAIL",
    skip="skip",
    cancelled="stop",
    lost="lost",
    retry="again",
    running=">",
    bar="=",
    rest="-",
    deciding="#",
    earlier=".",
    full="#",
    empty=".",
    side="|",
    dot="-",
    arrow="->",
    times="x",
    more="...",
    width=5,
)

STYLES = {
    Outcome.SUCCEEDED: "green",
    Outcome.CACHED: "green",
    Outcome.SKIPPED: "yellow",
    Outcome.CANCELLED: "yellow",
    Outcome.FAILED: "red",
    Outcome.TIMED_OUT: "red",
    Outcome.LOST: "magenta",
}


class Look(Struct, frozen=True, kw_only=True):
    """How to draw. `live` means that lines may be redrawn; `colour` that escape sequences are wanted."""

    width: int = DEFAULT_WIDTH
    live: bool = False
    colour: bool = False
    no_colour: bool = False
    glyphs: Glyphs = Glyphs()


def look_for(*, isatty: bool, encoding: str | None, env: Mapping[str, str], columns: int | None) -> Look:
    """The look of a stream: live only on a terminal that can; `columns` is the terminal's width, if it is one.

    `COLUMNS` may narrow a terminal, and decides elsewhere. `NO_COLOR` leaves bold and drops colours; `FORCE_COLOR`
    colours a pipe but never makes it move. Without UTF the marks are ASCII words.
    """
    able = env.get("TERM", "") != "dumb"
    wanted = env.get("COLUMNS", "")
    widths = [int(wanted)] if wanted.isascii() and wanted.isdigit() and 0 < int(wanted) < 10_000 else []
    width = min([*widths, *([columns] if columns else [])], default=DEFAULT_WIDTH)
    utf = (encoding or "").lower().replace("-", "").replace("_", "").startswith("utf")
    forced = bool(env.get("FORCE_COLOR")) and not env.get("NO_COLOR")
    return Look(
        width=max(width, NARROWEST),
        live=isatty and able,
        colour=(isatty and able) or forced,
        no_colour=bool(env.get("NO_COLOR")),
        glyphs=Glyphs() if utf else ASCII,
    )
