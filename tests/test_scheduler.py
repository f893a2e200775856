"""The rules of a run, one by one."""

from __future__ import annotations

import pytest

from etl_runner.events import AttemptExited, StopReason
from etl_runner.model import Outcome, Retry, RunStatus, When
from etl_runner.scheduler import Scheduler
from tests.support.hand import Hand
from tests.support.plans import job, plan


def test_a_job_that_found_nothing_to_do_is_cached_and_as_good_as_succeeded() -> None:
    hand = Hand(plan(job("a"), job("b", "a")))

    assert hand.exit("a", metrics={"cached": "as it was"}) == ["a cached", "launch b"]
    assert hand.exit("b", 1, metrics={"cached": True}) == ["b failed"]


# Order and admission


def test_jobs_without_needs_start_in_plan_order_up_to_the_number_of_workers() -> None:
    hand = Hand(plan(job("a"), job("b"), job("c"), workers=2))

    assert hand.first == ["launch a", "launch b"]
    assert hand.exit("b") == ["b succeeded", "launch c"]


def test_a_job_starts_when_its_last_need_succeeded() -> None:
    hand = Hand(plan(job("c", "a", "b"), job("a"), job("b")))

    assert hand.first == ["launch a", "launch b"]
    assert hand.exit("a") == ["a succeeded"]
    assert hand.exit("b") == ["b succeeded", "launch c"]
    assert hand.exit("c") == ["c succeeded"]
    assert hand.scheduler.done
    assert hand.scheduler.status is RunStatus.SUCCEEDED


def test_the_longest_remaining_path_goes_first() -> None:
    jobs = (job("short"), job("long"), job("chain"), job("tail", "chain"))
    estimates = {"short": 1.0, "long": 5.0, "chain": 2.0, "tail": 4.0}

    hand = Hand(plan(*jobs, workers=1), estimates=estimates)

    assert hand.first == ["launch chain"]
    assert hand.exit("chain") == ["chain succeeded", "launch long"]
    assert hand.exit("long") == ["long succeeded", "launch tail"]


def test_jobs_without_an_estimate_go_last_in_plan_order() -> None:
    hand = Hand(plan(job("new1"), job("new2"), job("known"), workers=2), estimates={"known": 0.1})

    assert hand.first == ["launch known", "launch new1"]


def test_a_job_that_waits_for_a_pool_is_passed_by_others() -> None:
    in_pool = {"pools": {"db": 1}}
    hand = Hand(plan(job("a", **in_pool), job("b", **in_pool), job("c"), pools={"db": 1}, workers=3))

    assert hand.first == ["launch a", "launch c"]
    assert hand.exit("c") == ["c succeeded"]
    assert hand.exit("a") == ["a succeeded", "launch b"]


def test_a_job_takes_as_many_places_as_it_says_in_every_pool() -> None:
    jobs = (
        job("heavy", pools={"db": 2, "api": 1}),
        job("wide", pools={"db": 2}),
        job("other", pools={"api": 1}),
        job("light", pools={"db": 1}),
    )

    hand = Hand(plan(*jobs, pools={"db": 3, "api": 1}))

    assert hand.first == ["launch heavy", "launch light"]
    assert hand.exit("light") == ["light succeeded"]
    assert hand.exit("heavy") == ["heavy succeeded", "launch wide", "launch other"]


def test_the_better_of_two_pools_waiting_jobs_starts_when_a_place_comes_back() -> None:
    jobs = (job("first", pools={"db": 2}), job("one", pools={"db": 1}), job("two", pools={"db": 2}))
    hand = Hand(plan(*jobs, pools={"db": 2}), estimates={"first": 9.0, "two": 5.0, "one": 1.0})

    assert hand.first == ["launch first"]
    assert hand.exit("first") == ["first succeeded", "launch two"]


def test_a_pool_of_no_place_is_no_demand() -> None:
    hand = Hand(plan(job("a", pools={"db": 0}), job("b", pools={"db": 1}), pools={"db": 1}))

    assert hand.first == ["launch a", "launch b"]


def test_an_empty_plan_is_done_at_once() -> None:
    hand = Hand(plan(timeout=5.0))

    assert hand.first == []
    assert hand.scheduler.done
    assert hand.scheduler.deadline() is None
    assert hand.scheduler.status is RunStatus.SUCCEEDED


