"""Secrets in the pipeline file: which variables are some, and that none gets into a command."""

from __future__ import annotations

import pytest

from etl_runner.pipeline import PipelineProblems
from tests.support.files import only_job, plan_of, problems_of, read

CURE = "leave it out of run: the job finds it in its environment"


@pytest.mark.parametrize(
    ("file", "env", "place"),
    [
        ('[jobs.a]\nrun = "load ${PGPASSWORD}"', {"PGPASSWORD": "x"}, "2:13+12 jobs.a.run: PGPASSWORD"),
        ('[jobs.a]\nrun = "load --key=${ERP_API_KEY:-none}"', {}, "2:19+13 jobs.a.run: ERP_API_KEY"),
        ('[jobs.a]\nrun = ["load", "${W}"]', {"W": "postgres://u:hunter2@db/x"}, "2:17+3 jobs.a.run: W"),
        ('[pipeline]\nsecrets = "ERP_*"\n[jobs.a]\nrun = "x ${ERP_A}"', {"ERP_A": "1"}, "4:10+7 jobs.a.run: ERP_A"),
        ('[defaults]\nenv = { W = "${A_TOKEN}" }\n[jobs.a]\nrun = "x ${W}"', {"A_TOKEN": "x"}, "4:10+3 jobs.a.run: W"),
    ],
)  # fmt: skip
def test_a_secret_in_a_command_is_a_problem(file: str, env: dict[str, str], place: str) -> None:
    said = "is secret, and everybody on a machine can read the commands that run there"

    assert problems_of(file, env=env) == [f"{place} {said} | {CURE}"]


def test_a_password_written_into_a_command_is_a_problem() -> None:
    problems = problems_of('[jobs.a]\nrun = "psql postgres://u:hunter2@db/x"')

    assert problems == [
        "2:7+32 jobs.a.run: there is a password in it, and everybody on a machine can read the commands that run there"
        " | put it into a variable, which the job reads itself"
    ]


def test_a_problem_is_shown_without_the_passwords_of_its_line() -> None:
    with pytest.raises(PipelineProblems) as found:
        read('[jobs.a]\nrun = "psql postgres://u:hunter2@db/x ${NIX}"')

    problems = found.value.problems
    assert [problem.text for problem in problems] == ['run = "psql postgres://u:*******@db/x ${NIX}"'] * 2
    assert "hunter2" not in str(found.value)


@pytest.mark.parametrize(
    ("file", "env"),
    [
        ('[jobs.a]\nrun = "psql ${DATABASE_URL}"', {"DATABASE_URL": "postgres://etl@db/x"}),
        ('[jobs.a]\nrun = "load ${LEVEL}"', {"LEVEL": "info", "PGPASSWORD": "x"}),
        ('[jobs.a]\nrun = "load"\nenv = { KEY = "${A_TOKEN}" }', {"A_TOKEN": "x"}),
        ('[jobs.a]\nshell = true\nrun = "load <<< ${A_TOKEN}"', {"A_TOKEN": "x"}),
        ('[jobs.a]\nrun = "load ${W}"\nenv = { W = "plain" }', {"W": "postgres://u:hunter2@db/x"}),
    ],
)
def test_what_is_no_secret_or_no_word_of_the_command_is_fine(file: str, env: dict[str, str]) -> None:
    assert problems_of(file, env=env) == []


@pytest.mark.parametrize("secrets", ["", '[pipeline]\nsecrets = "pin"\n'])
def test_a_secret_parameter_in_a_command_is_a_problem(secrets: str) -> None:
    name = "pin" if secrets else "api_key"

    problems = problems_of(f'{secrets}[params]\n{name} = ""\n[jobs.a]\nrun = "load {{{name}}}"')

    said = f"{name} is secret, and everybody on a machine can read the commands that run there"
    cure = f'give it to the job in its environment: env = {{ {name.upper()} = "{{{name}}}" }}'
    line, width = (6, 5) if secrets else (4, 9)
    assert problems == [f"{line}:13+{width} jobs.a.run: {said} | {cure}"]


def test_the_plan_names_the_secrets_beside_the_usual_ones() -> None:
    assert plan_of('[pipeline]\nsecrets = ["PIN", "ERP_*"]\n[jobs.a]\nrun = "x"').secrets == ("PIN", "ERP_*")


@pytest.mark.parametrize(("text", "size"), [("", 100_000_000), ('log_limit = "2MB"', 2_000_000), ("log_limit = 5", 5)])
def test_the_limit_of_logs_is_a_size(text: str, size: int) -> None:
    assert only_job(f'[defaults]\n{text}\n[jobs.a]\nrun = "x"').log_limit == size
