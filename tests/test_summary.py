"""The summary of a run: table, findings, failed logs last."""

from __future__ import annotations

import io
import re
import time
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from etl_runner.look import ASCII, Look
from etl_runner.model import Job, Outcome, Plan, RunStatus
from etl_runner.paths import Home
from etl_runner.report.style import instant, short_path
from etl_runner.report.summary import render_summary, summary_lines
from etl_runner.sinks.paint import plain
from etl_runner.timeline import Timeline
from tests.support.screens import BEGAN, Script, job, plan, widest, write_log

LOAD = plan(
    job("rates", "pre"),
    job("table-0", "sub", template="table"),
    job("table-1", "sub", template="table"),
    job("table-2", "sub", template="table"),
    job("cleanup", "sub", needs=("table-0", "table-1", "table-2")),
    job("marts", "final", needs=("rates", "cleanup")),
    workers=2,
)


def good_run() -> Script:
    script = Script(LOAD).ok("rates", 0.0, 4.0).ok("table-0", 0.0, 6.0, rows=4656)
    script.start("table-1", 4.0).retry("table-1", 5.0, of=3, delay=1.0, status=75)
    script.ok("table-1", 6.0, 10.0, rows=17952).ok("table-2", 10.0, 16.0, rows=0)
    return script.ok("cleanup", 16.0, 18.0).ok("marts", 18.0, 20.0).end(20.0)


def failed_run(home: Path) -> Script:
    log = "noise\n" * 50 + 'Traceback (most recent call last):\n  File \x1b[1m"table.py", line 41, in load\n'
    log += 'psycopg.OperationalError: connection to server at "10.0.0.7", port 5432 failed: Connection refused\n'
    write_log(Home(home).log(42, "table-1", 2), log)
    script = Script(LOAD).ok("rates", 0.0, 4.0).ok("table-0", 0.0, 6.0).start("table-1", 4.0)
    script.retry("table-1", 5.0, of=2, delay=1.0).fail("table-1", 6.0, 9.0).ok("table-2", 6.0, 8.0)
    return script.skip("cleanup", 9.0, "table-1").skip("marts", 9.0, "table-1").end(9.0, RunStatus.FAILED)


def summary(script: Script, home: Path, *, width: int = 80, everything: bool = False, ascii_only: bool = False) -> str:
    look = Look(width=width, glyphs=ASCII) if ascii_only else Look(width=width)
    return render_summary(script.plan, script.records, home=Home(home), look=look, cwd=home, everything=everything)


def test_a_good_run_shows_every_job_on_one_time_axis_and_what_decided_it(tmp_path: Path) -> None:
    assert summary(good_run(), tmp_path).splitlines() == [
        "    Job         Tries   Start    Time    Rows   0s                         20.0s",
        "─" * 80,
        "    pre",
        "✓   rates           1    0.0s    4.0s           ━━━━━━",
        "    sub",
        "✓   table-0         1    0.0s    6.0s   4,656   ━━━━━━━━━━",
        "✓   table-1         2    4.0s    6.0s  17,952         ┄┄┄━━━━━━━",
        "✓   table-2         1   10.0s    6.0s       0                   ██████████",
        "✓   cleanup         1   16.0s    2.0s                                    ████",
        "    final",
        "✓   marts           1   18.0s    2.0s                                       ████",
        " decided by    table-2 6.0s → cleanup 2.0s → marts 2.0s (█)",
        "               table-2 waited 10.0s for a worker; 3 workers: ~15s",
        " slowest       table-0 6.0s · table-1 6.0s · table-2 6.0s",
        " workers       2 · 62% busy · 25.0s of work in 20.0s (1.2×)",
        " flaky         table-1 (ok at attempt 2)",
        "",
        "OK  6 ok · 0 failed · 0 skipped in 20.0s      details: etl-run show 42",
    ]


def test_a_failed_run_ends_with_the_log_of_what_failed_and_what_to_type_next(tmp_path: Path) -> None:
    lines = summary(failed_run(tmp_path), tmp_path).splitlines()

    assert "−   cleanup      skipped: needs table-1" in lines
    assert lines[lines.index("") + 1 :] == [
        "✗ table-1  exit 1 after 2 attempts, 5.0s      runs/42/logs/table-1.2.log",
        "  │ Traceback (most recent call last):",
        '  │   File "table.py", line 41, in load',
        '  │ psycopg.OperationalError: connection to server at "10.0.0.7", port 5432',
        "  │ failed: Connection refused",
        "",
        "FAILED  3 ok · 1 failed · 2 skipped in 9.0s      run the rest: etl-run retry 42",
    ]