@pytest.mark.parametrize(
    ("jobs", "error"), [((job("a", "b"), job("b", "a")), ValueError), ((job("a", "x"),), KeyError)]
)
def test_a_plan_with_a_cycle_or_an_unknown_need_is_refused(jobs: tuple, error: type[Exception]) -> None:
    with pytest.raises(error):
        Scheduler(plan(*jobs))


# Failure, `when` and `optional`


def test_a_failure_skips_all_that_needs_it_at_once_and_leaves_the_rest() -> None:
    hand = Hand(plan(job("a"), job("b"), job("c", "a", "b"), job("d", "c"), job("e", "b")))

    assert hand.exit("a", 1) == ["a failed", "c skipped because of a", "d skipped because of a"]
    assert hand.exit("b") == ["b succeeded", "launch e"]
    hand.exit("e")
    assert hand.scheduler.done
    assert hand.scheduler.status is RunStatus.FAILED


def test_a_cleanup_runs_when_all_its_needs_are_over_and_hides_no_failure() -> None:
    hand = Hand(plan(job("a"), job("b"), job("clean", "a", "b", when=When.ALWAYS)))

    assert hand.exit("a", 1) == ["a failed"]
    assert hand.exit("b") == ["b succeeded", "launch clean"]
    assert hand.exit("clean") == ["clean succeeded"]
    assert hand.scheduler.status is RunStatus.FAILED


def test_what_needs_a_cleanup_runs_when_the_cleanup_succeeded() -> None:
    hand = Hand(plan(job("a"), job("clean", "a", when=When.ALWAYS), job("next", "clean")))

    hand.exit("a", 1)

    assert hand.exit("clean") == ["clean succeeded", "launch next"]


def test_a_cleanup_behind_a_skipped_job_waits_for_everything_upstream() -> None:
    jobs = (job("a"), job("b"), job("merge", "a", "b"), job("clean", "merge", when=When.ALWAYS))
    hand = Hand(plan(*jobs))

    assert hand.exit("a", 1) == ["a failed", "merge skipped because of a"]
    assert hand.exit("b") == ["b succeeded", "launch clean"]


def test_an_alarm_runs_only_if_something_upstream_failed() -> None:
    jobs = (job("a"), job("b", "a"), job("alarm", "b", when=When.FAILURE))
    calm, alarmed = Hand(plan(*jobs)), Hand(plan(*jobs))
    calm.exit("a")

    assert alarmed.exit("a", 1) == ["a failed", "b skipped because of a", "launch alarm"]
    assert calm.exit("b") == ["b succeeded", "alarm skipped"]
    assert calm.end("alarm").reason == "nothing failed"
    assert calm.scheduler.status is RunStatus.SUCCEEDED


def test_a_successful_cleanup_does_not_hide_a_failure_from_the_alarm_behind_it() -> None:
    jobs = (job("a"), job("clean", "a", when=When.ALWAYS), job("alarm", "clean", when=When.FAILURE))
    hand = Hand(plan(*jobs))
    hand.exit("a", 1)

    assert hand.exit("clean") == ["clean succeeded", "launch alarm"]


def test_an_alarm_waits_until_all_its_needs_are_over() -> None:
    hand = Hand(plan(job("a"), job("b"), job("alarm", "a", "b", when=When.FAILURE)))

    assert hand.exit("a", 1) == ["a failed"]
    assert hand.exit("b") == ["b succeeded", "launch alarm"]


def test_an_alarm_without_needs_is_not_wanted_and_blocks_nobody() -> None:
    hand = Hand(plan(job("alarm", when=When.FAILURE), job("after", "alarm")))

    assert hand.first == ["alarm skipped", "launch after"]


@pytest.mark.parametrize("code", [1, 65])
def test_an_optional_job_that_fails_blocks_nobody_and_fails_nothing(code: int) -> None:
    hand = Hand(plan(job("a", optional=True), job("b", "a"), fail_fast=True))

    assert hand.exit("a", code) == ["a failed", "launch b"]
    assert hand.end("a").optional
    hand.exit("b")
    assert hand.scheduler.status is RunStatus.SUCCEEDED


def test_an_optional_job_that_is_blocked_blocks_nobody() -> None:
    hand = Hand(plan(job("a"), job("extra", "a", optional=True), job("b", "extra")))

    assert hand.exit("a", 1) == ["a failed", "extra skipped because of a", "launch b"]


