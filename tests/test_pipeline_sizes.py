"""Sizes as people write them."""

from __future__ import annotations

import pytest

from etl_runner.pipeline.sizes import LARGEST, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("100MB", 100_000_000),
        ("2GiB", 2 << 30),
        ("2G", 2 << 30),
        ("1.5 k", 1536),
        ("7b", 7),
        ("0.5tb", 500_000_000_000),
        (4096, 4096),
    ],
)
def test_a_size_is_read_in_bytes(text: str | int, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "10", "-1MB", "1 2MB", "10XB", -1, LARGEST + 1])
def test_what_is_no_size_is_refused_with_an_example(text: str | int) -> None:
    with pytest.raises(ValueError, match="expected a size such as"):
        parse_size(text)
