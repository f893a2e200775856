"""The job side of the runner: reporting metrics, reading what earlier jobs reported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from etl_runner.job import read_output, report


def test_reports_are_lines_of_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.jsonl"
    monkeypatch.setenv("ETL_OUTPUT", str(path))
    report(rows=1, name="é\n")
    report(rows=2)
    report()

    assert [json.loads(line) for line in path.read_text().splitlines()] == [{"rows": 1, "name": "é\n"}, {"rows": 2}]


def test_outside_a_run_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ETL_OUTPUT", raising=False)
    monkeypatch.delenv("ETL_RUN_DIR", raising=False)
    report(rows=1)

    assert read_output("table-3") == {}


def test_a_value_json_cannot_hold_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ETL_OUTPUT", str(tmp_path / "out.jsonl"))
    with pytest.raises(ValueError, match="JSON"):
        report(share=float("nan"))


def test_the_last_attempts_values_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "outputs"
    folder.mkdir()
    monkeypatch.setenv("ETL_RUN_DIR", str(tmp_path))
    (folder / "table-3.2.jsonl").write_text('{"rows": 1}\n')
    (folder / "table-3.10.jsonl").write_text('{"rows": 2, "a": 1}\nnoise\n[1]\n{"rows": 3}\n{"rows": 4')
    (folder / "table-30.11.jsonl").write_text('{"rows": 9}\n')

    assert read_output("table-3") == {"rows": 3, "a": 1}


def test_it_imports_nothing_but_the_standard_library() -> None:
    code = "import sys, etl_runner.job; print([m for m in ('msgspec', 'click', 'rich', 'asyncio') if m in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ended.stdout == "[]\n"
