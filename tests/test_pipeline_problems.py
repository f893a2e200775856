# ruff: noqa: E501 (the tables read better unbroken)
"""Every problem of a pipeline file, at once, in its place, with a cure."""

from __future__ import annotations

from textwrap import dedent

import pytest

from etl_runner.errors import UsageError
from etl_runner.pipeline import PipelineProblems, Problem
from etl_runner.pipeline.problems import render_problem
from tests.support.files import problems_of, read

JOB = '[jobs.a]\nrun = "true"\n'

BROKEN = """\
[pipeline]
name = "warehouse"
[defaults]
timeout = "10 minuts"
[phases]
pre = {}
sub = {}
[phases.final]
# waits for both
needs = ["per", "sub"]
[jobs.table]
phase = "sub"
run = "true"
[jobs.cleanup]
run = "true"
phase = "sub"
when = "always"
tags = ["x"]
depends_on = ["table"]
"""


def test_all_problems_are_shown_at_once_with_line_caret_and_suggestion() -> None:
    with pytest.raises(PipelineProblems) as found:
        read(BROKEN)

    assert str(found.value) == dedent("""\
        etl.toml:4:11: defaults.timeout: expected a duration such as "90s", "10m" or "1h 30m", got '10 minuts'
            4 │ timeout = "10 minuts"
              │           ^^^^^^^^^^^

        etl.toml:10:10: phases.final.needs.0: no phase or job called 'per'
           10 │ needs = ["per", "sub"]
              │          ^^^^^ did you mean 'pre'?

        etl.toml:19:1: jobs.cleanup: unknown key 'depends_on'
           19 │ depends_on = ["table"]
              │ ^^^^^^^^^^ did you mean 'needs'?

        3 problems in etl.toml""")
    assert found.value.exit_status == 2


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a = foo\n", """1:5+1 : no TOML value | text goes in quotes: "…\""""),
        ("[a]\nb = 1\nb = 2\n", "3:1+5 : this is already set above | keep one of the two"),
        ("[a]\n[b]\n  [a] # again\n", "3:1+13 : [a] is already there above | put the keys together under one of them"),
        ('a = "x\n', '1:7+1 : the text has no closing quote on this line | several lines go between """ and """'),
        ("[jobs.a\n", "1:8+1 : expected ']' at the end of a table declaration | "),
        ("a = 1 2\n", "1:7+1 : expected newline or end of document after a statement | "),
        ("a = [1,\n", """1:8+1 : no TOML value | text goes in quotes: "…\""""),
        ("a =", """1:4+1 : no TOML value | text goes in quotes: "…\""""),
    ],
)
def test_a_text_that_is_no_toml_is_shown_at_its_place(text: str, problem: str) -> None:
    assert problems_of(text) == [problem]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        # unknown keys
        (JOB + "[notify]\non = 1\n", "3:2+6 : unknown key 'notify' | known keys: pipeline, defaults, params, pools, "),
        (JOB + '[stages]\npre = {}\n', "3:2+6 : unknown key 'stages' | did you mean 'phases'?"),
        (JOB + 'cmd = "x"\n', "3:1+3 jobs.a: unknown key 'cmd' | did you mean 'run'?"),
        (JOB + "allow_failure = true\n", "3:1+13 jobs.a: unknown key 'allow_failure' | did you mean 'optional'?"),
        (JOB + 'timeout-minutes = 5\n', "3:1+15 jobs.a: unknown key 'timeout-minutes' | did you mean 'timeout'?"),
        (JOB + 'retry = 5\n', "3:1+5 jobs.a: unknown key 'retry' | did you mean 'retries'?"),
        (JOB + 'retry-delay = 5\n', "3:1+11 jobs.a: unknown key 'retry-delay' | did you mean 'retry_delay'?"),
        (JOB + 'schedule = "* * * * *"\n', "3:1+8 jobs.a: unknown key 'schedule' | 'schedule' belongs in [pipeline]"),
        (JOB + '[defaults]\nneeds = "a"\n', "4:1+5 defaults: unknown key 'needs' | 'needs' belongs in a job"),
        (JOB + '[defaults]\nbackoff = "5s"\n', "4:1+7 defaults: unknown key 'backoff' | did you mean 'retry_delay'?"),
        (JOB + '[pipeline]\ncron = "x"\n', "4:1+4 pipeline: unknown key 'cron' | did you mean 'schedule'?"),
        ("[jobs.a]\nscript = 'x'\n", "2:1+6 jobs.a: unknown key 'script' | did you mean 'run'?"),
        # kinds
        ("jobs = 3\n", "1:8+1 jobs: expected a table, got 3 | "),
        ("[[jobs]]\nname = 'a'\n", "1:3+4 jobs: expected a table, got a list | write one table for each: [jobs.NAME]"),
        ("[jobs]\na = 'true'\n", "2:5+6 jobs.a: expected a table, got 'true' | "),
        ("[jobs.a]\n", "1:7+1 jobs.a: 'run' is missing | "),
        ("[jobs.a]\nrun = 3\n", "2:7+1 jobs.a.run: expected text or a list of texts, got 3 | "),
        ("[jobs.a]\nrun = ['x', 3]\n", "2:13+1 jobs.a.run.1: expected text, got 3 | "),
        ("[jobs.a]\nrun = ''\n", "2:7+2 jobs.a.run: expected text or a list of texts, got '' | "),
        ("[jobs.a]\nrun = '  '\n", "2:7+4 jobs.a.run: nothing to run | "),
        (JOB + "optional = 'true'\n", "3:12+6 jobs.a.optional: expected true or false, got 'true' | without the quotes"),
        (JOB + "retries = -1\n", "3:11+2 jobs.a.retries: expected a whole number from 0 to 1000, got -1 | "),
        (JOB + "retry_on = [0]\n", '3:13+1 jobs.a.retry_on.0: expected an exit status from 1 to 255, "signal" or '),
        (JOB + "timeout = -1\n", '3:11+2 jobs.a.timeout: expected a duration such as "90s", "10m" or "1h 30m", got -1'),
        (JOB + "timeout = nan\n", '3:11+3 jobs.a.timeout: expected a duration such as "90s", "10m" or "1h 30m", got '),
        (JOB + "env = { A = 1.10 }\n", "3:13+4 jobs.a.env.A: expected text or a whole number (put anything else in "),
        (JOB + "env = { 'A=B' = 1 }\n", "3:9+5 jobs.a.env.\"A=B\": 'A=B' cannot name a variable | "),
        (JOB + "when = 'allways'\n", '3:8+9 jobs.a.when: expected "success", "always" or "failure", got \'allways\' | '
                                     "did you mean 'always'?"),
        (JOB + "[pipeline]\nworkers = 0\n", "4:11+1 pipeline.workers: expected a whole number, at least 1, got 0 | "),
        (JOB + "[pools]\np = 0\n", "4:5+1 pools.p: expected a whole number, at least 1, got 0 | "),
        # meaning
        ("", "1:1+1 jobs: no jobs | "),
        ("[jobs.'x y']\nrun = 'true'\n", "1:7+5 jobs.\"x y\": 'x y' is no name | use letters, digits, '.', '_' and '-'"),
        ("[jobs.'..']\nrun = 'true'\n", "1:7+4 jobs.\"..\": '..' is no name | "),
        (JOB + "[pipeline]\nschedule = '0 25 * * *'\n", "4:12+12 pipeline.schedule: no cron schedule: bad hour | "),
        (JOB + "[pipeline]\ntimezone = 'Europe/Madird'\n", "4:12+15 pipeline.timezone: no time zone called "
                                                           "'Europe/Madird' | did you mean 'Europe/Madrid'?"),
        (JOB + "phase = 'sbu'\n[phases]\nsub = {}\n", "3:9+5 jobs.a.phase: no phase called 'sbu' | did you mean 'sub'?"),
        (JOB + "pool = 'odo'\n[pools]\nodoo = 1\n", "3:8+5 jobs.a.pool: no pool called 'odo' | did you mean 'odoo'?"),
        (JOB + "pools = { p = 4 }\n[pools]\np = 3\n", "3:15+1 jobs.a.pools.p: the job takes 4 places of pool 'p', which "),
        (JOB + "pool = 'p'\npools = { p = 1 }\n[pools]\np = 3\n", "4:11+1 jobs.a.pools.p: 'p' is also in 'pool' | "),
        (JOB + "when = 'failure'\n", "3:8+9 jobs.a.when: without needs this job never runs | "),
        # texts
        ("[jobs.a]\nrun = \"echo 'x\"\n", "2:7+9 jobs.a.run: cannot be split into words: no closing quotation | "),
        ("[jobs.a]\nrun = 'a | b'\n", "2:10+1 jobs.a.run: '|' means nothing without a shell | set shell = true, or "),
        ("[jobs.a]\nrun = 'a > b'\n", "2:10+1 jobs.a.run: '>' means nothing without a shell | set shell = true, or "),
        ("[jobs.a]\nrun = 'cd x && b'\n", "2:13+2 jobs.a.run: '&&' means nothing without a shell | set shell = true"),
        ("[jobs.a]\nrun = 'a --id {id}'\n", "2:15+4 jobs.a.run: unknown parameter 'id' | add id to [params] or matrix"),
        ("[jobs.a]\nrun = 'awk {x'\n", "2:12+2 jobs.a.run: '{x' is no parameter | a literal brace is '{{'"),
        ("[jobs.a]\nrun = 'a ${NOPE}'\n", "2:10+7 jobs.a.run: NOPE is not set | set it, or write ${NOPE:-default}"),
        ("[jobs.a]\nrun = 'a ${NO PE}'\n", "2:10+8 jobs.a.run: '${NO PE}' is no variable | write ${NAME} or "),
        ("[jobs.a]\nrun = 'a ${ETL_RUN_ID}'\n", "2:10+13 jobs.a.run: ETL_RUN_ID is not set | only the running job "),
        ("[jobs.a]\nshell = true\nrun = ['a']\n", "3:7+5 jobs.a.run: a list needs no shell | "),
        (JOB + "cwd = '${X}'\n", "3:8+4 jobs.a.cwd: X is not set | "),
        (JOB + "cwd = '~/x'\n", "3:7+5 jobs.a.cwd: '~' means nothing without a shell | write ${HOME}"),
        (JOB + "env_file = 'no.env'\n", "3:12+8 jobs.a.env_file: cannot read 'no.env': no such file or directory | "),
        ("[params]\n'a-b' = 1\n" + JOB, "2:1+5 params.a-b: 'a-b' is no name for a parameter | use letters, digits "),
        # matrix
        (JOB + "matrix = {}\n", "3:10+2 jobs.a.matrix: no values, so no jobs | "),
        (JOB + "matrix = { id = [] }\n", "3:17+2 jobs.a.matrix.id: no values, so no jobs | "),
        (JOB + "matrix = { id = '9..0' }\n", "3:17+6 jobs.a.matrix.id: the range '9..0' is empty | "),
        (JOB + "matrix = { id = '0-9' }\n", "3:17+5 jobs.a.matrix.id: expected a range such as \"0..19\", got '0-9' | "),
        (JOB + "matrix = { id = ['a', 'a'] }\n", "3:17+10 jobs.a.matrix.id: 'a' stands there twice | "),
        (JOB + "matrix = { id = [''] }\n", "3:17+4 jobs.a.matrix.id: a value is empty | "),
        (JOB + "matrix = { id = ['a/b', 'a?b', 'a_b-c14cddc0'] }\n",
         "3:10+39 jobs.a.matrix: a/b and a_b-c14cddc0 give the same name 'a-a_b-c14cddc0' | use other values"),
        (JOB + "matrix = { id = '0..9999999' }\n", "3:17+12 jobs.a.matrix.id: the range '0..9999999' has more than "),
        (JOB + "matrix = { x = '0..9999', y = '0..9999' }\n", "3:10+32 jobs.a.matrix: 100,000,000 combinations are "),
        (JOB + "matrix = { id = '0..9' }\n[params]\nid = 3\n", "3:12+2 jobs.a.matrix.id: 'id' is also one of [params]"),
        (JOB + "matrix = { id = ['3'] }\n[jobs.a-3]\nrun = 'x'\n", "3:10+14 jobs.a.matrix: there is already a job 'a-3'"),
        (JOB + "matrix = { id = { command = 'ls' } }\n", "3:17+18 jobs.a.matrix.id: commands are not run here | "),
        # profiles
        (JOB + "[profiles.p]\npipline.workers = 1\n", "4:1+7 profiles.p: unknown key 'pipline' | did you mean 'pipeline'?"),
        (JOB + "[profiles.p]\ndefaults.timeout = 'x'\n", "4:20+3 profiles.p.defaults.timeout: expected a duration "),
        (JOB + "[profiles]\np = 3\n", "4:5+1 profiles.p: expected a table, got 3 | "),
    ],
)  # fmt: skip
def test_a_problem_is_told_in_its_place_with_its_cure(text: str, problem: str) -> None:
    (found,) = problems_of(text)

    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("depends_on", "needs"), ("deps", "needs"), ("after", "needs"), ("command", "run"), ("cmd", "run"),
        ("script", "run"), ("foreach", "matrix"), ("parallel", "matrix"), ("strategy", "matrix"),
        ("timeout-minutes", "timeout"), ("retry", "retries"), ("environment", "env"), ("stage", "phase"),
        ("continue-on-error", "optional"), ("allow_failure", "optional"), ("backoff", "retry_delay"),
        ("workdir", "cwd"), ("Needs", "needs"), ("timout", "timeout"), ("tag", "tags"), ("concurrency", "pool"),
    ],
)  # fmt: skip
def test_words_of_other_tools_are_answered_with_ours(theirs: str, ours: str) -> None:
    (problem,) = problems_of(f"[jobs.a]\nrun = 'x'\n{theirs} = 1\n")

    assert problem.endswith(f"| did you mean {ours!r}?")


