"""Jobs whose copies become known during a run: what the scheduler does with them."""

from __future__ import annotations

from typing import Any

from hypothesis import event, given
from hypothesis import strategies as st
from msgspec.structs import replace

from etl_runner.events import JobExpanded
from etl_runner.expanding import copy_of, extended
from etl_runner.model import Copy, Expansion, Job, Outcome, Output, RunStatus, When
from etl_runner.scheduler import Launch, Stop
from tests.support.hand import Hand
from tests.support.plans import Draw, Scenario, behaviours, job, plan, scenarios
from tests.support.world import ends, play

FROM_FIND = Expansion(matrix={"x": Output(job="find", output="xs")})


def many(name: str, *needs: str, **settings: Any) -> Job:
    """A job whose copies are known when `find` is over."""
    return job(name, "find", *needs, expand=FROM_FIND, **settings)


# Texts


def test_copies_have_their_values_in_command_folder_and_environment() -> None:
    template = replace(many("load"), argv=("a-{x}", "{{x}}"), cwd="/in/{x}", env={"X": "{x}{x}"})

    made = copy_of(template, Copy(name="load-q", params={"x": "q q"}))

    assert (made.name, made.template, made.argv) == ("load-q", "load", ("a-q q", "{x}"))
    assert (made.cwd, made.env, made.params, made.expand) == ("/in/q q", {"X": "q qq q"}, {"x": "q q"}, None)


def test_values_are_quoted_for_a_shell_alone() -> None:
    expand = replace(FROM_FIND, shell=True)
    template = replace(many("load"), argv=("/bin/sh", "-c", "echo {x}"), env={"X": "{x}"}, expand=expand)

    made = copy_of(template, Copy(name="load-q", params={"x": "q; rm"}))

    assert made.argv[2] == "echo 'q; rm'"
    assert made.env == {"X": "q; rm"}


def test_what_needed_the_job_needs_all_its_copies_in_its_place() -> None:
    start = plan(job("find"), many("load"), job("other"), job("after", "load", "other"))
    copies = tuple(Copy(name=f"load-{x}", params={"x": x}) for x in "ab")

    whole = extended(start, [JobExpanded(job="load", copies=copies)])

    assert [one.name for one in whole.jobs] == ["find", "load-a", "load-b", "other", "after"]
    assert whole.jobs[-1].needs == ("load-a", "load-b", "other")
    assert extended(start, [JobExpanded(job="load"), JobExpanded(job="gone", copies=copies)]) == start


# The scheduler


def test_copies_are_asked_for_when_the_needs_are_over_and_run_in_the_jobs_place() -> None:
    hand = Hand(plan(job("find"), many("load"), job("after", "load"), workers=2))

    assert hand.first == ["launch find"]
    assert hand.exit("find") == ["find succeeded", "expand load"]
    assert hand.expand("load", "a", "b", "c") == ["launch a", "launch b"]
    assert hand.exit("b") == ["b succeeded", "launch c"]
    assert hand.exit("a") == ["a succeeded"]
    assert hand.exit("c") == ["c succeeded", "launch after"]
    assert hand.exit("after") == ["after succeeded"]
    assert hand.scheduler.done
    assert list(hand.scheduler.outcomes) == ["find", "b", "a", "c", "after"]


def test_copies_are_not_asked_for_where_the_run_is_over_its_timeout_by_then() -> None:
    hand = Hand(replace(plan(job("find"), many("load")), timeout=5.0))

    assert hand.at(6.0).exit("find") == ["find succeeded", "load cancelled"]
    assert hand.scheduler.done


def test_nothing_starts_while_copies_are_asked_for() -> None:
    hand = Hand(plan(job("find"), many("load"), job("other", "find"), workers=1), estimates={"load": 2.0, "other": 1.0})

    assert hand.exit("find") == ["find succeeded", "expand load"]
    assert hand.expand("load", "a") == ["launch a"]


