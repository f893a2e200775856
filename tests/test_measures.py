"""What jobs report, as people read it."""

from __future__ import annotations

import pytest

from etl_runner import measures
from etl_runner.model import Metric

LOADED: dict[str, Metric] = {
    "table": "local_sale_line", "rows": 56864, "inserted": 0, "updated": 0, "deleted": 0, "duplicates": 0, "orphans": 0,
    "rejected": 0, "warnings": 0, "bytes": 1722644, "copy_seconds": 0.187, "load": 19,
}  # fmt: skip


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ({"rows": 4656}, ["4,656 rows"]),
        ({"rows": 0}, ["0 rows"]),
        ({"rejected": 0, "rows": 5, "of": 9}, ["5 rows"]),
        ({"inserted": 12, "rows": 2480}, ["2,480 rows", "12 inserted"]),
        ({"share": 0.5, "table": "people", "bad_rows": 3, "empty": None}, ["people", "3 bad rows", "share 0.5"]),
        ({"bytes": 454_938, "copy_seconds": 0.31, "updated": 7}, ["7 updated", "454.9 kB"]),
        ({"full_load": True, "dry": False}, ["full load"]),
        ({"note": "\x1b[31mred"}, ["red"]),
        ({"load": "full", "warnings": "some", "deleted": True}, ["full", "some", "deleted"]),
        ({}, []),
    ],
)
def test_a_report_in_few_words_the_most_telling_first(values: dict[str, Metric], texts: list[str]) -> None:
    assert measures.notes(values) == texts
    assert measures.line(values, dot="-") == " - ".join(texts)


@pytest.mark.parametrize(
    ("changes", "texts"),
    [
        ({}, ["unchanged"]),
        ({"inserted": 56864}, ["all inserted"]),
        ({"inserted": 56864, "deleted": 1}, ["56,864 inserted", "1 deleted"]),
        ({"updated": 12, "inserted": 3}, ["3 inserted", "12 updated"]),
        ({"rejected": 3, "orphans": 1, "updated": 12}, ["3 rejected", "1 orphan", "12 updated"]),
        ({"updated": None}, []),
    ],
)
def test_a_load_tells_rows_then_trouble_then_changes_and_its_number_only_among_all_there_is(
    changes: dict[str, Metric], texts: list[str]
) -> None:
    told = ["56,864 rows", *texts, "local_sale_line", "1.7 MB"]
    assert measures.notes(LOADED | changes) == told
    assert measures.line(LOADED | changes) == " · ".join([*told, "load 19"])


def test_of_nothing_nothing_is_unchanged() -> None:
    assert measures.notes(LOADED | {"rows": 0})[:2] == ["0 rows", "local_sale_line"]