def test_a_log_path_that_does_not_fit_stands_whole_on_a_line_of_its_own(tmp_path: Path) -> None:
    home = tmp_path / ("a-long-folder-name" * 5)
    script = failed_run(home)

    text = render_summary(LOAD, script.records, home=Home(home), look=Look(), cwd=Path("/nowhere"))

    assert f"  {home}/runs/42/logs/table-1.2.log" in text.splitlines()


@pytest.mark.parametrize("ascii_only", [False, True])
@pytest.mark.parametrize("width", [30, 40, 60, 80, 120])
def test_no_line_is_wider_than_the_screen(*, width: int, ascii_only: bool, tmp_path: Path) -> None:
    for script in (good_run(), failed_run(tmp_path)):
        lines = summary(script, tmp_path, width=width, ascii_only=ascii_only).splitlines()

        assert widest([line for line in lines if "logs/" not in line]) <= width


def test_without_utf_everything_is_ascii(tmp_path: Path) -> None:
    text = summary(failed_run(tmp_path), tmp_path, ascii_only=True) + summary(good_run(), tmp_path, ascii_only=True)

    assert text.isascii()
    assert "FAIL    table-1 " in text
    assert "skip    cleanup " in text


def _many(number: int, *, workers: int = 4) -> tuple[Plan, Script]:
    jobs = [job(f"t{n:03}", "sub", template="t") for n in range(number)]
    last = job("last", "final", needs=tuple(j.name for j in jobs))
    load = plan(*jobs, last, workers=workers)
    script = Script(load)
    for n, j in enumerate(jobs[2:], 2):
        script.ok(j.name, n * 1.0, n * 1.0 + (9.0 if n % 20 == 3 else 0.5))
    return load, script


def test_a_long_run_shows_only_the_jobs_worth_a_look(tmp_path: Path) -> None:
    _, script = _many(200)
    script.fail("t000", 0.0, 0.4).start("t001", 0.0).retry("t001", 0.2, of=2, delay=0.0).ok("t001", 0.2, 0.5)
    script.skip("last", 300.0, "t000").end(300.0, RunStatus.FAILED)

    lines = summary(script, tmp_path).splitlines()

    table = lines[2 : next(n for n, line in enumerate(lines) if line.startswith(" decided by"))]
    shown = [line.split()[1] for line in table if line[0] in "✓✗−"]
    slow = [f"t{n:03}" for n in range(3, 200, 20)]
    assert shown == ["t000", "t001", *slow, "t199", "last"]
    assert table[-1] == f"    … {201 - len(shown)} more ok ─ etl-run show 42 --all"


def test_a_long_run_is_shown_whole_on_demand(tmp_path: Path) -> None:
    _, script = _many(60)
    script.ok("t000", 0.0, 1.0).ok("t001", 0.0, 1.0).ok("last", 70.0, 71.0).end(71.0)

    assert sum(line.startswith("✓") for line in summary(script, tmp_path, everything=True).splitlines()) == 61


def test_a_thousand_failures_do_not_fill_the_screen(tmp_path: Path) -> None:
    jobs = [job(f"t{n:04}") for n in range(1000)]
    script = Script(plan(*jobs))
    for j in jobs:
        script.fail(j.name, 0.0, 1.0)
    script.end(1.0, RunStatus.FAILED)

    lines = summary(script, tmp_path).splitlines()

    assert len(lines) < 100
    assert "… and 995 more failed: etl-run show 42" in lines
    assert lines[-1] == "FAILED  0 ok · 1,000 failed in 1.0s      run the rest: etl-run retry 42"


def test_a_long_deciding_path_is_shortened_in_its_middle(tmp_path: Path) -> None:
    jobs = [job(f"j{n}", needs=(f"j{n - 1}",) if n else ()) for n in range(20)]
    script = Script(plan(*jobs))
    for n in range(20):
        script.ok(f"j{n}", n * 1.0, n + 1.0)

    text = summary(script.end(20.0), tmp_path)

    lines = text.splitlines()
    at = lines.index(" decided by    j0 1.0s → j1 1.0s → j2 1.0s → … 13 more … → j16 1.0s → j17 1.0s →")
    assert lines[at + 1] == "               j18 1.0s → j19 1.0s (█)"


def test_a_wait_for_a_pool_names_the_pool(tmp_path: Path) -> None:
    tight = plan(job("a", pools={"odoo": 1}), job("b", pools={"odoo": 1}), workers=4, pools={"odoo": 1})
    script = Script(tight).ok("a", 0.0, 4.0).ok("b", 4.0, 6.0).end(6.0)

    text = summary(script, tmp_path)

    assert "               b waited 4.0s for pool odoo\n" in text


