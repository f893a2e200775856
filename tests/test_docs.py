"""The documents say what the code does."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from etl_runner.cli.main import COMMANDS
from tests.support.cli import ETL_RUN, clean_env

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/**/*.md"), *ROOT.glob("benchmarks/*.md")]


def test_the_readme_starts_with_the_two_lines_to_try() -> None:
    lines = [line.strip() for line in README.splitlines() if line.startswith("    python3 -m venv")]

    assert lines == [
        "python3 -m venv .venv && .venv/bin/pip install -q -e '.[test]' && .venv/bin/etl-run all --workers 5",
        "python3 -m venv .venv && .venv/bin/pip install -q -e '.[test]' && .venv/bin/pytest",
    ]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_readme_and_explains_itself(name: str) -> None:
    shown = subprocess.run(
        [*ETL_RUN, name, "--help"], cwd=ROOT, env=clean_env(), capture_output=True, text=True, check=True
    )

    assert re.search(rf"`etl-run [^`]*\b{name}\b|`{name}`", README)
    assert shown.stdout.startswith(f"Usage: etl-run {name}")


@pytest.mark.parametrize("status", ["0", "1", "2", "75", "129, 130, 143"])
def test_every_exit_status_is_in_the_readme(status: str) -> None:
    assert f"| {status} |" in README


def test_the_pipeline_file_of_the_readme_is_a_good_one(tmp_path: Path) -> None:
    text = next(block for block in re.findall(r"```toml\n(.*?)```", README, re.DOTALL))
    (tmp_path / "etl.toml").write_text(text)

    ended = subprocess.run(
        [*ETL_RUN, "check"], cwd=tmp_path, env=clean_env(), capture_output=True, text=True, check=False
    )

    assert (ended.returncode, ended.stdout) == (0, "ok: 23 jobs, 3 phases\n")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text(encoding="utf-8"))

    assert [target for target in targets if not (document.parent / target).exists()] == []


def test_the_script_for_cron_is_three_lines() -> None:
    lines = (ROOT / "run_all_etls.py").read_text(encoding="utf-8").splitlines()

    assert len([line for line in lines if line]) <= 3