def test_the_announcement_carries_what_the_last_attempt_left() -> None:
    hand = Hand(plan(job("a", phase="sub"), job("b", "a")))

    hand.exit("a", 3, seconds=2.5, metrics={"rows": 7})

    end = hand.end("a")
    assert (end.phase, end.attempt, end.exit, end.signal) == ("sub", 1, 3, None)
    assert (end.seconds, end.metrics, end.reason) == (2.5, {"rows": 7}, "")
    assert (hand.end("b").attempt, hand.end("b").seconds) == (0, 0.0)


def test_an_attempt_that_could_not_start_says_why() -> None:
    hand = Hand(plan(job("a", retry=Retry(count=3))))

    assert hand.exit("a", error="no such file: 'x'") == ["a failed"]
    assert hand.end("a").reason == "no such file: 'x'"
    assert hand.end("a").attempt == 1


def test_an_attempt_whose_end_nobody_saw_is_lost_and_worth_a_retry() -> None:
    hand = Hand(plan(job("a", retry=Retry(count=1))))
    hand.start("a")

    first = hand.exit("a", error="its supervisor was killed", lost=True)
    hand.start("a")
    second = hand.exit("a", error="its supervisor was killed", lost=True)

    finished = hand.scheduler.outcomes["a"]
    assert len(first) == 2  # the retry is announced and, having no delay, launched
    assert (finished.outcome, finished.reason) == (Outcome.LOST, "its supervisor was killed")
    assert hand.scheduler.status is RunStatus.FAILED
    assert len(second) == 1


def test_a_kill_that_nobody_asked_for_is_called_by_its_likely_name() -> None:
    hand = Hand(plan(job("a"), job("b")))

    hand.exit("a", signal=9)
    hand.exit("b", signal=11)

    assert hand.end("a").reason == "killed by the system (out of memory?)"
    assert (hand.end("b").signal, hand.end("b").reason) == (11, "")


# Timeouts


def test_a_timeout_runs_from_the_start_of_the_attempt_and_wins_over_its_exit_status() -> None:
    hand = Hand(plan(job("a", timeout=10.0)))

    assert hand.scheduler.deadline() is None
    hand.at(3.0).start("a")
    assert hand.scheduler.deadline() == 13.0
    assert hand.at(12.9).tick() == []
    assert hand.at(13.0).tick() == ["stop a"]
    assert hand.scheduler.deadline() is None
    assert hand.at(14.0).exit("a", 0) == ["a timed-out"]
    assert hand.end("a").reason == "over its timeout of 10s"
    assert hand.scheduler.status is RunStatus.FAILED


def test_a_stopped_attempt_keeps_its_slot_until_it_exits() -> None:
    jobs = (job("a", timeout=1.0, pools={"db": 1}), job("b", pools={"db": 1}), job("c"))
    hand = Hand(plan(*jobs, workers=2, pools={"db": 1}))
    hand.start("a")

    assert hand.at(1.0).tick() == ["stop a"]
    assert hand.exit("c") == ["c succeeded"]
    assert hand.at(2.0).exit("a", signal=15) == ["a timed-out", "launch b"]


def test_an_attempt_that_exits_before_it_was_told_to_stop_has_made_it() -> None:
    hand = Hand(plan(job("a", timeout=1.0)))
    hand.start("a")

    assert hand.at(1.5).exit("a", 0) == ["a succeeded"]


def test_a_timeout_that_is_over_is_acted_upon_whatever_is_handed_in() -> None:
    hand = Hand(plan(job("a", timeout=1.0), job("b")))
    hand.start("a")

    assert hand.at(1.5).exit("b") == ["b succeeded", "stop a"]


def test_a_start_told_twice_does_not_prolong_the_timeout() -> None:
    hand = Hand(plan(job("a", timeout=2.0)))
    hand.start("a")

    hand.at(1.0).start("a")

    assert hand.scheduler.deadline() == 2.0


def test_the_deadline_is_the_earliest_and_forgets_what_is_over() -> None:
    hand = Hand(plan(job("a", timeout=5.0), job("b", timeout=9.0), timeout=20.0))
    hand.start("b", "a")

    assert hand.scheduler.deadline() == 5.0
    hand.at(1.0).exit("a")
    assert hand.scheduler.deadline() == 9.0
    hand.at(2.0).exit("b")
    assert hand.scheduler.deadline() is None


