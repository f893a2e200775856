"""From jobs of the file to jobs of the plan: commands, parameters, environment, limits, matrix, profiles."""

from __future__ import annotations

import pytest

from etl_runner.errors import UsageError
from etl_runner.model import Job, Retry, When
from etl_runner.pipeline.durations import format_duration, parse_duration
from tests.support.files import only_job, plan_of, problems_of, read


def test_a_job_without_settings_has_the_documented_defaults() -> None:
    assert only_job("[jobs.a]\nrun = 'python -m x'\n") == Job(
        name="a", template="a", argv=("python", "-m", "x"), cwd="/srv/project"
    )


def test_every_setting_of_a_job_reaches_the_plan() -> None:
    job = only_job("""
        [pools]
        db = 8
        api = 2
        [phases]
        sub = {}
        [jobs.a]
        phase = "sub"
        run = ["x", "a b"]
        pool = "api"
        pools = { db = 3 }
        timeout = "1h 30m"
        grace = 2
        retries = 3
        retry_delay = "5s"
        retry_factor = 1.5
        retry_cap = "1m"
        retry_jitter = 0.1
        retry_on = [75, "timeout", "signal"]
        when = "always"
        optional = true
        env = { A = "x", N = 3 }
        cwd = "sub/folder"
        expect = "250ms"
        tags = ["t", "u"]
        description = "Says nothing."
    """)

    assert job == Job(
        name="a",
        template="a",
        argv=("x", "a b"),
        cwd="/srv/project/sub/folder",
        phase="sub",
        env={"A": "x", "N": "3"},
        when=When.ALWAYS,
        optional=True,
        pools={"api": 1, "db": 3},
        timeout=5400.0,
        grace=2.0,
        retry=Retry(count=3, delay=5.0, factor=1.5, cap=60.0, jitter=0.1, on=(75, "timeout", "signal")),
        expect=0.25,
        tags=("t", "u"),
    )


def test_every_setting_of_the_pipeline_reaches_the_plan() -> None:
    plan = plan_of("""
        [pipeline]
        name = "w"
        workers = 5
        schedule = "0 3 * * 1-5"
        timezone = "UTC"
        timeout = "2h"
        warehouse = true
        fail_fast = true
        [pools]
        db = 8
        [jobs.a]
        run = "true"
    """)

    assert (plan.pipeline, plan.workers, plan.schedule, plan.timezone) == ("w", 5, "0 3 * * 1-5", "UTC")
    assert (plan.timeout, plan.warehouse, plan.fail_fast, plan.pools) == (7200.0, True, True, {"db": 8})


def test_a_pipeline_without_a_name_is_called_as_its_folder() -> None:
    assert plan_of("[jobs.a]\nrun = 'true'\n").pipeline == "project"


def test_defaults_hold_where_a_job_is_silent_and_env_is_joined() -> None:
    plan = plan_of("""
        [pipeline]
        env = { A = "p", B = "p", C = "p" }
        [defaults]
        timeout = "10m"
        retries = 2
        env = { B = "d", C = "d" }
        [jobs.a]
        run = "x"
        [jobs.b]
        run = "x"
        timeout = 0
        retries = 0
        env = { C = "j" }
    """)

    assert [(job.timeout, job.retry.count, job.env) for job in plan.jobs] == [
        (600.0, 2, {"A": "p", "B": "d", "C": "d"}),
        (None, 0, {"A": "p", "B": "d", "C": "j"}),
    ]


def test_a_jobs_own_pools_replace_the_default_ones() -> None:
    text = "[pools]\np = 1\nq = 2\n[defaults]\npool = 'p'\n[jobs.a]\nrun = 'x'\n"

    assert only_job(text).pools == {"p": 1}
    assert only_job(text + "pools = { q = 2 }\n").pools == {"q": 2}
    assert only_job(text + "pool = []\n").pools == {}


