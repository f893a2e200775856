"""docs/json.md says what is printed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest
from click.testing import CliRunner
from msgspec.structs import fields

from etl_runner.cli.main import cli
from etl_runner.errors import EtlError
from etl_runner.events import AttemptReported, DeadlinePassed, Event
from etl_runner.model import Outcome
from etl_runner.paths import Home
from tests.support.ledgers import past_run, plan, write_log

DOC = (Path(__file__).parents[1] / "docs" / "json.md").read_text(encoding="utf-8")
EXAMPLES: dict[str, Any] = {
    name: json.loads(text) for name, text in re.findall(r"<!-- document: (.+?) -->\n```json\n(.+?)```", DOC, re.DOTALL)
}
FREE = ("counts", "metrics", "params", "pools", "seconds_by_workers")
NEVER_PRINTED = (AttemptReported, DeadlinePassed)


def shape(value: object) -> object:
    """The keys of a document, all the way down; lists by their first entry. Some have any keys."""
    if isinstance(value, dict):
        return {key: None if key in FREE else shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value[:1] if isinstance(inner, dict)]
    return None


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("history", ["history"]),
        ("history JOB", ["history", "a"]),
        ("show", ["show"]),
        ("logs", ["logs", "a"]),
    ],
)
def test_documents_have_the_fields_the_docs_say(name: str, arguments: list[str], tmp_path: Path) -> None:
    home = Home(tmp_path / ".etl")
    (tmp_path / "etl.toml").touch()
    past_run(home, plan("a"))
    write_log(home, 1, "a", 1, b"x\n")

    told = CliRunner().invoke(cli, [*arguments, "-o", "json", "-c", str(tmp_path / "etl.toml")], env={"ETL_HOME": None})

    assert shape(json.loads(told.stdout)) == shape(EXAMPLES[name])


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("plan", ["plan"], '[phases]\nsub = {}\n[jobs.a]\nphase = "sub"\nrun = "true"\n'),
        ("check", ["check"], '[jobs.a]\nrun = "true"\n'),
        ("check, with problems", ["check"], '[jobs.a]\nrun = "true"\nned = 1\n'),
        ("job --explain", ["job", "a", "--explain"], '[jobs.a]\nrun = "true"\nexplain = "-n"\n'),
        ("db url", ["db", "url"], ""),
        ("db stop", ["db", "stop"], ""),
    ],
)
def test_documents_about_the_file_and_the_warehouse_do_too(
    name: str, arguments: list[str], text: str, tmp_path: Path
) -> None:
    (tmp_path / "etl.toml").write_text('[pipeline]\nname = "warehouse"\n' + text)
    past_run(Home(tmp_path / ".etl"), plan("a"))
    env = {"ETL_HOME": None, "DATABASE_URL": "postgresql://host/db"}

    told = CliRunner().invoke(cli, [*arguments, "-o", "json", "-c", str(tmp_path / "etl.toml")], env=env)

    assert shape(json.loads(told.stdout)) == shape(EXAMPLES[name])


def test_every_document_has_its_version_and_an_example() -> None:
    tested = {"history", "history JOB", "show", "logs", "plan", "check", "check, with problems", "db url", "db stop"}
    tested |= {"job --explain"}

    assert EXAMPLES.keys() == tested | {"stop"}  # stop needs a real run: tests/test_stop.py
    assert {example["version"] for example in EXAMPLES.values()} == {1}
    assert shape(EXAMPLES["stop"]["run"]) == shape(EXAMPLES["show"]["run"])


@pytest.mark.parametrize("event", [event for event in get_args(Event) if event not in NEVER_PRINTED])
def test_every_event_is_documented_with_all_its_fields(event: type) -> None:
    tag = str(event.__struct_config__.tag)  # type: ignore[attr-defined]
    (row,) = re.findall(rf"^\| `{tag}` \| (.*) \|$", DOC, re.MULTILINE)

    documented = re.findall(r"`([a-z_]+)`", re.sub(r"\([^)]*\)", "", row))

    assert documented == [field.name for field in fields(event)]


def test_every_outcome_and_error_is_documented() -> None:
    errors: list[type[EtlError]] = [EtlError, *EtlError.__subclasses__()]
    for word in [*Outcome, *(error.code for error in errors)]:
        assert f"`{word}`" in DOC
