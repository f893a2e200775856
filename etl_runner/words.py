"""How values read on a screen: durations, numbers, outcomes, foreign text made harmless."""

from __future__ import annotations

import re
import signal
import unicodedata
from collections.abc import Iterable

from etl_runner.events import AttemptExited, JobFinished, JobRetrying
from etl_runner.model import Job, Outcome

TAIL_LINES = 10
LONGEST_TAIL = 20
LONGEST_LINE = 1000
LEAST_OF_A_NOTE = 5

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|(?:\x1b\]|\x9d)[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"  # OSC: titles, links, clipboard
    r"|(?:\x1b[PX^_]|[\x90\x98\x9e\x9f])[^\x1b\x9c\n]*(?:\x1b\\|\x9c)?"  # DCS, SOS, PM, APC
    r"|\x9b[0-?]*[ -/]*[@-~]"  # CSI in one byte
    r"|\x1b[ -/]*[0-~]?"
)
# C0, DEL, C1, line and paragraph separators, direction overrides, lone surrogates.
_CONTROLS = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def duration(seconds: float) -> str:
    """`3.3s`, `2m 00s`, `1h 05m`, `2d 03h`."""
    if round(seconds, 1) < 60:
        return f"{max(seconds, 0.0):.1f}s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    minutes = round(seconds / 60)
    if minutes < 24 * 60:
        return f"{minutes // 60}h {minutes % 60:02d}m"
    hours = round(seconds / 3600)
    return f"{hours // 24}d {hours % 24:02d}h"


def about(seconds: float) -> str:
    """An estimate: `~4.9s`, `~35s`, `~2m 00s`."""
    if seconds < 10:
        return "~" + duration(seconds)
    whole = round(seconds)
    return f"~{whole}s" if whole < 60 else "~" + duration(whole)


def limit(seconds: float) -> str:
    """A setting, without zeros nobody wrote: `90s`, `10m`, `1h 30m`, `0.5s`."""
    if seconds != int(seconds):
        return f"{seconds:g}s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "m"), (rest, "s"))
    return " ".join(f"{n}{unit}" for n, unit in parts if n) or "0s"


def count(number: int, noun: str) -> str:
    """`1 job`, `2,480 jobs`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def clean(text: str) -> str:
    """One line of foreign text as it may stand on a screen: no control characters, no escape sequences.

    A carriage return overwrites, as on a terminal; other line ends become spaces.
    """
    text = _ESCAPES.sub("", text)
    if "\r" in text:
        text = next((part for part in reversed(text.split("\r")) if part.strip()), "")
    if text.isprintable():
        return text
    return _CONTROLS.sub(lambda c: " " if c[0] in "\n\u2028\u2029" else "", text.expandtabs(4))


def clean_lines(text: str) -> list[str]:
    """The lines of foreign text, each clean and without its trailing blanks."""
    return [clean(line).rstrip() for line in text.split("\n")]


def cells(text: str) -> int:
    """How many columns a clean text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(map(_cells_of, text))