@pytest.mark.parametrize(
    ("run", "argv"),
    [
        ("echo 'a b' \"c d\" e\\ f", ("echo", "a b", "c d", "e f")),
        ("echo '{day}' x{day}y", ("echo", "1 2", "x1 2y")),
        ("echo {{day}} }}", ("echo", "{day}", "}")),
        ("echo ${SPACED} '${UNSET:-a b}' ${EMPTY:-d}.${EMPTY}", ("echo", "a  b", "a b", "d.")),
        ("echo $${SPACED} $SPACED a;b '|' '>' x=>y", ("echo", "${SPACED}", "$SPACED", "a;b", "|", ">", "x=>y")),
        ("echo ''", ("echo", "")),
    ],
)
def test_run_is_split_as_a_shell_would_and_holes_stay_in_their_word(run: str, argv: tuple[str, ...]) -> None:
    text = f'[params]\nday = "1 2"\n[jobs.a]\nrun = """{run.replace(chr(92), chr(92) * 2)}"""\n'

    assert only_job(text, env={"SPACED": "a  b", "EMPTY": ""}).argv == argv


def test_a_list_is_not_split_but_its_holes_are_filled() -> None:
    text = "[params]\nx = 1\n[jobs.a]\nrun = ['a b', '{x} ${Y}', \"it's\"]\n"

    assert only_job(text, env={"Y": "y"}).argv == ("a b", "1 y", "it's")


def test_a_shell_gets_the_text_with_parameters_quoted_and_expands_variables_itself() -> None:
    text = """
        [params]
        file = "a b; rm -rf /"
        [jobs.a]
        shell = true
        run = "cat {file} | awk '{{print $1}}' > ${OUT:-/dev/null} $${x}"
    """

    assert only_job(text).argv == (
        "/bin/sh",
        "-c",
        "cat 'a b; rm -rf /' | awk '{print $1}' > ${OUT:-/dev/null} $${x}",
    )


def test_a_list_needs_no_shell_where_shell_is_the_default() -> None:
    plan = plan_of("[defaults]\nshell = true\n[jobs.a]\nrun = 'x | y'\n[jobs.b]\nrun = ['x', '|']\n")

    assert [job.argv for job in plan.jobs] == [("/bin/sh", "-c", "x | y"), ("x", "|")]


def test_variables_see_files_outer_tables_and_the_environment_which_wins_over_files() -> None:
    job = only_job(
        """
        [pipeline]
        env_file = "all.env"
        env = { HOST = "${NAME}.local" }
        [defaults]
        env = { URL = "http://${HOST}/${SCHEMA}" }
        [jobs.a]
        env_file = "job.env"
        env = { HOST = "x.${HOST}", PORT = "{port}" }
        run = "curl ${URL} ${PORT} ${HOST}"
        matrix = { port = [80] }
        """,
        env={"NAME": "db", "TAKEN": "mine"},
        files={"all.env": "SCHEMA=s\nTAKEN=theirs\n# note\nMORE=m\n", "job.env": "export SCHEMA='a b' # why\n"},
    )

    assert job.env == {
        "SCHEMA": "a b",
        "MORE": "m",
        "HOST": "x.db.local",
        "URL": "http://db.local/a b",
        "PORT": "80",
    }
    assert job.argv == ("curl", "http://db.local/a b", "80", "x.db.local")


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=x", "x"), ("A=", ""), ("A = x y ", "x y"), ("A='x $y'", "x $y"), ('A="x\\n\\"y\\""', 'x\n"y"'),
        ("export A=x", "x"), ("A=x # note", "x"), ("A=x#y", "x#y"), ("A='x' # note", "x"), ("A=''", ""),
        ("A=postgres://u:p@h/d?x=1", "postgres://u:p@h/d?x=1"), ("A=# note", ""), ("A=a=b", "a=b"),
    ],
)  # fmt: skip
def test_lines_of_an_env_file(line: str, value: str) -> None:
    text = "[jobs.a]\nrun = 'x'\nenv_file = '.env'\n"

    assert only_job(text, files={".env": f"\ufeff\n# first\n{line}\r\n"}).env == {"A": value}


