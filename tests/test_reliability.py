"""Every promise of docs/reliability.md names a test that exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NAMED = sorted(set(re.findall(r"`(tests/\S+\.py)::(test_\w+)`", (ROOT / "docs/reliability.md").read_text())))


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_the_test_a_promise_names_exists(file: str, name: str) -> None:
    assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE)


def test_promises_name_tests() -> None:
    assert len(NAMED) > 20