def test_a_late_word_about_an_attempt_that_is_over_changes_nothing() -> None:
    hand = Hand(plan(job("a", retry=Retry(count=1)), job("b"), workers=1))
    late = AttemptExited(job="a", attempt=1, seconds=1.0, exit=0)

    assert hand.exit("a", 1) == ["a failed, again in 0", "launch a again (2)"]
    assert hand.scheduler.handle(late, 0.0) == []
    assert hand.exit("a") == ["a succeeded", "launch b"]
    assert hand.start("a") == hand.exit("a", 1) == []


# Retries


def test_a_failed_attempt_is_tried_again_after_a_growing_delay_that_holds_no_slot() -> None:
    retry = Retry(count=3, delay=2.0, factor=3.0, cap=10.0)
    hand = Hand(plan(job("a", retry=retry), job("b"), job("c"), workers=1))

    assert hand.exit("a", 1) == ["a failed, again in 2", "launch b"]
    assert hand.scheduler.deadline() == 2.0
    assert hand.at(2.0).tick() == []  # no worker is free
    assert hand.scheduler.deadline() is None
    assert hand.at(3.0).exit("b") == ["b succeeded", "launch a again (2)"]
    assert hand.at(4.0).exit("a", signal=11) == ["a failed, again in 6", "launch c"]
    hand.exit("c")
    assert hand.at(10.0).tick() == ["launch a again (3)"]
    assert hand.at(11.0).exit("a", 1) == ["a failed, again in 10"]
    assert hand.at(21.0).tick() == ["launch a again (4)"]
    assert hand.at(22.0).exit("a", 1) == ["a failed"]
    assert hand.end("a").attempt == 4


def test_a_success_after_a_retry_is_a_success() -> None:
    hand = Hand(plan(job("a", retry=Retry(count=1)), job("b", "a")))
    hand.exit("a", 1)

    assert hand.exit("a", 0) == ["a succeeded", "launch b"]
    hand.exit("b")
    assert hand.scheduler.status is RunStatus.SUCCEEDED


def test_jitter_lengthens_a_delay_by_chance() -> None:
    hand = Hand(plan(job("a", retry=Retry(count=1, delay=10.0, cap=10.0, jitter=0.5))), chance=0.5)

    assert hand.exit("a", 1) == ["a failed, again in 12.5"]


def test_a_delay_that_outgrows_all_numbers_is_capped() -> None:
    hand = Hand(plan(job("a", retry=Retry(count=5000, delay=1.0, factor=10.0, cap=5.0))))
    hand.attempts["a"] = 1
    for _ in range(400):
        hand.exit("a", 1)
        hand.at(hand.now + 5.0).tick()

    assert hand.exit("a", 1) == ["a failed, again in 5"]


@pytest.mark.parametrize(
    ("on", "end", "again"),
    [
        (None, {"code": 1}, True),
        (None, {"code": 75}, True),
        (None, {"signal": 9}, True),
        (None, {"code": 65}, False),
        (None, {"code": 78}, False),
        (None, {"error": "not found"}, False),
        ((75, 65), {"code": 65}, True),
        ((75, 65), {"code": 1}, False),
        ((75,), {"signal": 9}, False),
        (("signal",), {"signal": 9}, True),
        (("signal",), {"code": 9}, False),
        (("signal", "timeout", 1), {"error": "not found"}, False),
        ((), {"code": 1}, False),
    ],
)
def test_what_is_worth_a_retry(on: tuple | None, end: dict, again: bool) -> None:
    hand = Hand(plan(job("a", retry=Retry(count=1, on=on))))

    assert hand.exit("a", **end)[0] == ("a failed, again in 0" if again else "a failed")


@pytest.mark.parametrize(("on", "again"), [(None, True), (("timeout",), True), ((15, 0, "signal"), False)])
def test_a_timeout_is_retried_by_its_own_name(on: tuple | None, again: bool) -> None:
    hand = Hand(plan(job("a", timeout=1.0, retry=Retry(count=1, on=on))))
    hand.start("a")
    hand.at(1.0).tick()

    said = hand.exit("a", 0)

    assert said == (["a timed-out, again in 0", "launch a again (2)"] if again else ["a timed-out"])