@pytest.mark.parametrize(
    ("matrix", "names"),
    [
        ("{ id = '0..2' }", ["a-0", "a-1", "a-2"]),
        ("{ id = '08..10' }", ["a-08", "a-09", "a-10"]),
        ("{ id = '0..10..5' }", ["a-0", "a-5", "a-10"]),
        ("{ id = ['x', 7] }", ["a-x", "a-7"]),
        ("{ x = '1..2', y = ['p', 'q'] }", ["a-1-p", "a-1-q", "a-2-p", "a-2-q"]),
        ("{ path = ['in/a b.csv'] }", ["a-in_a_b.csv"]),
        ("{ path = ['in/a b.csv', 'in/a&b.csv'] }", ["a-in_a_b.csv-efa24e2b", "a-in_a_b.csv-85487d11"]),
        ("{ file = { command = 'ls' } }", ["a-one.csv", "a-two.csv"]),
        ("{ command = 'ls' }", ["a-one.csv", "a-two.csv"]),
        ("{ command = ['x'] }", ["a-x"]),
        ("{ id = ['a/b', 'a?b', 'ab'] }", ["a-a_b-c14cddc0", "a-a_b-c2a7b64a", "a-ab"]),
        ("{ id = ['a?b', 'c', 'a b', 'a/b'] }", ["a-a_b-c2a7b64a", "a-c", "a-a_b-c8687a08", "a-a_b-c14cddc0"]),
        ("{ x = ['p-q', 'p'], y = ['r', 'q-r'] }", ["a-p-q-r-105c108f", "a-p-q-q-r", "a-p-r", "a-p-q-r-5e687530"]),
    ],
)
def test_a_matrix_makes_one_job_for_each_combination(matrix: str, names: list[str]) -> None:
    text = f"[jobs.a]\nrun = 'x'\nmatrix = {matrix}\n"

    plan = plan_of(text, run_command=lambda command: f"one.csv\n\n  two.csv \n{'' if command == 'ls' else 'wrong'}")

    assert [job.name for job in plan.jobs] == names


def test_a_matrix_fills_run_and_env_and_is_kept_as_parameters() -> None:
    text = "[jobs.a]\nrun = 'x {id}'\nenv = { F = '{path}' }\nmatrix = { id = [3], path = ['in/a'] }\n"

    job = only_job(text)

    assert (job.argv, job.env, job.params, job.template) == (
        ("x", "3"),
        {"F": "in/a"},
        {"id": "3", "path": "in/a"},
        "a",
    )


def test_a_matrix_command_that_fails_is_a_problem() -> None:
    def fail(command: str) -> str:
        raise OSError("exit 2: no such table")

    text = "[jobs.a]\nrun = 'x'\nmatrix = { id = { command = 'ls' } }\n"

    assert problems_of(text, run_command=fail) == [
        "3:17+18 jobs.a.matrix.id: the command failed: exit 2: no such table | try it by hand in the project's folder"
    ]


@pytest.mark.parametrize("matrix", ["{ command = 'ls' }", '["a\\u0000b"]'])
def test_a_value_with_a_nul_is_a_problem_of_the_matrix(matrix: str) -> None:
    text = f"[jobs.a]\nrun = 'x {{id}}'\nmatrix.id = {matrix}\n"

    found = problems_of(text, run_command=lambda _: "fine\nin\0between\n")

    assert [problem.partition(" ")[2] for problem in found] == ["jobs.a.matrix.id: no text can hold a NUL character | "]


def test_parameters_have_defaults_and_can_be_given() -> None:
    pipeline = read("[params]\nday = '2026-01-01'\nn = 3\n[jobs.a]\nrun = 'x {day} {n}'\n")

    assert pipeline.plan().jobs[0].argv == ("x", "2026-01-01", "3")
    assert pipeline.plan(params={"n": "4"}).jobs[0].argv == ("x", "2026-01-01", "4")
    with pytest.raises(UsageError, match="no parameter called 'dya'") as found:
        pipeline.plan(params={"dya": "x"})
    assert found.value.hint == "did you mean 'day'?"