def test_a_problem_in_the_defaults_is_told_once_for_all_jobs() -> None:
    text = "[defaults]\npool = 'p'\n" + JOB + "[jobs.b]\nrun = 'x'\n"

    assert problems_of(text) == ["2:8+3 defaults.pool: no pool called 'p' | add it to [pools]: p = 4"]


def test_a_problem_of_the_merged_profile_is_shown_where_the_profile_writes_it() -> None:
    text = JOB + "[profiles.prod]\ndefaults.env = { DSN = '${PROD_DSN}' }\n"

    assert problems_of(text) == []
    assert problems_of(text, profile="prod") == [
        "4:25+11 profiles.prod.defaults.env.DSN: PROD_DSN is not set | set it, or write ${PROD_DSN:-default}"
    ]


def test_an_unknown_profile_is_wrong_use_with_a_suggestion() -> None:
    with pytest.raises(UsageError, match=r"no profile called 'prdo' in etl\.toml") as found:
        read(JOB + "[profiles.prod]\n", profile="prdo")

    assert found.value.hint == "did you mean 'prod'?"


def test_a_bad_line_of_an_env_file_is_named_and_not_shown() -> None:
    with pytest.raises(PipelineProblems) as found:
        read(JOB + "env_file = '.env'\n", files={".env": "A=1\nnot a variable\n"})

    shown = ".env:2:1: expected NAME=value\n    2 │ ***\n      │ ^^^ not shown: it may be a secret\n"
    assert str(found.value).startswith(shown)


