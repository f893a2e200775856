"""Secrets in commands and parameters: hidden in the ledger and on screens, and there when a retry needs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from etl_runner.hiding import hidden, masker_of, params_known, revealed
from etl_runner.masking import Masker
from etl_runner.model import Job, Plan
from etl_runner.secrecy import secrets_in, variables_in
from tests.support.cli import Project, clean_env

DSN = "postgresql://etl:hunter22@db/shop"


def remembered(folder: Path) -> str:
    """All that the ledger and its side files hold, as text."""
    return "".join(path.read_bytes().decode("latin-1") for path in (folder / ".etl").glob("ledger.db*"))


# what is one


@pytest.mark.parametrize(
    ("command", "secrets"),
    [
        (["load", "--dsn", DSN], {"hunter22"}),
        (["load", "--api-key=k3y-k3y"], {"k3y-k3y"}),
        (["load", "--password", "k3y-k3y", "--fast"], {"k3y-k3y"}),
        (["env", "PGPASSWORD=k3y-k3y", "psql"], {"k3y-k3y"}),
        (["/bin/sh", "-c", "PGPASSWORD='k3y-k3y' psql --db-password \"$OTHER\""], {"k3y-k3y"}),
        (["load", "--token", "--fast"], set()),
        (["load", "--token-file", "/run/token-1", "--max-tokens=100000"], set()),
        (["psql", "-c", "select * from t where token=some_column"], set()),
        (["load", "--token", "yes"], set()),
    ],
)
def test_options_called_like_a_secret_and_passwords_in_urls_are_secrets(command: list[str], secrets: set[str]) -> None:
    assert secrets_in(variables_in(command)) == secrets


# the plan


def plan_of(*argv: str, cwd: str = "/srv", **params: str) -> Plan:
    return Plan(pipeline="p", jobs=(Job(name="hunter22", template="a", argv=argv, cwd=cwd),), params=params)


def test_commands_folders_and_parameters_lose_their_secrets_and_names_stay() -> None:
    plan = plan_of("load", DSN, cwd="/srv/hunter22", key="hunter22", day="monday")

    (job,) = (told := hidden(plan, Masker(["hunter22"]))).jobs

    assert (job.name, job.argv, job.cwd) == ("hunter22", ("load", "postgresql://etl:***@db/shop"), "/srv/***")
    assert told.params == {"key": "***", "day": "monday"}
    assert params_known(told.params) == {"day": "monday"}


def test_a_plan_without_secrets_in_it_is_the_very_same() -> None:
    plan = plan_of("load")

    assert hidden(plan, masker_of(plan, env={"A_TOKEN": "hunter22"})) is plan


def test_what_is_hidden_comes_back_from_a_plan_that_says_the_same() -> None:
    plan, rotated = plan_of("load", DSN), plan_of("load", DSN.replace("hunter22", "newpass9"))
    told = hidden(plan, masker_of(plan, env={}))

    assert revealed(told, ["hunter22"], now=rotated) == rotated
    assert revealed(told, [], now=rotated) == told


# end to end

COMMAND = '[pipeline]\nname = "p"\n[jobs.load]\nrun = ["sh", "-c", "echo got $1; exit 1", "sh"]\n'
PARAM = """
[pipeline]
name = "p"
[params]
token = "t0ken-of-the-file"
[jobs.load]
shell = true
run = "echo got $ERP; exit 1"
env = { ERP = "{token}" }
"""


def test_a_password_behind_two_dashes_is_in_no_file_and_on_no_screen(tmp_path: Path) -> None:
    project = Project(tmp_path, COMMAND)

    ended = project.run("job", "load", "--", DSN)
    shown = project.run("show", "1", "load").stdout + project.run("show", "1", "-o", "json").stdout

    assert "hunter22" not in remembered(tmp_path) + shown + ended.stdout + ended.stderr
    assert "postgresql://etl:***@db/shop" in shown
    assert (tmp_path / ".etl/runs/1/logs/load.1.log").read_text() == "got postgresql://etl:***@db/shop\n"


def test_a_retry_of_a_command_whose_secret_is_nowhere_says_so(tmp_path: Path) -> None:
    project = Project(tmp_path, COMMAND)
    project.run("job", "load", "--", DSN)

    ended = project.run("retry")

    assert ended.returncode == 2
    assert "the command of 'load' had a secret in it, which is not remembered" in ended.stderr
    assert "run it anew: etl-run job load" in ended.stderr


def test_a_retry_takes_the_secret_of_a_command_from_the_file(tmp_path: Path) -> None:
    text = '[jobs.load]\nrun = ["sh", "-c", "test $1 = k3y-k3y; exit 3", "sh", "${PLAIN}"]\n'
    project = Project(tmp_path, '[pipeline]\nname = "p"\n' + text)
    env = clean_env(PLAIN="k3y-k3y", OTHER_TOKEN="k3y-k3y")  # nobody told that PLAIN is one
    project.run("all", env=env)
    assert "k3y-k3y" not in remembered(tmp_path)

    ended = project.run("retry", env=env)

    assert (ended.returncode, "otherwise" in ended.stderr) == (1, False)
    assert json.loads(project.run("show", "2", "load", "-o", "json").stdout)["job"]["exit"] == 3


def test_a_parameter_called_like_a_secret_is_one(tmp_path: Path) -> None:
    project = Project(tmp_path, PARAM)

    ended = project.run("all", "--param", "token=t0ken-of-today")
    shown = (
        project.run("show", "1").stdout + project.run("plan", "--param", "token=t0ken-of-today", "-o", "json").stdout
    )

    assert "t0ken" not in remembered(tmp_path) + shown + ended.stdout + ended.stderr
    assert (tmp_path / ".etl/runs/1/logs/load.1.log").read_text() == "got ***\n"


def test_a_retry_says_that_a_secret_parameter_is_not_remembered(tmp_path: Path) -> None:
    project = Project(tmp_path, PARAM.replace("echo got $ERP", "printf '%s' $ERP | wc -c"))
    project.run("all", "--param", "token=t0ken-of-today")

    ended = project.run("retry")

    assert "--param token was secret and is not remembered: the file's is used" in ended.stderr
    assert (tmp_path / ".etl/runs/2/logs/load.1.log").read_text().strip() == str(len("t0ken-of-the-file"))


def test_a_plan_is_shown_without_secrets(tmp_path: Path) -> None:
    text = '[pipeline]\nname = "p"\n[params]\ndsn = "postgresql://etl@db/shop"\n[jobs.load]\nrun = "load {dsn}"\n'
    project = Project(tmp_path, text)

    shown = [project.run("plan", "--param", f"dsn={DSN}", "--format", form).stdout for form in ("tree", "json", "dot")]
    dry = project.run("job", "load", "--dry-run", "--param", f"dsn={DSN}").stdout

    assert "hunter22" not in "".join(shown) + dry
    assert "etl:***@db" in shown[0]
    assert "etl:***@db" in dry