def test_the_command_line_goes_over_the_file() -> None:
    pipeline = read("[pipeline]\nworkers = 2\n[defaults]\ntimeout = '1m'\n[jobs.a]\nrun = 'x'\n")

    plan = pipeline.plan(workers=7, timeout=5.0, fail_fast=True)

    assert (plan.workers, plan.jobs[0].timeout, plan.fail_fast) == (7, 5.0, True)
    assert pipeline.plan(timeout=0.0).jobs[0].timeout is None
    with pytest.raises(UsageError, match="0 workers"):
        pipeline.plan(workers=0)


def test_a_profile_is_merged_key_by_key_and_named_in_the_plan() -> None:
    text = """
        [pipeline]
        name = "w"
        workers = 2
        [defaults]
        env = { A = "base", B = "base" }
        [jobs.a]
        run = ["x", "y"]
        [profiles.prod]
        pipeline.workers = 10
        defaults.env = { B = "prod" }
        jobs.a.run = ["z"]
        jobs.b = { run = "new" }
    """

    plan = plan_of(text, profile="prod")

    assert (plan.profile, plan.pipeline, plan.workers) == ("prod", "w", 10)
    assert [(job.argv, job.env) for job in plan.jobs] == [
        (("z",), {"A": "base", "B": "prod"}),
        (("new",), {"A": "base", "B": "prod"}),
    ]
    assert plan_of(text).workers == 2


def test_templates_tell_their_parameters_and_find_their_jobs() -> None:
    pipeline = read("""
        [jobs.table]
        run = "x {id} {mode}"
        matrix = { id = "08..10", mode = ["full", "delta"] }
        description = "Loads a table."
    """)

    template = pipeline.templates["table"]
    assert template.params == {"id": ("08", "09", "10"), "mode": ("full", "delta")}
    assert template.description == "Loads a table."
    assert pipeline.job_names("table", {"id": "8"}) == ("table-08-full", "table-08-delta")
    assert pipeline.job_names("table", {"id": "10", "mode": "delta"}) == ("table-10-delta",)
    assert len(pipeline.job_names("table")) == 6


@pytest.mark.parametrize(
    ("template", "params", "message", "hint"),
    [
        ("tabel", {}, "no job called 'tabel'", "did you mean 'table'?"),
        ("table", {"di": "1"}, "job 'table' has no parameter 'di'", "it has: id"),
        ("table", {"id": "20"}, "job 'table' has no id '20'", "id is one of 0..19"),
    ],
)
def test_a_job_that_does_not_exist_is_wrong_use(template: str, params: dict[str, str], message: str, hint: str) -> None:
    pipeline = read("[jobs.table]\nrun = 'x {id}'\nmatrix = { id = '0..19' }\n")

    with pytest.raises(UsageError) as found:
        pipeline.job_names(template, params)

    assert (found.value.message, found.value.hint) == (message, hint)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90), ("10m", 600), ("1h 30m", 5400), ("1h30m", 5400), ("1.5 h", 5400), ("250ms", 0.25), ("2d", 172800),
        (7, 7), (0.5, 0.5), ("0s", 0),
    ],
)  # fmt: skip
def test_durations_as_people_write_them(text: str | float, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "10", "10 minuts", "m", "-5s", "1h-5m", "٣s", -1, float("inf"), float("nan"), "9999d"]
)
def test_what_is_no_duration_is_refused(text: str | float) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        parse_duration(text)


@pytest.mark.parametrize("seconds", [0, 0.25, 1, 59.5, 60, 90, 3600, 5400, 86400, 100000.125])
def test_a_duration_shown_reads_back_the_same(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == seconds