def test_the_next_attempt_has_its_own_timeout_and_its_own_outcome() -> None:
    hand = Hand(plan(job("a", timeout=5.0, retry=Retry(count=1))))
    hand.start("a")
    hand.at(5.0).tick()
    hand.at(6.0).exit("a", signal=15)

    assert hand.at(7.0).start("a") == []
    assert hand.scheduler.deadline() == 12.0
    assert hand.at(8.0).exit("a", 0) == ["a succeeded"]


# Stops


def test_a_signal_stops_what_runs_and_cancels_what_waits() -> None:
    jobs = (job("a"), job("b"), job("c", "a"), job("clean", "c", when=When.ALWAYS), job("bad"))
    hand = Hand(plan(*jobs, workers=2, timeout=60.0))

    assert hand.signal() == ["stop a", "stop b", "c cancelled", "clean cancelled", "bad cancelled"]
    assert hand.exit("a", signal=15) == ["a cancelled"]
    assert hand.scheduler.deadline() is None
    assert hand.exit("b", 0) == ["b cancelled"]
    assert hand.scheduler.done
    assert hand.scheduler.status is RunStatus.CANCELLED
    assert {end.reason for end in hand.scheduler.outcomes.values()} == {"the run was stopped"}


def test_a_second_signal_by_force_kills_what_is_still_there_once() -> None:
    hand = Hand(plan(job("a"), job("b")))
    hand.signal()
    hand.exit("b")

    assert hand.signal() == []
    assert hand.signal(force=True) == ["kill a"]
    assert hand.signal(force=True) == hand.signal() == []
    assert hand.scheduler.stopped is not None


def test_a_signal_ends_a_retry_delay_as_cancelled() -> None:
    hand = Hand(plan(job("a", retry=Retry(count=2, delay=9.0), timeout=1.0), job("b")))
    hand.start("a")
    hand.at(1.0).tick()
    hand.exit("a", signal=15, seconds=1.5)

    assert hand.signal() == ["a cancelled", "stop b"]
    assert hand.scheduler.deadline() is None
    end = hand.end("a")
    assert (end.attempt, end.signal, end.seconds, end.reason) == (1, 15, 1.5, "the run was stopped")


def test_a_failure_is_final_when_the_run_is_being_stopped() -> None:
    hand = Hand(plan(job("a", timeout=1.0, retry=Retry(count=9))))
    hand.start("a")
    hand.at(1.0).tick()

    assert hand.signal() == []  # it is being stopped already
    assert hand.exit("a", signal=15) == ["a timed-out"]
    assert hand.scheduler.status is RunStatus.FAILED


def test_failed_jobs_and_a_signal_make_a_cancelled_run() -> None:
    hand = Hand(plan(job("a"), job("b")))
    hand.exit("a", 1)
    hand.signal()
    hand.exit("b", signal=2)

    assert hand.scheduler.status is RunStatus.CANCELLED


def test_an_attempt_that_was_launched_but_has_not_started_is_stopped_too() -> None:
    hand = Hand(plan(job("a", timeout=1.0)))

    assert hand.signal() == ["stop a"]
    assert hand.start("a") == []
    assert hand.scheduler.deadline() is None
    assert hand.exit("a", error="stopped before it began") == ["a cancelled"]


def test_a_signal_after_the_end_changes_nothing() -> None:
    hand = Hand(plan(job("a")))
    hand.exit("a")

    assert hand.signal() == []
    assert hand.scheduler.stopped is None


def test_the_runs_timeout_stops_what_runs_and_fails_the_run() -> None:
    hand = Hand(plan(job("a", optional=True), job("b", "a"), timeout=10.0))

    assert hand.scheduler.deadline() == 10.0
    assert hand.at(10.0).tick() == ["stop a", "b cancelled"]
    assert hand.scheduler.deadline() is None
    assert hand.exit("a", 0) == ["a timed-out"]
    assert hand.end("a").reason == hand.end("b").reason == "over the run's timeout"
    assert hand.scheduler.stopped is not None
    assert hand.scheduler.stopped.reason is StopReason.RUN_TIMEOUT
    assert hand.scheduler.status is RunStatus.FAILED


def test_a_signal_after_the_runs_timeout_is_the_more_urgent_stop() -> None:
    hand = Hand(plan(job("a", retry=Retry(count=1)), job("b", "a"), timeout=1.0))
    hand.at(1.0).tick()

    assert hand.signal(force=True) == ["kill a"]
    assert hand.exit("a", signal=9) == ["a timed-out"]
    assert hand.scheduler.stopped is not None
    assert hand.scheduler.stopped.signal == 2


