"""Intervals of days."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_runner.intervals import By, Covered, Interval, anew, intervals, over_intervals
from tests.support.plans import job


def span_of(start: int, length: int) -> Interval:
    return Interval(start=date(2025, 1, 1) + timedelta(start), end=date(2025, 1, 1) + timedelta(start + length))


DAYS = st.dates(min_value=date(1900, 1, 1), max_value=date(2100, 1, 1))


@given(first=DAYS, length=st.integers(0, 400), by=st.sampled_from(By))
def test_intervals_cover_every_day_once_in_order(first: date, length: int, by: By) -> None:
    last = first + timedelta(days=length)

    found = list(intervals(first, last, by=by))

    assert found[0].start == first
    assert found[-1].end == last + timedelta(days=1)
    assert all(one.end == two.start for one, two in pairwise(found))
    assert all(span.start < span.end for span in found)


@pytest.mark.parametrize(
    ("by", "starts"),
    [
        (By.DAY, ["2024-02-28", "2024-02-29", "2024-03-01", "2024-03-02", "2024-03-03", "2024-03-04"]),
        (By.WEEK, ["2024-02-28", "2024-03-04"]),
        (By.MONTH, ["2024-02-28", "2024-03-01"]),
    ],
)
def test_weeks_begin_on_monday_and_months_on_the_first(by: By, starts: list[str]) -> None:
    found = intervals(date(2024, 2, 28), date(2024, 3, 4), by=by)

    assert [span.start.isoformat() for span in found] == starts


@given(
    changes=st.lists(st.tuples(st.booleans(), st.integers(0, 20), st.integers(1, 8)), max_size=12),
    start=st.integers(0, 20),
    length=st.integers(1, 8),
)
def test_an_interval_is_covered_when_each_of_its_days_is(
    changes: list[tuple[bool, int, int]], start: int, length: int
) -> None:
    covered, days = Covered(), set[int]()
    for good, begin, size in changes:
        (covered.add if good else covered.remove)(span_of(begin, size))
        days = days | set(range(begin, begin + size)) if good else days - set(range(begin, begin + size))

    assert (span_of(start, length) in covered) == (set(range(start, start + length)) <= days)


def test_needs_hold_within_an_interval_and_outer_ones_are_dropped() -> None:
    jobs = (job("load", "outside"), job("check", "load"))

    copies = over_intervals((span, jobs) for span in intervals(date(2025, 1, 1), date(2025, 1, 2), by=By.DAY))

    assert {copy.name: copy.needs for copy in copies} == {
        "load@2025-01-01": (),
        "check@2025-01-01": ("load@2025-01-01",),
        "load@2025-01-02": (),
        "check@2025-01-02": ("load@2025-01-02",),
    }


def test_one_at_a_time_makes_each_interval_need_the_one_before() -> None:
    spans = intervals(date(2025, 1, 1), date(2025, 1, 3), by=By.DAY)

    copies = over_intervals(((span, (job("load"),)) for span in spans), one_at_a_time=True)

    assert [copy.needs for copy in copies] == [(), ("load@2025-01-01",), ("load@2025-01-02",)]


@given(first=DAYS, by=st.sampled_from(By))
def test_a_copy_is_run_anew_by_a_command_for_just_its_interval(first: date, by: By) -> None:
    span = next(intervals(first, first + timedelta(days=40), by=by))
    (copy,) = over_intervals([(span, (job("load"),))])

    _, name, _, start, _, last, _, length, _ = anew(copy).split()

    assert name == "load"
    assert list(intervals(date.fromisoformat(start), date.fromisoformat(last), by=By(length))) == [span]
    assert anew(job("load")) == "job load"