def test_where_there_are_no_values_the_job_is_skipped_and_blocks_nobody() -> None:
    hand = Hand(plan(job("find"), many("load"), job("after", "load")))
    hand.exit("find")

    assert hand.expand("load") == ["load skipped", "launch after"]
    assert hand.end("load").reason == "there are no values for it"


def test_where_the_values_are_bad_the_job_fails_and_says_why() -> None:
    hand = Hand(plan(job("find"), many("load"), job("after", "load")))
    hand.exit("find")

    assert hand.expand("load", error="no list") == ["load failed", "after skipped because of load"]
    assert hand.end("load").reason == "no list"
    assert hand.scheduler.status is RunStatus.FAILED


def test_a_job_whose_source_failed_is_blocked_without_being_asked_for() -> None:
    hand = Hand(plan(job("find"), many("load"), job("after", "load")))

    assert hand.exit("find", 1) == [
        "find failed", "load skipped because of find", "after skipped because of find",
    ]  # fmt: skip
    assert hand.scheduler.done


def test_what_comes_after_the_run_was_stopped_changes_nothing() -> None:
    hand = Hand(plan(job("find"), many("load"), job("after", "load")))
    hand.exit("find")

    assert hand.signal() == ["load cancelled", "after cancelled"]
    assert hand.expand("load", error="no list") == hand.expand("load", "a") == []
    assert hand.end("load").outcome is Outcome.CANCELLED


def test_copies_of_one_template_with_a_past_go_longest_first() -> None:
    hand = Hand(plan(job("find"), many("load"), workers=1), estimates={"load": 2.0, "b": 5.0, "a": 1.0})
    hand.exit("find")

    assert hand.expand("load", "a", "new", "b") == ["launch b"]
    assert hand.exit("b") == ["b succeeded", "launch new"]


# Whatever happens: a run with copies that become known is the run of the plan that had them from the start


@st.composite
def pairs(draw: Draw) -> tuple[Scenario, Scenario]:
    """The same scenario twice: with copies known only during the run, and from the start."""
    drawn = draw(scenarios())
    some = draw(st.lists(st.sampled_from([one.name for one in drawn.plan.jobs]), unique=True, max_size=2))
    settings: dict[str, Any] = {
        "when": draw(st.sampled_from([When.SUCCESS, When.SUCCESS, When.ALWAYS, When.FAILURE])),
        "optional": draw(st.booleans()),
        "timeout": draw(st.sampled_from([None, 2.0])),
        "pools": draw(st.sampled_from([{}, {"db": 2}])),
    }
    names = [f"many-{n}" for n in range(draw(st.integers(1, 3)))]
    copies = tuple(Copy(name=name, params={"x": name}) for name in names)
    others = (*drawn.plan.jobs, job("find"), job("after", "many", when=draw(st.sampled_from(list(When)))))
    start = replace(drawn.plan, jobs=(*others, many("many", *some, **settings)))
    does = {name: (draw(behaviours()),) for name in ("find", "after", *names)}
    dynamic = replace(
        drawn,
        plan=start,
        behaviours={**drawn.behaviours, **does},
        estimates={**drawn.estimates, "many": draw(st.sampled_from([0.0, 1.0, 4.0]))},
        copies={"many": copies},
    )
    return dynamic, replace(dynamic, plan=extended(start, [JobExpanded(job="many", copies=copies)]))


@given(pairs())
def test_a_run_that_learns_of_copies_goes_as_if_it_had_known_them(pair: tuple[Scenario, Scenario]) -> None:
    dynamic, static = map(play, pair)

    def did(steps: list[Any]) -> list[Any]:
        return [(s.now, c) for s in steps for c in s.commands if isinstance(c, Launch | Stop)]

    assert did(dynamic) == did(static)
    told = {end.job: (end.outcome, end.because) for end in ends(dynamic)}
    if "many" in told:  # it came to nothing: so did every copy
        told |= dict.fromkeys((copy.name for copy in pair[0].copies["many"]), told.pop("many"))
    assert told == {end.job: (end.outcome, end.because) for end in ends(static)}
    event("copies ran" if any(command.job == "many-0" for _, command in did(dynamic)) else "no copy ran")
