"""How values read on a screen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_runner import words
from etl_runner.events import JobFinished, JobRetrying
from etl_runner.look import look_for
from etl_runner.model import Outcome
from tests.support.screens import job


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0s"),
        (-3, "0.0s"),
        (3.26, "3.3s"),
        (59.94, "59.9s"),
        (59.96, "1m 00s"),
        (120, "2m 00s"),
        (3599.4, "59m 59s"),
        (3599.6, "1h 00m"),
        (3900, "1h 05m"),
        (86399, "1d 00h"),
        (97200, "1d 03h"),
    ],
)
def test_durations_read_alike_and_never_say_sixty(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.9, "~4.9s"), (35.4, "~35s"), (59.8, "~1m 00s"), (120, "~2m 00s"), (0.2, "~0.2s")]
)
def test_estimates_do_not_pretend_to_be_exact(seconds: float, text: str) -> None:
    assert words.about(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(90, "1m 30s"), (600, "10m"), (5400, "1h 30m"), (0.5, "0.5s"), (2, "2s"), (0, "0s")]
)
def test_settings_read_as_people_write_them(seconds: float, text: str) -> None:
    assert words.limit(seconds) == text


@pytest.mark.parametrize(
    ("foreign", "shown"),
    [
        ("plain text", "plain text"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]52;c;ZXZpbA==\x1b\\text", "text"),
        ("\x1b]8;;https://example.com\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bP1;2q#0;2;0\x1b\\text", "text"),
        ("\x9b31mred", "red"),
        ("\x9d0;title\x9ctext", "text"),
        ("\x1b]0;never ended", ""),
        ("\x1b(Btext\x1bc", "text"),
        ("10%\r50%\r100%", "100%"),
        ("windows\r", "windows"),
        ("a\x00b\x07c\x08d\x7fe", "abcde"),
        ("one\ntwo", "one two"),
        ("evil\u202egnp.exe", "evilgnp.exe"),
        ("bad \udc80 text", "bad  text"),
        ("a\tb", "a   b"),
        ("naïve 漢字 ✓", "naïve 漢字 ✓"),
        ("[red]markup[/red] [/foo]", "[red]markup[/red] [/foo]"),
    ],
)
def test_foreign_text_is_made_harmless(foreign: str, shown: str) -> None:
    assert words.clean(foreign) == shown


@given(st.text(alphabet=st.sampled_from("ab \x1b[]0;mK\x07\x9b\x9d\\\r\n\x00\u202eP漢"), max_size=40))
def test_no_control_character_survives_cleaning(text: str) -> None:
    assert not set(words.clean(text)) & set("\x1b\x07\x9b\x9d\r\n\x00\u202e")


@given(st.text(max_size=60), st.integers(min_value=0, max_value=30))
def test_a_fitted_text_is_never_too_wide_and_a_padded_one_is_exact(text: str, width: int) -> None:
    text = words.clean(text)

    assert words.cells(words.fit(text, width)) <= width
    assert words.cells(words.pad(text, width)) == width


@given(st.text(alphabet="ab c漢", max_size=80), st.integers(min_value=2, max_value=30))
def test_folding_keeps_every_word_and_the_width(text: str, width: int) -> None:
    rows = words.fold(text, width)

    assert all(words.cells(row) <= width for row in rows)
    assert "".join(rows).replace(" ", "") == text.replace(" ", "")


def test_folding_breaks_at_blanks() -> None:
    assert words.fold('connection to server at "10.0.0.7" failed', 20) == [
        "connection to server",
        'at "10.0.0.7" failed',
    ]


def test_a_tail_starts_at_the_last_traceback() -> None:
    log = "\n".join(["noise"] * 30 + ["Traceback (most recent call last):", "  File x", "ValueError: no"]) + "\n\n"

    assert words.failure_tail(log) == ["Traceback (most recent call last):", "  File x", "ValueError: no"]


def test_a_tail_without_traceback_is_the_last_ten_lines() -> None:
    log = "\n".join(f"line {n}" for n in range(30))

    assert words.failure_tail(log) == [f"line {n}" for n in range(20, 30)]


def test_a_tail_has_at_most_twenty_lines_the_last_ones() -> None:
    log = "Traceback (most recent call last):\n" + "\n".join(f"frame {n}" for n in range(100))

    assert words.failure_tail(log) == [f"frame {n}" for n in range(80, 100)]


def test_a_line_beyond_all_measure_is_cut_in_its_middle() -> None:
    (line,) = words.failure_tail("a" * 100_000 + "the end")

    assert len(line) < 1100
    assert line.endswith("the end")
    assert "99,007 characters left out" in line


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (2 * 10**15, "2000.0 TB"),
    ],
)
def test_sizes(number: int, text: str) -> None:
    assert words.size(number) == text


def test_notes_are_left_out_whole_but_the_first_and_texts_are_cut() -> None:
    notes = ["4,656 rows", "", "people", "12 inserted"]

    assert words.joined(notes, 40) == "4,656 rows · people · 12 inserted"
    assert words.joined(notes, 32) == "4,656 rows · people"
    assert (
        words.joined(["4,656 rows", "all inserted", "import_order_line"], 36) == "4,656 rows · all inserted · import_…"
    )
    assert words.joined(["4,656 rows", "all inserted", "import_order_line"], 33) == "4,656 rows · all inserted"
    assert words.joined(notes, 12) == "4,656 rows"
    assert words.joined(notes, 6) == "4,656…"


ENDINGS = [
    ({"outcome": Outcome.FAILED, "exit": 1}, "exit 1"),
    ({"outcome": Outcome.FAILED, "exit": 1, "attempt": 3}, "exit 1 after 3 attempts"),
    ({"outcome": Outcome.FAILED, "signal": 11}, "killed by SIGSEGV"),
    ({"outcome": Outcome.FAILED, "signal": 99}, "killed by signal 99"),
    ({"outcome": Outcome.FAILED, "signal": 9, "reason": "killed by the system"}, "killed by the system"),
    ({"outcome": Outcome.FAILED, "reason": "no such file: 'pyhton'"}, "no such file: 'pyhton'"),
    ({"outcome": Outcome.FAILED, "exit": 65, "reason": "data rejected"}, "exit 65: data rejected"),
    ({"outcome": Outcome.FAILED, "exit": 1, "optional": True}, "exit 1 (optional)"),
    ({"outcome": Outcome.TIMED_OUT, "signal": 15}, "timed-out: over its timeout of 10m"),
    ({"outcome": Outcome.TIMED_OUT, "reason": "over the run's timeout"}, "timed-out: over the run's timeout"),
    ({"outcome": Outcome.SKIPPED, "because": ("a",)}, "skipped: needs a"),
    ({"outcome": Outcome.SKIPPED, "because": tuple("abcde")}, "skipped: needs a, b, c and 2 more"),
    ({"outcome": Outcome.SKIPPED, "reason": "nothing failed"}, "skipped: nothing failed"),
    ({"outcome": Outcome.CANCELLED}, "cancelled"),
    ({"outcome": Outcome.LOST}, "lost: nobody saw its end"),
]


@pytest.mark.parametrize(("said", "text"), ENDINGS, ids=[text for _, text in ENDINGS])
def test_an_ending_says_why(said: dict[str, object], text: str) -> None:
    end = JobFinished(**{"job": "table-7", "phase": "", "attempt": 1, **said})  # type: ignore[arg-type]

    assert words.ending_words(job("table-7", timeout=600.0), end) == text


def test_a_retry_says_why_and_when() -> None:
    event = JobRetrying(job="a", attempt=2, attempts=3, outcome=Outcome.FAILED, delay=2.04, exit=1)
    at_once = JobRetrying(job="a", attempt=1, attempts=3, outcome=Outcome.TIMED_OUT, delay=0.0)

    assert words.retry_words(event) == "exit 1 · attempt 3 of 3 in 2s"
    assert words.retry_words(at_once) == "timed-out · attempt 2 of 3 now"


@pytest.mark.parametrize(
    ("isatty", "encoding", "env", "columns", "live", "colour", "width", "mark"),
    [
        (True, "utf-8", {"TERM": "xterm"}, 120, True, True, 120, "✓"),
        (True, "utf-8", {"TERM": "dumb"}, 120, False, False, 120, "✓"),
        (False, "utf-8", {"TERM": "xterm"}, None, False, False, 80, "✓"),
        (False, "UTF8", {"COLUMNS": "100"}, None, False, False, 100, "✓"),
        (False, "utf-8", {"COLUMNS": "wide"}, None, False, False, 80, "✓"),
        (False, "utf-8", {"COLUMNS": "3"}, None, False, False, 20, "✓"),
        (True, "utf-8", {"COLUMNS": "200"}, 60, True, True, 60, "✓"),
        (False, "utf-8", {"FORCE_COLOR": "1"}, None, False, True, 80, "✓"),
        (False, "utf-8", {"FORCE_COLOR": "1", "NO_COLOR": "1"}, None, False, False, 80, "✓"),
        (False, "latin-1", {}, None, False, False, 80, "ok"),
        (False, None, {}, None, False, False, 80, "ok"),
    ],
)
def test_what_a_stream_can_show(
    *,
    isatty: bool,
    encoding: str | None,
    env: dict[str, str],
    columns: int | None,
    live: bool,
    colour: bool,
    width: int,
    mark: str,
) -> None:
    look = look_for(isatty=isatty, encoding=encoding, env=env, columns=columns)

    assert (look.live, look.colour, look.width, look.glyphs.ok) == (live, colour, width, mark)
