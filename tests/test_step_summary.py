"""The summary of a CI step: what a run adds to the file named by GITHUB_STEP_SUMMARY."""

from __future__ import annotations

from pathlib import Path

from etl_runner.report.markdown import escaped
from tests.support.cli import Project, clean_env

TWO_FAIL = """
[pipeline]
name = "ware_house"
[jobs.bad]
matrix = { id = "1..2" }
run = ["sh", "-c", "echo '```'; echo '<b>no | such \\u001b[31mtable</b>'; exit 3"]
[jobs.marts]
needs = ["bad-1"]
run = "true"
[jobs.good]
shell = true
run = '''echo '{{"rows": 4656, "note": "a|b"}}' > $ETL_OUTPUT'''
"""


def test_a_step_gets_the_failed_jobs_with_their_last_words_and_a_table(tmp_path: Path) -> None:
    step = tmp_path / "step.md"
    step.write_text("before\n")

    ended = Project(tmp_path, TWO_FAIL).run("all", "-q", env=clean_env(GITHUB_STEP_SUMMARY=str(step)))
    lines = step.read_text().splitlines()

    assert ended.returncode == 1
    assert lines[0] == "before"
    assert lines[1].startswith(r"### ✗ ware\_house, run 1: 1 ok · 2 failed · 1 skipped in ")
    assert lines[3:10] == [
        r"**bad-1** exit 3", "", "````text", "```", "<b>no | such table</b>", "````", "",
    ]  # fmt: skip
    assert lines[10] == "The same: bad-2"
    rows = [line.split(" | ") for line in lines if line.startswith("| ")][1:]
    assert [(row[0], row[1], row[-1]) for row in rows] == [
        ("| ✗", "bad-1", "exit 3 |"),
        ("| ✗", "bad-2", "exit 3 |"),
        ("| −", "marts", r"skipped\: needs bad-1 |"),
        ("| ✓", "good", r"4\,656 rows · a\|b |"),
    ]


def test_a_good_run_has_no_more_than_its_table(tmp_path: Path) -> None:
    step = tmp_path / "step.md"

    Project(tmp_path, '[pipeline]\nname = "p"\n[jobs.a]\nrun = "true"\n').run(
        "all", "-o", "json", env=clean_env(GITHUB_STEP_SUMMARY=str(step))
    )
    lines = step.read_text().splitlines()

    assert lines[0].startswith("### ✓ p, run 1: 1 ok")
    assert lines[2:4] == ["| | Job | Tries | Start | Time | |", "|---|---|--:|--:|--:|---|"]
    assert lines[4].startswith("| ✓ | a | 1 | ")
    assert len(lines) == 6


def test_a_step_that_cannot_be_written_changes_nothing_but_is_said(tmp_path: Path) -> None:
    ended = Project(tmp_path, '[jobs.a]\nrun = "true"\n').run("all", env=clean_env(GITHUB_STEP_SUMMARY=str(tmp_path)))

    assert ended.returncode == 0
    assert f"etl-run: cannot write the summary of the step to {tmp_path}: Is a directory" in ended.stderr
    assert "OK  1 ok" in ended.stdout


def test_of_a_long_run_only_what_is_worth_a_look_is_told(tmp_path: Path) -> None:
    step = tmp_path / "step.md"

    Project(tmp_path, '[jobs.a]\nmatrix = { id = "1..60" }\nrun = "true"\n').run(
        "all", "-w", "8", env=clean_env(GITHUB_STEP_SUMMARY=str(step))
    )

    assert " more: `etl-run show 1 --all`" in step.read_text()
    assert len(step.read_text().splitlines()) < 60


def test_foreign_text_means_nothing_to_markdown() -> None:
    assert escaped("a_b-c|<i>`x`</i> [l](http://x) \x1b[31mred\n#1 \\") == (
        r"a\_b-c\|\<i\>\`x\`\<\/i\> \[l\]\(http\:\/\/x\) red \#1 \\"
    )