def test_a_wait_that_neither_workers_nor_pools_explain_is_not_put_down_to_them(tmp_path: Path) -> None:
    roomy = plan(job("a", pools={"odoo": 1}), job("b"), workers=4, pools={"odoo": 8})
    script = Script(roomy).ok("a", 0.5, 4.0).ok("b", 0.0, 0.1).end(4.0)

    assert "               a waited 0.5s to be started\n" in summary(script, tmp_path)


def test_a_single_job_is_not_explained(tmp_path: Path) -> None:
    text = summary(Script(plan(job("a"))).ok("a", 0.0, 4.0).end(4.0), tmp_path)

    assert "decided by" not in text
    assert "busy" not in text


def test_failures_with_the_same_last_words_are_told_once(tmp_path: Path) -> None:
    script = Script(plan(*(job(f"t{n}") for n in range(9))))
    for n in range(9):
        script.fail(f"t{n}", 0.0, 1.0)
        write_log(Home(tmp_path).log(script.run, f"t{n}", 1), "no such folder\n" if n != 4 else "another reason\n")

    text = summary(script.end(1.0, RunStatus.FAILED), tmp_path)

    assert text.count("no such folder") == 1
    assert text.count("another reason") == 1
    assert "the same: t1, t2, t3, t5, t6 and 2 more" in text
    assert "more failed" not in text


def test_where_nobody_waited_it_says_that_workers_would_not_help(tmp_path: Path) -> None:
    script = Script(plan(job("a"), job("b"))).ok("a", 0.0, 4.0).ok("b", 0.0, 6.0).end(6.0)

    assert "more workers would not help" in summary(script, tmp_path)


@pytest.mark.parametrize("status", [RunStatus.FAILED, RunStatus.CANCELLED])
def test_a_run_that_did_not_do_everything_promises_nothing_about_workers(status: RunStatus, tmp_path: Path) -> None:
    script = Script(LOAD).ok("rates", 0.0, 4.0).ok("table-0", 0.0, 6.0).ok("table-1", 4.0, 9.0).end(9.0, status)

    assert " workers: ~" not in summary(script, tmp_path)


def test_of_a_cancelled_run_no_job_decided_the_length(tmp_path: Path) -> None:
    script = Script(LOAD).ok("rates", 0.0, 4.0).ok("table-0", 0.0, 6.0).end(9.0, RunStatus.CANCELLED)

    text = summary(script, tmp_path)

    assert "decided by" not in text
    assert "█" not in text
    assert " workers       2 · 56% busy" in text


def _ended(job_: Job, outcome: Outcome, **said: object) -> list[str]:
    script = Script(plan(job_)).start(job_.name, 0.0).exit(job_.name, 8.0, signal=15)
    script.finish(job_.name, 8.0, outcome, **said).end(8.0, RunStatus.FAILED)
    return summary(script, Path("/nowhere")).splitlines()


def test_other_ends_than_failure_are_counted_by_their_own_word() -> None:
    assert _ended(job("a"), Outcome.TIMED_OUT)[-1].startswith("FAILED  0 ok · 1 timed-out in 8.0s")
    assert _ended(job("a"), Outcome.CANCELLED)[-1].startswith("FAILED  0 ok · 1 cancelled in 8.0s")
    optional = _ended(job("a", optional=True), Outcome.FAILED, optional=True, signal=15)
    assert optional[-1].startswith("FAILED  0 ok · 1 optional failed in 8.0s")


def test_rows_that_are_not_as_they_should_be_are_told(tmp_path: Path) -> None:
    of = plan(*(job(f"t-{n}") for n in range(8)))
    script = Script(of)
    for n in range(8):
        bad = {"orphans": min(n, 1), "rejected": n}
        script.ok(f"t-{n}", float(n), n + 1.0, rows=5, **bad)

    lines = summary(script.end(8.0), tmp_path).splitlines()

    at = lines.index(" data          t-1: 1 rejected, 1 orphan")
    assert lines[at + 1] == "               t-2: 2 rejected, 1 orphan"
    assert lines[at + 5] == "               and 2 more"


def test_warnings_name_what_was_slow_truncated_or_odd(tmp_path: Path) -> None:
    odd = plan(job("a", expect=300.0), job("b"))
    script = Script(odd).start("a", 0.0).exit("a", 360.0, log_truncated=True).finish("a", 360.0, Outcome.SUCCEEDED)
    script.start("b", 0.0).exit("b", 1.0, warnings=("line 3 of its output is \x1b[1mno JSON",))
    script.finish("b", 1.0, Outcome.SUCCEEDED).end(360.0)

    lines = summary(script, tmp_path).splitlines()

    at = lines.index(" warnings      a took 6m 00s, expected at most 5m")
    assert lines[at + 1 : at + 3] == [
        "               log truncated: a",
        "               b: line 3 of its output is no JSON",
    ]


