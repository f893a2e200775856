"""Forecasts: the scheduler in virtual time."""

from __future__ import annotations

import random

import pytest
from hypothesis import given

from etl_runner.model import Plan, Retry, When
from etl_runner.simulate import Simulated, simulate
from tests.support.plans import job, plan, timed_plans


def test_a_forecast_says_when_each_job_runs_and_how_long_all_takes() -> None:
    jobs = (job("a"), job("b"), job("c"), job("end", "a", "b", "c"))

    simulated = simulate(plan(*jobs, workers=2), {"a": 2.0, "b": 3.0, "c": 4.0, "end": 1.0})

    assert simulated == Simulated(
        workers=2,
        makespan=6.0,
        start={"c": 0.0, "b": 0.0, "a": 3.0, "end": 5.0},
        finish={"b": 3.0, "c": 4.0, "a": 5.0, "end": 6.0},
        floor=5.0,
        path=("c", "end"),
    )
    assert simulated.work == 10.0


def test_a_forecast_for_another_number_of_workers() -> None:
    twenty = plan(*(job(f"t{n}") for n in range(20)), workers=5)
    thirty_each = {f"t{n}": 30.0 for n in range(20)}

    spans = [simulate(twenty, thirty_each, workers=workers).makespan for workers in (1, 3, 5, 10, 20)]

    assert spans == [600.0, 210.0, 120.0, 60.0, 30.0]
    assert simulate(twenty, thirty_each).makespan == 120.0


def test_the_order_follows_the_estimates_where_they_differ_from_the_durations() -> None:
    jobs = plan(job("a"), job("b"), job("c"), workers=2)

    simulated = simulate(jobs, {"a": 1.0, "b": 1.0, "c": 9.0}, estimates={})

    assert simulated.start == {"a": 0.0, "b": 0.0, "c": 1.0}


def test_pools_are_respected() -> None:
    jobs = plan(*(job(f"t{n}", pools={"db": 2}) for n in range(3)), workers=9, pools={"db": 3})

    assert simulate(jobs, {"t0": 1.0, "t1": 1.0, "t2": 1.0}).makespan == 3.0


def test_jobs_that_run_on_failure_only_take_no_part() -> None:
    jobs = plan(job("a"), job("alarm", "a", when=When.FAILURE), job("end", "alarm"))

    simulated = simulate(jobs, {"a": 1.0, "alarm": 50.0, "end": 2.0})

    assert simulated.start == {"a": 0.0, "end": 1.0}
    assert (simulated.makespan, simulated.floor, simulated.path) == (3.0, 3.0, ("a", "end"))


def test_timeouts_and_retries_do_not_cut_a_forecast_short() -> None:
    jobs = plan(job("a", timeout=1.0, retry=Retry(count=1)), job("b", "a"), timeout=2.0)

    assert simulate(jobs, {"a": 5.0, "b": 5.0}).makespan == 10.0


def test_unknown_durations_count_as_nothing() -> None:
    simulated = simulate(plan(job("a"), job("b", "a")), {"b": 2.0})

    assert (simulated.makespan, simulated.path) == (2.0, ("b",))


def test_an_empty_plan_takes_no_time() -> None:
    assert simulate(plan(), {}).makespan == 0.0


def test_a_plan_that_can_never_end_is_refused_by_name() -> None:
    stuck = plan(job("a"), job("big", "a", pools={"db": 2}), pools={"db": 1})

    with pytest.raises(ValueError, match="'big' can never start"):
        simulate(stuck, {})


@given(timed_plans())
def test_list_scheduling_keeps_grahams_bound(timed: tuple[Plan, dict[str, float]]) -> None:
    jobs, seconds = timed
    work, workers = sum(seconds.values()), jobs.workers

    simulated = simulate(jobs, seconds)

    assert max(simulated.floor, work / workers) <= simulated.makespan + 1e-9
    assert simulated.makespan <= work / workers + (1 - 1 / workers) * simulated.floor + 1e-9
    assert simulated.work == work


@given(timed_plans())
def test_with_enough_workers_a_run_takes_its_floor(timed: tuple[Plan, dict[str, float]]) -> None:
    jobs, seconds = timed

    simulated = simulate(jobs, seconds, workers=len(jobs.jobs))

    assert simulated.makespan == simulated.floor
    assert sum(seconds[name] for name in simulated.path) == simulated.floor


@given(timed_plans(pooled=True))
def test_a_forecast_is_always_the_same_and_never_idles(timed: tuple[Plan, dict[str, float]]) -> None:
    jobs, seconds = timed

    simulated = simulate(jobs, seconds)

    assert simulated == simulate(jobs, seconds)
    assert simulated.start.keys() == simulated.finish.keys() == {job.name for job in jobs.jobs}
    assert simulated.floor <= simulated.makespan <= sum(seconds.values())


@pytest.mark.parametrize("pools", [{}, {"db": 2}], ids=["free", "pooled"])
def test_a_hundred_thousand_jobs_on_a_thousand_workers(pools: dict[str, int]) -> None:
    dice, count, workers = random.Random(7), 100_000, 1_000
    jobs = [
        job(
            f"j{n}",
            *{f"j{dice.randrange(n // 2, n)}" for _ in range(n % 4)},
            pools={pool: dice.randint(1, places) for pool, places in pools.items() if n % 2},
        )
        for n in range(count)
    ]
    seconds = {job.name: dice.uniform(1, 60) for job in jobs}

    simulated = simulate(plan(*jobs, workers=workers, pools={"db": 1500}), seconds)

    work = sum(seconds.values())
    assert len(simulated.finish) == count
    assert work / workers <= simulated.makespan <= 1.5 * (work / workers + simulated.floor)