# Fail-fast


def test_fail_fast_stops_what_runs_and_cancels_what_waits_but_not_the_cleanups() -> None:
    jobs = (
        job("a"),
        job("b"),
        job("c", "b"),
        job("d", "a"),
        job("clean", "b", when=When.ALWAYS),
        job("alarm", "a", "b", when=When.FAILURE),
    )
    hand = Hand(plan(*jobs, fail_fast=True))

    assert hand.exit("a", 1) == ["a failed", "d skipped because of a", "stop b", "c cancelled"]
    assert hand.exit("b", 0) == ["b cancelled", "launch clean", "launch alarm"]
    assert hand.end("b").reason == hand.end("c").reason == "stopped because a failed"
    assert hand.exit("alarm") == ["alarm succeeded"]
    assert hand.exit("clean") == ["clean succeeded"]
    assert hand.scheduler.status is RunStatus.FAILED


def test_fail_fast_spares_a_running_and_a_ready_cleanup_and_its_retries() -> None:
    jobs = (
        job("one", when=When.ALWAYS, retry=Retry(count=1)),
        job("bad"),
        job("two", when=When.ALWAYS),
        job("more"),
    )
    hand = Hand(plan(*jobs, fail_fast=True, workers=2))

    assert hand.exit("bad", 1) == ["bad failed", "more cancelled", "launch two"]
    assert hand.exit("one", 1) == ["one failed, again in 0", "launch one again (2)"]


def test_fail_fast_waits_for_the_last_attempt() -> None:
    hand = Hand(plan(job("a", retry=Retry(count=1)), job("b"), fail_fast=True))

    assert hand.exit("a", 1) == ["a failed, again in 0", "launch a again (2)"]
    assert hand.exit("a", 1) == ["a failed", "stop b"]


def test_after_fail_fast_no_other_failure_is_retried() -> None:
    hand = Hand(plan(job("a"), job("b", timeout=1.0, retry=Retry(count=5)), fail_fast=True))
    hand.start("b")
    hand.at(1.0).tick()
    hand.exit("a", 1)

    assert hand.exit("b", signal=15) == ["b timed-out"]


def test_who_failed_first_is_named_even_if_others_fail_later() -> None:
    hand = Hand(plan(job("a"), job("b", timeout=1.0), job("c"), fail_fast=True))
    hand.start("b")
    hand.at(1.0).tick()
    hand.exit("a", 1)
    hand.exit("b", signal=15)

    assert hand.exit("c", signal=15) == ["c cancelled"]
    assert hand.end("c").reason == "stopped because a failed"


def test_a_signal_after_fail_fast_ends_the_cleanups_too() -> None:
    jobs = (job("a"), job("clean", "a", when=When.ALWAYS), job("next", "clean", when=When.ALWAYS))
    hand = Hand(plan(*jobs, fail_fast=True))
    hand.exit("a", 1)

    assert hand.signal() == ["stop clean", "next cancelled"]
    hand.exit("clean", signal=15)
    assert hand.scheduler.status is RunStatus.CANCELLED


def test_the_runs_timeout_still_holds_after_fail_fast() -> None:
    hand = Hand(plan(job("a"), job("clean", "a", when=When.ALWAYS), fail_fast=True, timeout=5.0))
    hand.exit("a", 1)

    assert hand.scheduler.deadline() == 5.0
    assert hand.at(5.0).tick() == ["stop clean"]
    assert hand.exit("clean") == ["clean timed-out"]


def test_without_fail_fast_a_failure_stops_nothing() -> None:
    hand = Hand(plan(job("a"), job("b"), job("c"), workers=2))

    assert hand.exit("a", 1) == ["a failed", "launch c"]
    assert hand.scheduler.stopped is None


# Size


def test_a_chain_of_jobs_of_any_length_is_blocked_without_recursion() -> None:
    count = 20_000
    chain = [job("j0"), *(job(f"j{n}", f"j{n - 1}") for n in range(1, count))]
    hand = Hand(plan(*chain))

    said = hand.exit("j0", 1)

    assert len(said) == count
    assert said[-1] == f"j{count - 1} skipped because of j0"
    assert hand.end("j5").outcome is Outcome.SKIPPED