def test_a_run_whose_end_nobody_saw_is_shown_as_far_as_it_came(tmp_path: Path) -> None:
    timeline = Timeline(LOAD, Script(LOAD).ok("rates", 0.0, 4.0).start("table-0", 0.0).records)
    timeline.abandon()

    lines = [plain(line) for line in summary_lines(timeline, home=Home(tmp_path), look=Look(), cwd=tmp_path)]

    assert lines[-1].startswith("LOST  1 ok · 5 lost in 4.0s")
    assert any(line.startswith("?   table-0         1    0.0s    4.0s") for line in lines)
    assert any(line.startswith("?   marts        lost: the run ended before it could start") for line in lines)
    assert [line.split("  ")[0] for line in lines if line.startswith("? ") and line[2] != " "] == ["? table-0"]
    assert not any("decided by" in line for line in lines)


def test_a_run_that_is_going_on_shows_what_is_open(tmp_path: Path) -> None:
    lines = summary(Script(LOAD).ok("rates", 0.0, 4.0).start("table-0", 1.0), tmp_path).splitlines()

    assert any(line.startswith("●   table-0         1    1.0s    3.0s") for line in lines)
    assert any(line.startswith("─   marts        not started") for line in lines)


def test_a_run_of_nothing_still_has_a_last_line(tmp_path: Path) -> None:
    assert summary(Script(plan()).end(0.0), tmp_path).splitlines()[-1].startswith("OK  0 ok")


def test_a_job_that_never_started_says_why(tmp_path: Path) -> None:
    script = Script(plan(job("a"))).exit("a", 0.1, error="no such file: 'pyhton'")
    script.finish("a", 0.1, Outcome.FAILED, reason="no such file: 'pyhton'").end(0.1, RunStatus.FAILED)

    assert "✗ a  no such file: 'pyhton', 0.0s" in summary(script, tmp_path)


def test_data_is_not_read_as_markup_and_wide_characters_keep_the_columns(tmp_path: Path) -> None:
    odd = plan(job("[red]x[/foo]"), job("漢字"))
    script = Script(odd).ok("[red]x[/foo]", 0.0, 2.0).ok("漢字", 0.0, 1.0).end(2.0)

    for look in (Look(), Look(colour=True)):
        text = render_summary(odd, script.records, home=Home(tmp_path), look=look, cwd=tmp_path)
        assert "[red]x[/foo]      1    0.0s    2.0s   " in text
        assert "漢字              1    0.0s    1.0s   " in text


def test_colour_adds_escape_sequences_and_nothing_else(tmp_path: Path) -> None:
    script = failed_run(tmp_path)
    coloured = render_summary(LOAD, script.records, home=Home(tmp_path), look=Look(colour=True), cwd=tmp_path)
    bare = render_summary(LOAD, script.records, home=Home(tmp_path), look=Look(), cwd=tmp_path)

    assert "\x1b[31m" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == bare


def test_the_summary_suits_the_stream_it_is_for(tmp_path: Path) -> None:
    class Latin(io.StringIO):
        encoding = "latin-1"

    text = render_summary(LOAD, good_run().records, home=Home(tmp_path), stream=Latin())

    assert text.isascii()


def test_the_workers_a_run_had_come_from_its_own_record_not_from_todays_plan(tmp_path: Path) -> None:
    script = good_run()

    text = render_summary(replace(LOAD, workers=1), script.records, home=Home(tmp_path), look=Look(), cwd=tmp_path)

    assert " workers       2 · 62% busy" in text


def test_paths_are_short_inside_the_project_and_whole_outside() -> None:
    assert short_path(Path("/srv/etl/.etl/runs/1/logs/a.1.log"), cwd=Path("/srv/etl")) == ".etl/runs/1/logs/a.1.log"
    assert short_path(Path("/var/etl/a.log"), cwd=Path("/srv/etl")) == "/var/etl/a.log"


def test_instants_read_as_people_say_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()

    assert instant(BEGAN, now=BEGAN + timedelta(hours=5)) == "today 03:00"
    assert instant(BEGAN, now=BEGAN + timedelta(hours=22)) == "yesterday 03:00"
    assert instant(BEGAN, now=BEGAN + timedelta(days=5)) == "Sat 21 Nov 03:00"
    assert instant(BEGAN, now=BEGAN + timedelta(days=300)) == "21 Nov 2026 03:00"
