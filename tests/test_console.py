"""What a run shows while it goes on: on terminals, in pipes, in cron, as JSON."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import pytest

from etl_runner.events import StopReason
from etl_runner.model import Outcome, Plan, RunStatus
from etl_runner.paths import Home
from etl_runner.sinks.console import ConsoleSink
from etl_runner.sinks.jsonl import JsonLinesSink
from etl_runner.sinks.output import LastWords, OutputLines
from tests.support.screens import BEGAN, Clock, Pty, Script, Terminal, job, plan, pty, widest, write_log

PLAN = plan(
    job("rates", "pre"),
    job("table-0", "sub", template="table"),
    job("table-1", "sub", template="table"),
    job("cleanup", "sub", needs=("table-0", "table-1")),
    job("marts", "final", needs=("rates", "cleanup")),
    profile="dev",
)
TRACEBACK = """starting
Traceback (most recent call last):
  File "etl_jobs/table.py", line 41, in load
    with psycopg.connect(dsn) as db:
psycopg.OperationalError: connection to server at "10.0.0.7", port 5432 failed: Connection refused
"""
HOSTILE = "\x1b]52;c;ZXZpbA==\x07\x1b[2J\x1b[31m[/foo] [red]data[/red]\x1b[0m\x9b2K\u202e\x07"


class Memory(io.StringIO):
    """A stream in memory with an encoding."""

    def __init__(self, encoding: str = "utf-8") -> None:
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding


def console(stream: TextIO, home: Path, *, of: Plan = PLAN, **settings: Any) -> ConsoleSink:
    settings = {"env": {"TERM": "xterm"}, "clock": Clock(), **settings}
    return ConsoleSink(of, run=42, home=Home(home), stream=stream, **settings)


def show(script: Script, home: Path, **settings: Any) -> str:
    """What the whole script prints where nothing moves."""
    stream = settings.pop("stream", None) or Memory()
    sink = console(stream, home, of=script.plan, **settings)
    for record in script.records:
        sink.tell(record)
    sink.close()
    return str(stream.getvalue())


def good_run() -> Script:
    script = Script(PLAN).ok("rates", 0.0, 3.1, rows=12).ok("table-0", 0.0, 8.44, rows=4656, rejected=3)
    script.start("table-1", 3.1).retry("table-1", 5.0, of=3, delay=2.0, status=75).ok("table-1", 7.0, 9.0)
    return script.ok("cleanup", 9.0, 10.0).ok("marts", 10.0, 14.0).end(14.0)


def failed_run(home: Path) -> Script:
    write_log(Home(home).log(42, "table-1", 1), TRACEBACK)
    script = Script(PLAN).ok("rates", 0.0, 3.1).ok("table-0", 0.0, 8.4).fail("table-1", 3.1, 9.0)
    return script.skip("cleanup", 9.0, "table-1").skip("marts", 9.0, "table-1").end(9.0, RunStatus.FAILED)


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")


def test_a_pipe_gets_one_line_for_each_thing_that_happened(tmp_path: Path) -> None:
    assert show(good_run(), tmp_path).splitlines() == [
        "03:00:00 [0/5] warehouse · run 42 · dev · 5 jobs · 2 workers",
        "03:00:03 [1/5] ✓ rates         3.1s  12 rows",
        "03:00:05 [1/5] ↻ table-1       1.9s  exit 75 · attempt 2 of 3 in 2s",
        "03:00:08 [2/5] ✓ table-0       8.4s  4,656 rows · 3 rejected",
        "03:00:09 [3/5] ✓ table-1       5.9s  at attempt 2",
        "03:00:10 [4/5] ✓ cleanup       1.0s",
        "03:00:14 [5/5] ✓ marts         4.0s",
        "",
    ]


def test_a_failure_shows_the_end_of_its_log_and_what_it_blocked(tmp_path: Path) -> None:
    assert show(failed_run(tmp_path), tmp_path).splitlines()[3:] == [
        "03:00:09 [3/5] ✗ table-1       5.9s  exit 1",
        "    │ Traceback (most recent call last):",
        '    │   File "etl_jobs/table.py", line 41, in load',
        "    │     with psycopg.connect(dsn) as db:",
        '    │ psycopg.OperationalError: connection to server at "10.0.0.7", port 5432',
        "    │ failed: Connection refused",
        "03:00:09 [4/5] − cleanup             skipped: needs table-1",
        "03:00:09 [5/5] − marts               skipped: needs table-1",
        "",
    ]


@pytest.mark.parametrize("columns", [20, 40, 60, 80])
def test_no_line_is_wider_than_the_screen(columns: int, tmp_path: Path) -> None:
    text = show(failed_run(tmp_path), tmp_path, env={"COLUMNS": str(columns)})

    assert widest(text) <= columns


def test_without_utf_marks_are_words_and_nothing_fails(tmp_path: Path) -> None:
    text = show(failed_run(tmp_path), tmp_path, stream=Memory("latin-1"))

    assert text.isascii()
    assert "[2/5] ok    table-0       8.4s\n" in text
    assert "[3/5] FAIL  table-1       5.9s  exit 1\n    | Traceback" in text
    assert "[4/5] skip  cleanup " in text


def test_a_latin_1_stream_gets_question_marks_for_what_it_cannot_say(tmp_path: Path) -> None:
    file = tmp_path / "out.txt"
    write_log(Home(tmp_path).log(42, "table-1", 1), "漢字 wanted\n")
    script = Script(PLAN).fail("table-1", 0.0, 1.0)

    with file.open("w", encoding="latin-1") as stream:
        sink = console(stream, tmp_path)
        for record in script.records:
            sink.tell(record)
        sink.close()

    assert b"    | ?? wanted\n" in file.read_bytes()


@pytest.mark.parametrize("mode", ["plain", "verbose", "colour"])
def test_control_characters_of_others_never_reach_the_screen(mode: str, tmp_path: Path) -> None:
    evil = plan(job("a" + HOSTILE, "p" + HOSTILE), profile="p" + HOSTILE)
    name = evil.jobs[0].name
    script = Script(evil).start(name, 0.0).exit(name, 1.0, error="no such file: " + HOSTILE)
    script.finish(name, 1.0, Outcome.FAILED, reason="no such file: " + HOSTILE, metrics={"note" + HOSTILE: HOSTILE})
    stream = Memory()
    env = {"FORCE_COLOR": "1"} if mode == "colour" else {}
    sink = console(stream, tmp_path, of=evil, verbose=mode == "verbose", env=env)

    for record in script.records:
        sink.tell(record)
        sink.output(name, HOSTILE.encode() + b"\n")
    sink.close()

    text = stream.getvalue()
    assert "[/foo] [red]data[/red]" in text
    assert not set(text) & set("\x07\x9b\u202e")
    assert "\x1b]" not in text
    assert "\x1b[2J" not in text
    assert mode == "colour" or "\x1b" not in text


def test_colour_is_asked_for_and_markup_in_data_is_not_read(tmp_path: Path) -> None:
    script = Script(PLAN).finish("marts", 1.0, Outcome.CANCELLED, reason="[bold]see [/foo]")

    text = show(script, tmp_path, env={"FORCE_COLOR": "1"})

    assert "\x1b[33m■ \x1b[0m" in text
    assert "[bold]see [/foo]" in text


def test_quiet_says_nothing_about_a_good_run(tmp_path: Path) -> None:
    assert show(good_run(), tmp_path, quiet=True) == ""


def test_quiet_shows_the_failed_job_and_the_last_line_of_a_bad_run(tmp_path: Path) -> None:
    lines = show(failed_run(tmp_path), tmp_path, quiet=True).splitlines()

    assert lines[0] == "✗ table-1       5.9s  exit 1"
    assert lines[1] == "    │ Traceback (most recent call last):"
    assert lines[-1] == "FAILED  2 ok · 1 failed · 2 skipped in 9.0s      run the rest: etl-run retry 42"
    assert len(lines) == 7


def test_verbose_shows_output_line_by_line_under_the_name_of_its_job(tmp_path: Path) -> None:
    stream = Memory()
    sink = console(stream, tmp_path, verbose=True)
    begun, started, exited, finished = Script(PLAN).ok("rates", 0.0, 1.0).records
    sink.tell(begun)
    sink.tell(started)

    sink.output("rates", b"first li")
    sink.output("table-0", b"another\n")
    sink.output("rates", b"ne\n10%\r20%\r\nthe rest")
    sink.tell(exited)
    sink.tell(finished)
    sink.close()

    assert stream.getvalue().splitlines()[1:] == [
        "table-0    │ another",
        "rates      │ first line",
        "rates      │ 20%",
        "rates      │ the rest",
        "03:00:01 [1/5] ✓ rates         1.0s",
        "",
    ]


def test_verbose_does_not_repeat_the_end_of_a_log_it_has_shown(tmp_path: Path) -> None:
    assert "Traceback" not in show(failed_run(tmp_path), tmp_path, verbose=True)


def test_a_line_without_end_comes_in_pieces_and_bad_utf_8_is_marked() -> None:
    lines = OutputLines()

    assert lines.feed("a", b"x" * 9000) == ["x" * 9000]
    assert lines.feed("a", b"caf\xc3") == []
    assert lines.feed("a", b"\xa9 \xff\n") == ["café \ufffd"]
    assert lines.end("a") == []


def test_the_last_words_of_a_job_are_its_last_line_with_something_in_it() -> None:
    said = LastWords()

    said.feed("a", b"x" * 50_000 + b"\nreading peo")
    said.feed("a", b"ple\r\n\n  \n")

    assert said.of("a") == "reading people"
    assert said.of("nobody") == ""


@pytest.mark.parametrize(
    ("stop", "said"),
    [
        ({"signal": 2}, "■ stopping 2 jobs (Ctrl+C again to kill)"),
        ({"signal": 15}, "■ stopping 2 jobs (SIGTERM again to kill)"),
        ({"signal": 2, "force": True}, "■ killing 2 jobs"),
        ({"reason": StopReason.RUN_TIMEOUT}, "■ the run's time is over: stopping 2 jobs"),
        ({"reason": StopReason.FAIL_FAST}, "■ a job failed: stopping 2 jobs"),
    ],
)
def test_stopping_says_what_is_stopped_and_how_to_insist(stop: dict[str, Any], said: str, tmp_path: Path) -> None:
    script = Script(PLAN).start("rates", 0.0).start("table-0", 0.0).stop(1.0, **stop)

    assert show(script, tmp_path).splitlines()[1] == f"03:00:01 [0/5] {said}"


@pytest.mark.parametrize(
    ("stop", "said"),
    [
        ({"signal": 2}, "■ no more jobs are started"),
        ({"signal": 2, "force": True}, "■ no job is left to be killed"),
        ({"reason": StopReason.SIGNAL}, "■ nothing more can be remembered: no more jobs are started"),
    ],
)
def test_where_nothing_runs_nothing_is_said_to_be_stopped(stop: dict[str, Any], said: str, tmp_path: Path) -> None:
    assert show(Script(PLAN).stop(1.0, **stop), tmp_path).splitlines()[1] == f"03:00:01 [0/5] {said}"


def test_a_warning_stands_beside_the_job_it_is_about(tmp_path: Path) -> None:
    slow = plan(job("a", expect=2.0))
    script = Script(slow).start("a", 0.0).exit("a", 3.0, log_truncated=True).finish("a", 3.0, Outcome.SUCCEEDED)

    assert "✓ a             3.0s  slower than 2s · log truncated" in show(script, tmp_path)


def test_where_nothing_moves_a_long_silence_is_broken(tmp_path: Path) -> None:
    stream, clock = Memory(), Clock()
    sink = console(stream, tmp_path, clock=clock)
    for record in Script(PLAN).start("rates", 0.0).start("table-0", 30.0).records:
        sink.tell(record)

    for clock.seconds in (59.0, 61.0, 80.0, 119.0, 125.0):
        sink.refresh()

    assert stream.getvalue().splitlines()[1:] == [
        "03:01:01 [0/5] ● running: rates 1m 01s, table-0 31.0s",
        "03:02:05 [0/5] ● running: rates 2m 05s, table-0 1m 35s",
    ]


def test_github_actions_gets_an_annotation_and_a_fold(tmp_path: Path) -> None:
    lines = show(failed_run(tmp_path), tmp_path, env={"GITHUB_ACTIONS": "true"}).splitlines()

    at = lines.index("::error title=table-1::✗ table-1 5.9s exit 1")
    assert lines[at + 1] == "::group::table-1: the end of its log"
    assert lines[at + 2] == "    │ Traceback (most recent call last):"
    assert lines[at + 7] == "::endgroup::"


def test_the_journal_gets_priorities_and_no_second_clock(tmp_path: Path) -> None:
    file = tmp_path / "journal"
    script = failed_run(tmp_path)

    with file.open("w", encoding="utf-8") as stream:
        status = os.fstat(stream.fileno())
        sink = console(stream, tmp_path, env={"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
        for record in script.records:
            sink.tell(record)
        sink.close()

    lines = file.read_text().splitlines()
    assert lines[2] == "<6>[2/5] ✓ table-0       8.4s"
    assert lines[3] == "<3>[3/5] ✗ table-1       5.9s  exit 1"
    assert lines[4] == "<3>    │ Traceback (most recent call last):"


def test_an_inherited_journal_variable_does_not_make_a_file_the_journal(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w", encoding="utf-8") as stream:
        sink = console(stream, tmp_path, env={"JOURNAL_STREAM": "8:12345"})
        sink.tell(Script(PLAN).records[0])
        sink.close()

    assert (tmp_path / "file").read_text().startswith("03:00:00 [0/5] ")


# Live: a real pseudo-terminal, and a small terminal that shows what would stand on the screen.


def wait_for_writing(sink: ConsoleSink) -> None:
    deadline = time.monotonic() + 10
    while sink._out.backlog:
        assert time.monotonic() < deadline, "the sink does not write"
        threading.Event().wait(0.001)


def seen(terminal: Pty, sink: ConsoleSink) -> str:
    """What has arrived at the terminal since the last look."""
    while sink._out.backlog:
        terminal.take_in(timeout=0.01)
    return terminal.read()


def test_a_run_that_takes_longer_than_usual_says_so(tmp_path: Path) -> None:
    clock, screen = Clock(), Terminal(80, 24)
    with pty() as terminal:
        sink = console(terminal.stream, tmp_path, clock=clock, estimates={"a": 2.0}, of=plan(job("a")))
        for record in Script(plan(job("a"))).start("a", 0.0).records:
            sink.tell(record)
        clock.seconds = 5.0
        sink.refresh()
        screen.feed(seen(terminal, sink))

        assert any(line.endswith("5.0s elapsed · longer than usual") for line in screen.screen)
        sink.close()


def test_a_terminal_shows_finished_lines_above_a_footer_that_moves(tmp_path: Path) -> None:
    clock, screen = Clock(), Terminal(80, 24)
    script = Script(PLAN).ok("rates", 0.0, 3.1, rows=12).start("table-0", 0.0).start("table-1", 3.1)
    script.report("table-0", 4.0, rows=5000, of=10000)
    with pty() as terminal:
        estimates = {"table-0": 8.0, "table-1": 10.0, "cleanup": 1.0, "marts": 2.0}
        sink = console(terminal.stream, tmp_path, clock=clock, estimates=estimates)
        for record in script.records:
            sink.tell(record)
        sink.output("table-1", b"old line\nreading \x1b[1mpeople\x1b[0m\n")
        clock.seconds = 4.1
        sink.refresh()
        screen.feed(seen(terminal, sink))

        assert screen.screen == [
            "✓ rates         3.1s  12 rows",
            "",
            " warehouse · run 42 · dev · 2 workers · 4.1s elapsed · ~12s left",
            " pre    ━━━━━━━━━━━━━━━━━━━━━━━━   1/1    done",
            " sub    ────────────────────────   0/3    2 running",
            " final  ────────────────────────   0/1",
            " ● table-0       4.1s of ~8.0s   █████░░░░░  5,000 of 10,000 rows",
            " ● table-1       1.0s of ~10s    ░░░░░░░░░░  reading people",
        ]
        assert not screen.cursor_shown

        rest = Script(PLAN).ok("rates", 0.0, 3.1).start("table-1", 3.1).ok("table-0", 0.0, 8.0, rows=10000).records
        for record in rest[-2:]:
            sink.tell(record)
        clock.seconds = 9.0
        sink.refresh()
        screen.feed(seen(terminal, sink))

        assert screen.screen[:2] == ["✓ rates         3.1s  12 rows", "✓ table-0       8.0s  10,000 rows"]
        assert screen.screen[5] == " sub    ━━━━━━━━────────────────   1/3    1 running"
        assert len(screen.screen) == 8

        sink.close()
        screen.feed(terminal.read())

    assert screen.screen == ["✓ rates         3.1s  12 rows", "✓ table-0       8.0s  10,000 rows"]
    assert screen.cursor_shown


def test_a_frame_shows_what_its_new_lines_say(tmp_path: Path) -> None:
    clock, screen = Clock(), Terminal(80, 24)
    records = Script(PLAN).ok("rates", 0.0, 3.1).start("table-0", 0.0).records
    with pty() as terminal:
        sink = console(terminal.stream, tmp_path, clock=clock)
        for record in records[:3]:
            sink.tell(record)
        sink.refresh()
        screen.feed(seen(terminal, sink))
        for record in records[3:]:
            sink.tell(record)
        clock.seconds = 4.0
        sink.refresh()
        screen.feed(seen(terminal, sink))
        frame = screen.screen
        sink.close()

    assert frame[0] == "✓ rates         3.1s"
    assert frame[3].endswith("1/1    done")


@pytest.mark.parametrize(
    ("columns", "lines", "rows"),
    [(80, 24, 10), (60, 16, 8), (40, 12, 4), (30, 8, 0), (80, 7, 0), (80, 6, 0), (80, 5, 0)],
)
def test_the_footer_fits_the_screen_and_says_what_it_leaves_out(
    columns: int, lines: int, rows: int, tmp_path: Path
) -> None:
    names = [f"a-rather-long-table-name-{n}" for n in range(15)]
    wide = plan(*(job(name, f"phase-{n % 3}") for n, name in enumerate(names)), workers=15)
    script = Script(wide)
    for name in names:
        script.start(name, 0.0).report(name, 1.0, rows=5_000_000, of=10_000_000)
    screen, clock = Terminal(columns, lines), Clock()
    clock.seconds = 2.0
    with pty(columns=columns, lines=lines) as terminal:
        sink = console(terminal.stream, tmp_path, of=wide, clock=clock)
        for record in script.records:
            sink.tell(record)
        sink.refresh()
        screen.feed(seen(terminal, sink))
        frame = screen.screen
        sink.close()

    shown = sum(line.startswith(" ●") for line in frame)
    assert len(frame) < lines
    assert widest(frame) < columns
    assert shown == max(rows - 1, 0)
    if lines >= 6:
        assert frame[-1] == f" … and {15 - shown} more"


def test_a_flood_of_output_does_not_drown_the_live_screen(tmp_path: Path) -> None:
    screen = Terminal(80, 24)
    with pty() as terminal:
        sink = console(terminal.stream, tmp_path, verbose=True)
        for record in Script(PLAN).start("rates", 0.0).records:
            sink.tell(record)
        for number in range(2000):
            sink.output("rates", f"line {number}\n".encode())
        sink.refresh()
        screen.feed(seen(terminal, sink))
        frame = screen.screen
        sink.close()

    assert frame[0] == "rates      │ line 0"
    left_out = frame.index(next(line for line in frame if "left out" in line))
    assert frame[left_out] == f"… {2000 - left_out:,} lines of output left out, see the logs"
    assert left_out < 600


@pytest.mark.parametrize("env", [{"TERM": "dumb"}, {"TERM": "xterm", "NO_COLOR": "1"}])
def test_a_terminal_that_wants_no_colours_gets_none(env: dict[str, str], tmp_path: Path) -> None:
    with pty() as terminal:
        sink = console(terminal.stream, tmp_path, env=env)
        for record in failed_run(tmp_path).records:
            sink.tell(record)
        sink.refresh()
        sink.close()
        text = terminal.read()

    colours = [f"\x1b[{code}m" for code in (31, 32, 33, 36, "1;31", "1;32")]
    assert not any(colour in text for colour in colours)
    assert env["TERM"] != "dumb" or "\x1b" not in text


def test_a_live_screen_lets_no_control_characters_of_others_through(tmp_path: Path) -> None:
    evil = plan(job("a" + HOSTILE, "p" + HOSTILE), profile="p" + HOSTILE)
    name = evil.jobs[0].name
    screen = Terminal(80, 24)
    with pty() as terminal:
        sink = console(terminal.stream, tmp_path, of=evil)
        for record in Script(evil).start(name, 0.0).records:
            sink.tell(record)
        sink.output(name, b"said " + HOSTILE.encode())
        sink.refresh()
        sink.close()
        screen.feed(terminal.read())  # fails on any sequence that is not ours


class StuckPipe:
    """A pipe that nobody reads until `drain`; `text` is what came through it then."""

    def __init__(self) -> None:
        self._reader, writer = os.pipe()
        self.stream = os.fdopen(writer, "w", encoding="utf-8")
        self._parts: list[bytes] = []
        self._reading = threading.Thread(target=self._read, daemon=True)

    def _read(self) -> None:
        self._parts.extend(iter(lambda: os.read(self._reader, 65536), b""))

    def drain(self) -> None:
        self._reading.start()

    def text(self) -> str:
        self.stream.close()
        self._reading.join(10)
        os.close(self._reader)
        return b"".join(self._parts).decode()


def does_not_wait(act: Callable[[], None], pipe: StuckPipe) -> None:
    """Do it while nobody reads; then let somebody read."""
    doing = threading.Thread(target=act, daemon=True)
    doing.start()
    doing.join(20)
    waits = doing.is_alive()
    pipe.drain()
    doing.join(20)
    assert not waits, "it waited for the reader"


def test_a_stuck_terminal_does_not_hold_up_the_run_and_loses_no_line(tmp_path: Path) -> None:
    many = plan(*(job(f"job-{n:05}") for n in range(4000)))
    script = Script(many)
    for j in many.jobs:
        script.ok(j.name, 0.0, 1.0)
    records, pipe = script.records, StuckPipe()
    sink = console(pipe.stream, tmp_path, of=many)

    def tell_all() -> None:
        for record in records:  # some 150 KB; a pipe takes 64
            sink.tell(record)

    does_not_wait(tell_all, pipe)
    sink.close()

    assert pipe.text().count("✓") == 4000


def test_output_that_nobody_reads_is_left_out_and_said_so(tmp_path: Path) -> None:
    pipe = StuckPipe()
    sink = console(pipe.stream, tmp_path, verbose=True)

    def flood() -> None:
        for record in Script(PLAN).start("rates", 0.0).records:
            sink.tell(record)
        for _ in range(200):
            sink.output("rates", b"x" * 99 + b"\n" + (b"y" * 99 + b"\n") * 999)

    does_not_wait(flood, pipe)
    wait_for_writing(sink)
    sink.output("rates", b"the end\n")
    sink.close()

    text = pipe.text()
    assert len(text) < 8_000_000
    assert text.splitlines()[-3].endswith("lines of output left out, see the logs")
    assert text.splitlines()[-2] == "rates      │ the end"


def _closed_pipe() -> TextIO:
    reader, writer = os.pipe()
    os.close(reader)
    return os.fdopen(writer, "w", encoding="utf-8")


@pytest.mark.parametrize(
    "make",
    [
        console,
        lambda stream, home: console(stream, home, verbose=True),
        lambda stream, home: JsonLinesSink(stream),
    ],
    ids=["console", "verbose", "json"],
)
def test_a_reader_that_went_away_does_not_end_the_run(make: Callable[[TextIO, Path], Any], tmp_path: Path) -> None:
    with _closed_pipe() as stream:
        sink = make(stream, tmp_path)
        for record in failed_run(tmp_path).records:
            sink.tell(record)
            sink.output("rates", b"some output\n")
            sink.refresh()
        sink.close()


def test_a_terminal_that_hangs_up_does_not_end_the_run(tmp_path: Path) -> None:
    with pty() as terminal:
        sink = console(terminal.stream, tmp_path)
        records = failed_run(tmp_path).records
        sink.tell(records[0])
        sink.refresh()
        terminal.hang_up()
        for record in records[1:]:
            sink.tell(record)
            sink.refresh()
        sink.close()


def test_a_full_disk_does_not_end_the_run(tmp_path: Path) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as stream:
        sink = console(stream, tmp_path)
        for record in good_run().records:
            sink.tell(record)
        sink.close()


def test_json_is_one_object_a_line_with_event_run_and_instant() -> None:
    stream = Memory()
    sink = JsonLinesSink(stream)
    for record in good_run().report("rates", 1.0, rows=3).records:
        sink.tell(record)
    sink.close()

    objects = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert all(list(o)[:3] == ["event", "run", "at"] for o in objects)
    assert objects[0]["at"] == BEGAN.isoformat(timespec="milliseconds")
    assert "attempt_reported" not in {o["event"] for o in objects}
    finished = next(o for o in objects if o["event"] == "job_finished" and o["job"] == "table-0")
    wanted = {"phase": "sub", "attempt": 1, "outcome": "succeeded", "exit": 0, "metrics": {"rows": 4656, "rejected": 3}}
    assert wanted.items() <= finished.items()
    assert objects[-1]["event"] == "run_finished"
    assert (objects[-1]["status"], objects[-1]["exit"], objects[-1]["seconds"]) == ("succeeded", 0, 14.0)
    assert objects[-1]["counts"] == {"succeeded": 5}


def test_json_that_cannot_be_written_is_a_note_on_stderr() -> None:
    stderr = Memory()
    with Path("/dev/full").open("w", encoding="utf-8") as stream:
        sink = JsonLinesSink(stream, stderr=stderr)
        sink.tell(good_run().records[0])
        sink.close()

    note = "cannot write the events: No space left on device; see them with etl-run show -o json"
    assert json.loads(stderr.getvalue()) == {"note": note}


def test_a_reader_of_json_that_goes_away_is_no_note() -> None:
    stderr = Memory()
    left, right = os.pipe()
    os.close(left)
    with os.fdopen(right, "w", encoding="utf-8") as stream:
        sink = JsonLinesSink(stream, stderr=stderr)
        sink.tell(good_run().records[0])
        sink.close()

    assert stderr.getvalue() == ""


@pytest.mark.parametrize(
    ("encoding", "command", "expected"),
    [
        ("utf-8", "naïve 漢字 😀", "naïve 漢字 😀"),
        ("latin-1", "naïve 漢字 😀", "naïve 漢字 😀"),
        ("utf-8", "\udcff", "\udcff"),
    ],
)
def test_json_says_any_text_on_any_stream(encoding: str, command: str, expected: str, tmp_path: Path) -> None:
    file = tmp_path / "out"
    odd = plan(job(command))
    with file.open("w", encoding=encoding) as stream:
        sink = JsonLinesSink(stream)
        sink.tell(Script(odd).skip(command, 0.0, "a").records[-1])
        sink.close()

    assert json.loads(file.read_bytes())["job"] == expected


def test_only_a_live_screen_pays_for_rich(tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from tests.test_console import good_run, console, Memory
from etl_runner.sinks.jsonl import JsonLinesSink
for sink in (console(Memory(), Path({str(tmp_path)!r})), JsonLinesSink(Memory())):
    for record in good_run().records:
        sink.tell(record)
    sink.close()
print([name for name in ("rich", "click", "psycopg") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout == "[]\n"


def test_closing_twice_is_closing_once(tmp_path: Path) -> None:
    stream = Memory()
    sink = console(stream, tmp_path)
    sink.tell(Script(PLAN).records[0])

    sink.close()
    before = stream.getvalue()
    sink.close()

    assert stream.getvalue() == before