def test_windows_line_ends_and_a_byte_order_mark_do_not_move_places() -> None:
    with pytest.raises(PipelineProblems) as found:
        read("\ufeff[jobs.a]\r\nrun = 'x'\r\ncmd = 1\r\n")

    (problem,) = found.value.problems
    assert (problem.line, problem.col, problem.text) == (3, 1, "cmd = 1")


def test_a_long_line_is_cut_around_the_place_and_control_characters_are_not_shown() -> None:
    problem = Problem(file="f", line=1, col=501, width=3, key="", message="m", text="a" * 500 + "\x1b[2" + "b" * 500)

    _, line, carets = render_problem(problem).split("\n")
    assert line == "    1 │ " + "a" * 36 + "?[2" + "b" * 33
    assert carets == "      │ " + " " * 36 + "^^^"


def test_a_long_place_fits_a_screen_with_what_is_before_it() -> None:
    problem = Problem(file="f", line=1, col=31, width=200, key="", message="m", text="a" * 30 + "b" * 200)

    _, line, carets = render_problem(problem).split("\n")
    assert (line, carets) == ("    1 │ " + "a" * 30 + "b" * 42, "      │ " + " " * 30 + "^" * 42)


def test_carets_stand_under_their_text_behind_tabs_and_wide_characters() -> None:
    problem = Problem(file="f", line=3, col=5, width=2, key="k", message="m", text='\t日 ="本"')

    assert render_problem(problem).split("\n")[1:] == ['    3 │ \t日 ="本"', "      │ \t    ^^^"]
    assert render_problem(problem, unicode=False).split("\n")[2] == "      | \t    ^^^"
