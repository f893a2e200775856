"""The fold of records, what decided a run's length, and how long the rest takes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_runner.deciding import busy, busy_share, deciding_path, waited_for, work
from etl_runner.events import JobFinished, Record
from etl_runner.model import Outcome, Plan
from etl_runner.simulate import simulate
from etl_runner.sinks.remaining import seconds_left
from etl_runner.timeline import Stage, Timeline
from tests.support.screens import BEGAN, Script, job, plan

PLAN = plan(job("a", "first"), job("b", "first"), job("c", "last", needs=("a", "b")))


def test_a_job_goes_from_waiting_to_over() -> None:
    script = Script(PLAN).start("a", 1.0).retry("a", 3.0, of=2, delay=2.0).start("a", 5.5)
    script.exit("a", 7.0).finish("a", 7.0, Outcome.SUCCEEDED)
    timeline, stages = Timeline(PLAN), []

    for record in script.records:
        timeline.apply(record)
        stages.append(timeline.tracks["a"].stage)

    expected = [Stage.WAITING, Stage.RUNNING, Stage.WAITING, Stage.RETRYING, Stage.RUNNING, Stage.WAITING, Stage.OVER]
    assert stages == expected


def test_a_retried_job_counts_from_its_first_start_to_its_end() -> None:
    script = Script(PLAN).start("a", 1.0).retry("a", 3.0, of=2, delay=2.0).ok("a", 5.5, 7.0)

    track = Timeline(PLAN, script.records).tracks["a"]

    assert (track.start, track.seconds, track.end) == (1.0, 6.0, 7.0)
    assert track.is_flaky
    assert [attempt.number for attempt in track.tries] == [1, 2]


def test_a_retry_says_when_its_next_attempt_is_due() -> None:
    script = Script(PLAN).start("a", 1.0).retry("a", 3.0, of=2, delay=2.0)

    assert Timeline(PLAN, script.records).tracks["a"].due == 5.0


def test_a_job_is_ready_when_the_last_of_its_needs_is_over_and_waits_from_then_on() -> None:
    script = Script(PLAN).ok("a", 0.0, 2.0).ok("b", 0.5, 4.0).start("c", 7.0)

    track = Timeline(PLAN, script.records).tracks["c"]

    assert (track.ready, track.waited) == (4.0, 3.0)


def test_phases_count_their_jobs() -> None:
    script = Script(PLAN).fail("a", 0.0, 2.0).start("b", 0.0).skip("c", 2.0, "a")

    timeline = Timeline(PLAN, script.records)

    first, last = timeline.phases["first"], timeline.phases["last"]
    assert (first.total, first.over, first.running, first.outcomes) == (2, 1, 1, {Outcome.FAILED: 1})
    assert (last.total, last.over, last.running, last.outcomes) == (1, 1, 0, {Outcome.SKIPPED: 1})
    assert timeline.over == 2
    assert list(timeline.running) == ["b"]


def test_metrics_are_the_latest_reported_ones() -> None:
    script = Script(PLAN).start("a", 0.0).report("a", 1.0, rows=5, of=10)
    timeline = Timeline(PLAN, script.records)
    assert timeline.tracks["a"].metrics == {"rows": 5, "of": 10}

    for record in script.exit("a", 2.0, metrics={"rows": 10}).records[-1:]:
        timeline.apply(record)

    assert timeline.tracks["a"].metrics == {"rows": 10}


def test_a_new_attempt_starts_without_the_metrics_of_the_one_before() -> None:
    script = Script(PLAN).start("a", 0.0).report("a", 1.0, rows=5)
    script.retry("a", 2.0, of=2, delay=0.0).start("a", 2.0)

    assert Timeline(PLAN, script.records).tracks["a"].metrics == {}


def test_records_of_jobs_the_plan_does_not_have_are_ignored() -> None:
    script = Script(plan(job("gone"), *PLAN.jobs)).ok("gone", 0.0, 1.0)

    assert Timeline(PLAN, script.records).over == 0


def test_an_attempt_that_never_ran_still_counts_as_a_try() -> None:
    script = Script(PLAN).exit("a", 1.0, error="no such file: 'pyhton'")
    script.finish("a", 1.0, Outcome.FAILED, reason="no such file: 'pyhton'")

    track = Timeline(PLAN, script.records).tracks["a"]

    assert len(track.tries) == 1
    assert track.exited is not None
    assert track.exited.error == "no such file: 'pyhton'"


def test_an_abandoned_run_has_lost_what_was_open() -> None:
    timeline = Timeline(PLAN, Script(PLAN).ok("a", 0.0, 2.0).start("b", 1.0).records)

    timeline.abandon()

    outcomes = {name: track.outcome for name, track in timeline.tracks.items()}
    assert outcomes == {"a": Outcome.SUCCEEDED, "b": Outcome.LOST, "c": Outcome.LOST}
    assert timeline.tracks["b"].seconds == 1.0
    assert not timeline.running


def test_a_clock_set_back_makes_no_negative_times() -> None:
    records = Script(PLAN).start("a", 1.0).records
    ended = JobFinished(job="a", phase="first", attempt=1, outcome=Outcome.SUCCEEDED, seconds=2.0)
    records.append(Record(run=42, seq=9, at=BEGAN - timedelta(hours=1), event=ended))

    timeline = Timeline(PLAN, records)

    assert timeline.tracks["a"].seconds == 0.0
    assert timeline.latest == 1.0


def test_the_deciding_path_goes_back_through_the_need_that_was_over_last() -> None:
    script = Script(PLAN).ok("a", 0.0, 2.0).ok("b", 0.0, 5.0).ok("c", 5.0, 6.0).end(6.0)

    path = deciding_path(Timeline(PLAN, script.records))

    assert [(link.job, link.seconds, link.waited) for link in path] == [("b", 5.0, 0.0), ("c", 1.0, 0.0)]


def test_a_job_is_on_the_deciding_path_because_it_queued() -> None:
    one = plan(job("long"), job("short"), job("end", needs=("long", "short")), workers=1)
    script = Script(one).ok("long", 0.0, 9.0).ok("short", 9.0, 10.0).ok("end", 10.0, 11.0).end(11.0)

    path = deciding_path(Timeline(one, script.records))

    assert [(link.job, link.waited) for link in path] == [("short", 9.0), ("end", 0.0)]


def test_the_deciding_path_passes_through_skipped_jobs() -> None:
    middle = plan(job("a"), job("b", needs=("a",)), job("tidy", needs=("b",)))
    script = Script(middle).fail("a", 0.0, 3.0).skip("b", 3.0, "a").ok("tidy", 3.0, 4.0).end(4.0)

    assert [link.job for link in deciding_path(Timeline(middle, script.records))] == ["a", "tidy"]


def test_a_run_in_which_nothing_started_has_no_deciding_path() -> None:
    assert deciding_path(Timeline(PLAN, Script(PLAN).records)) == ()


@pytest.mark.parametrize(
    ("workers", "odoo", "what"),
    [
        (4, 1, "pool odoo"),
        (1, 1, "a worker"),
        (1, 8, "a worker"),
        (4, 8, ""),
        (4, 2, "pool odoo"),  # b takes two places
        (4, 3, ""),
    ],
)
def test_what_a_job_waited_for_is_what_was_short_then(workers: int, odoo: int, what: str) -> None:
    b = job("b", pools={"odoo": min(odoo, 2)})
    both = plan(job("a", pools={"odoo": 1}), b, workers=workers, pools={"odoo": odoo})
    script = Script(both).ok("a", 0.0, 4.0).ok("b", 4.0, 6.0).end(6.0)

    assert waited_for(Timeline(both, script.records), "b") == what


def test_a_job_behind_many_short_ones_waited_for_a_worker() -> None:
    many = plan(*(job(f"j{n}") for n in range(6)), workers=2)
    script = Script(many)
    for n in range(6):
        script.ok(f"j{n}", n * 1.0, n + 0.1)
    timeline = Timeline(many, script.end(6.0).records)

    assert [waited_for(timeline, name) for name in ("j1", "j2", "j5")] == ["", "a worker", "a worker"]


def test_work_and_utilisation_count_every_attempt() -> None:
    script = Script(PLAN).start("a", 0.0).retry("a", 2.0, of=2, delay=2.0).ok("a", 4.0, 6.0).ok("b", 0.0, 6.0).end(8.0)

    timeline = Timeline(PLAN, script.records)

    assert work(timeline) == 10.0
    assert busy(timeline) == 10.0 / 16.0


def test_the_share_of_time_with_all_workers_taken() -> None:
    script = Script(PLAN).ok("a", 0.0, 6.0).ok("b", 2.0, 4.0)

    assert busy_share(Timeline(PLAN, script.records), 0.0, 8.0) == 0.25


@st.composite
def timed_plans(draw: st.DrawFn) -> tuple[Plan, dict[str, float]]:
    number = draw(st.integers(1, 12))
    jobs = []
    for at in range(number):
        needs = draw(st.sets(st.integers(0, at - 1), max_size=3)) if at else set()
        jobs.append(job(f"j{at}", needs=tuple(f"j{need}" for need in sorted(needs))))
    durations = {j.name: float(draw(st.integers(1, 20))) for j in jobs}
    return plan(*jobs, workers=draw(st.integers(1, 4))), durations


def _played(plan_: Plan, durations: dict[str, float]) -> Script:
    """A run without any delay of its own."""
    simulated = simulate(plan_, durations)
    moments = [(finish, 0, name) for name, finish in simulated.finish.items()]
    moments += [(start, 1, name) for name, start in simulated.start.items()]
    script = Script(plan_)
    for at, is_start, name in sorted(moments):
        if is_start:
            script.start(name, at)
        else:
            script.exit(name, at).finish(name, at, Outcome.SUCCEEDED, seconds=durations[name])
    return script.end(simulated.makespan)


@given(timed_plans())
def test_work_and_waits_on_the_deciding_path_add_up_to_the_whole_run(timed: tuple[Plan, dict[str, float]]) -> None:
    timeline = Timeline(timed[0], _played(*timed).records)

    path = deciding_path(timeline)

    assert sum(link.seconds + link.waited for link in path) == pytest.approx(timeline.seconds)


@given(timed_plans(), st.floats(0, 1))
def test_with_true_estimates_the_time_left_is_what_the_rest_needs(
    timed: tuple[Plan, dict[str, float]], share: float
) -> None:
    plan_, durations = timed
    script = _played(plan_, durations)
    end = (script.records[-1].at - BEGAN).total_seconds()
    now = end * share
    so_far = [record for record in script.records if (record.at - BEGAN).total_seconds() <= now]

    left = seconds_left(Timeline(plan_, so_far), durations, now=now)
    at_first = seconds_left(Timeline(plan_, so_far[:1]), durations, now=0.0)

    assert at_first == pytest.approx(end)
    assert left is not None
    assert (end - now) / plan_.workers - 1e-6 <= left <= sum(durations.values())


def test_the_time_left_counts_what_runs_and_what_still_waits_for_a_worker() -> None:
    one = plan(*(job(f"t{n}") for n in range(4)), workers=2)
    script = Script(one).ok("t0", 0.0, 4.0).start("t1", 0.0).start("t2", 4.0)

    left = seconds_left(Timeline(one, script.records), dict.fromkeys(("t0", "t1", "t2", "t3"), 4.0), now=5.0)

    assert left == 4.0  # t1 is overdue, so t3 may start at once beside t2


def test_a_retry_adds_its_delay_to_the_time_left() -> None:
    one = plan(job("a"))
    script = Script(one).start("a", 0.0).retry("a", 3.0, of=2, delay=10.0)

    assert seconds_left(Timeline(one, script.records), {"a": 3.0}, now=5.0) == 11.0


def test_copies_of_a_template_stand_in_for_one_without_a_past() -> None:
    copies = plan(*(job(f"t{n}", template="t") for n in range(3)), workers=1)
    script = Script(copies).ok("t0", 0.0, 4.0)

    assert seconds_left(Timeline(copies, script.records), {}, now=4.0) == 8.0


def test_without_a_past_there_is_no_guess() -> None:
    assert seconds_left(Timeline(PLAN, Script(PLAN).records), {"a": 1.0}, now=0.0) is None