def _cells_of(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def fit(text: str, width: int, *, more: str = "…") -> str:
    """The text, cut to at most `width` columns; `more` stands for what is missing."""
    if cells(text) <= width:
        return text
    room = width - len(more)
    if room < 0:
        return more[: max(width, 0)]
    taken = 0
    for at, char in enumerate(text):
        taken += _cells_of(char)
        if taken > room:
            return text[:at] + more
    return text


def pad(text: str, width: int, *, more: str = "…") -> str:
    """The text in exactly `width` columns."""
    short = fit(text, width, more=more)
    return short + " " * (width - cells(short))


def fold(text: str, width: int) -> list[str]:
    """A clean line as lines of at most `width` columns, broken at blanks where there are some."""
    rows: list[str] = []
    rest = text
    while cells(rest) > width:
        head = fit(rest, width, more="") or rest[0]
        blank = head.rfind(" ")
        if rest[len(head) : len(head) + 1] != " " and head[:blank].strip():
            head = head[:blank]
        rows.append(head.rstrip())
        rest = rest[len(head) :].lstrip(" ")
    return [*rows, rest]


def failure_tail(text: str) -> list[str]:
    """The last lines of a log that say why: from the last `Traceback`, else the last ten; at most twenty."""
    lines = clean_lines(text)
    while lines and not lines[-1]:
        lines.pop()
    start = max(len(lines) - TAIL_LINES, 0)
    for at in range(len(lines) - 1, -1, -1):
        if lines[at].lstrip().startswith("Traceback (most recent call last)"):
            start = at
            break
    return [_middle_cut(line) for line in lines[start:][-LONGEST_TAIL:]]


def _middle_cut(line: str) -> str:
    if len(line) <= LONGEST_LINE:
        return line
    half = LONGEST_LINE // 2
    return f"{line[:half]} [{len(line) - 2 * half:,} characters left out] {line[-half:]}"


def size(number: int) -> str:
    """`128 B`, `454.9 kB`, `1.2 MB`."""
    amount, unit = float(number), "B"
    for bigger in ("kB", "MB", "GB", "TB"):
        if round(amount, 1) < 1000:
            break
        amount, unit = amount / 1000, bigger
    return f"{number} B" if unit == "B" else f"{amount:.1f} {unit}"


def joined(notes: Iterable[str], width: int, *, dot: str = "·", more: str = "…") -> str:
    """The first notes that fit `width`, with dots between.

    The very first is cut to fit, and one without figures where enough of it is left to be known by.
    """
    text = ""
    for note in filter(None, notes):
        longer = f"{text} {dot} {note}" if text else fit(note, width, more=more)
        if cells(longer) > width:
            is_text = not any(char.isdigit() for char in note)
            room = width - cells(f"{text} {dot} ") - len(more)
            return fit(longer, width, more=more) if is_text and room >= LEAST_OF_A_NOTE else text
        text = longer
    return text


def signal_name(number: int) -> str:
    """`SIGTERM`, or `signal 99` where the number has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def exit_words(*, exit_status: int | None, signal_number: int | None) -> str:
    """How a process ended: `exit 1`, `killed by SIGSEGV`."""
    if signal_number == 9:
        return "killed by SIGKILL (out of memory?)"
    if signal_number is not None:
        return f"killed by {signal_name(signal_number)}"
    return f"exit {exit_status}" if exit_status is not None else "did not start"


def retry_words(event: JobRetrying, *, dot: str = "·") -> str:
    """Why and when there is another attempt: `exit 1 · attempt 3 of 3 in 2s`."""
    why = event.outcome.value
    if event.outcome is Outcome.FAILED:
        why = exit_words(exit_status=event.exit, signal_number=event.signal)
    when = f"in {limit(round(event.delay, 1))}" if event.delay >= 0.05 else "now"
    return f"{why} {dot} attempt {event.attempt + 1} of {event.attempts} {when}"


def ending_words(job: Job, end: JobFinished, *, error: str = "") -> str:
    """Why a job that is not ok ended as it did: `exit 1 after 3 attempts`, `skipped: needs table-7`."""
    if end.outcome is Outcome.FAILED:
        why = exit_words(exit_status=end.exit, signal_number=end.signal)
        reason = clean(end.reason) or clean(error)
        if reason:
            why = reason if end.exit is None else f"{why}: {reason}"
    else:
        why = _other_ending(job, end)
    if end.attempt > 1 and end.outcome.is_failure:
        why += f" after {count(end.attempt, 'attempt')}"
    return why + (" (optional)" if end.optional and end.outcome.is_failure else "")


def _other_ending(job: Job, end: JobFinished) -> str:
    word, reason = end.outcome.value, clean(end.reason)
    if end.outcome is Outcome.TIMED_OUT and not reason and job.timeout is not None:
        reason = f"over its timeout of {limit(job.timeout)}"
    if end.outcome is Outcome.SKIPPED and end.because:
        return f"skipped: needs {names(end.because)}"
    if end.outcome is Outcome.LOST and not reason:
        return "lost: nobody saw its end"
    return f"{word}: {reason}" if reason else word


def names(items: Iterable[str], *, most: int = 3) -> str:
    """A few names in a row, and how many more there are."""
    all_of = [clean(item) for item in items]
    more = f" and {len(all_of) - most} more" if len(all_of) > most else ""
    return ", ".join(all_of[:most]) + more


def error_of(exited: AttemptExited | None) -> str:
    """Why an attempt never ran; empty if it did."""
    return exited.error if exited else ""
