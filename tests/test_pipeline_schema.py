"""The published JSON Schema and the reader say the same about keys and kinds."""

from __future__ import annotations

import tomllib
from pathlib import Path

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_runner.pipeline.file import File, JobTable, Limits, PipelineTable
from etl_runner.pipeline.schema import schema
from etl_runner.pipeline.shape import check_profiles, read_shape
from etl_runner.pipeline.source import Source
from tests.support.files import problems_of

SCHEMA = schema()
TABLE_SCHEMAS = {name: table for name, table in SCHEMA["$defs"].items() if table.get("type") == "object"}
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def reader_accepts(text: str) -> bool:
    source = Source(text, file="etl.toml")
    read_shape(source)
    check_profiles(source)
    return not source.problems


def schema_accepts(text: str) -> bool:
    return bool(VALIDATOR.is_valid(tomllib.loads(text)))


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_every_key_is_described_and_nothing_may_be_null() -> None:
    text = msgspec.json.encode(SCHEMA).decode()

    assert '"null"' not in text
    for name, table in TABLE_SCHEMAS.items():
        assert table["additionalProperties"] is False
        assert [key for key, value in table["properties"].items() if not value.get("description")] == [], name


def test_editors_are_told_what_is_required() -> None:
    assert SCHEMA["$defs"]["JobTable"]["required"] == ["run"]
    assert SCHEMA["$defs"]["JobChanges"]["required"] == []


VALUES = [
    "1", "0", "-1", "5.5", "300", "true", '"x"', '""', '"10m"', '"1h 30m"', '"10 minuts"', '"always"', '"sometimes"',
    "[]", '["a"]', "[1]", '[""]', '["signal", 75]', "[0]", "[1.5]", "{}", "{ a = 1 }", '{ a = "0..9" }', "{ a = 0 }",
    '{ a = { job = "x", output = "y" } }',
    '{ a = ["x", 1] }', '{ a = { command = "ls" } }', '{ a = { comand = "ls" } }', "{ a = 1.5 }", '{ a = [1.5] }',
    '"a name"', '"-x"', "2026-01-01",
]  # fmt: skip
JOB_KEYS = [*JobTable.__struct_fields__, "depends_on"]
TABLES = {
    "[pipeline]\n": [*PipelineTable.__struct_fields__, "cron"],
    "[defaults]\n": [*Limits.__struct_fields__, "run", "matrix"],
    '[jobs.a]\nrun = "x"\n': [key for key in JOB_KEYS if key != "run"],
    "[jobs.a]\n": JOB_KEYS,
    "[phases]\n": ["p"],
    "[phases.p]\n": ["needs", "description", "after"],
    "[params]\n": ["p"],
    "[pools]\n": ["p"],
    "[profiles.p.jobs.a]\n": JOB_KEYS,
    "[profiles.p.pipeline]\n": ["workers", "worker"],
    "": [*File.__struct_fields__, "notify"],
}
DATES = ("2026-01-01",)  # TOML has them, JSON has not


@pytest.mark.parametrize("head", TABLES)
def test_schema_and_reader_agree_on_every_key_with_every_kind_of_value(head: str) -> None:
    texts = [f"{head}{key} = {value}\n" for key in TABLES[head] for value in VALUES if value not in DATES]

    assert [text for text in texts if reader_accepts(text) != schema_accepts(text)] == []


@given(
    st.lists(
        st.sampled_from([*TABLES]).flatmap(
            lambda h: st.tuples(st.just(h), st.sampled_from(TABLES[h]), st.sampled_from(VALUES))
        )
    )
)
def test_schema_and_reader_agree_on_whole_files(parts: list[tuple[str, str, str]]) -> None:
    text = ""
    for head, key, value in parts:
        more = f"{text}{head}{key} = {value}\n"
        try:
            tomllib.loads(more)
        except tomllib.TOMLDecodeError:
            continue
        if value not in DATES:
            text = more

    assert reader_accepts(text) == schema_accepts(text)


@pytest.mark.parametrize("head", [head for head in TABLES if head])
def test_a_date_is_refused_everywhere(head: str) -> None:
    assert [key for key in TABLES[head] if reader_accepts(f"{head}{key} = {DATES[0]}\n")] == []


def test_every_key_stands_in_the_reference() -> None:
    reference = (Path(__file__).parents[1] / "docs" / "pipeline.md").read_text(encoding="utf-8")

    keys = [key for table in TABLE_SCHEMAS.values() for key in table["properties"]]
    told = [key for key in keys if any(form in reference for form in (f"`{key}`", f"[{key}", f"{{ {key} ="))]
    assert sorted(set(keys) - set(told)) == []


def test_the_files_of_the_reference_are_good() -> None:
    reference = (Path(__file__).parents[1] / "docs" / "pipeline.md").read_text(encoding="utf-8")
    whole, intervals, values, profile = (block.split("```")[0] for block in reference.split("```toml\n")[1:])

    assert problems_of(whole, profile="prod") == []
    assert problems_of(intervals) == []
    assert problems_of("[phases]\npre = {}\nsub = {}\n" + values) == []
    assert problems_of(whole.split("[profiles.prod]")[0] + profile, profile="prod") == []
