"""Whatever the plan and whatever happens: what must always be true of a run."""

from __future__ import annotations

from collections import Counter

from hypothesis import event, given

from etl_runner.events import AttemptExited, JobFinished, JobRetrying
from etl_runner.model import Outcome, When
from etl_runner.scheduler import Announce, Launch, Stop
from tests.support.plans import Scenario, scenarios
from tests.support.reference import Answer, Reference
from tests.support.world import Step, World, ends, play


@given(scenarios())
def test_every_answer_is_the_one_of_the_reference(scenario: Scenario) -> None:
    world, reference = World(scenario), Reference(scenario)

    for step in world:
        assert _answer(step) == reference.step(step.stimulus, step.now)
        assert step.deadline == reference.deadline()
        assert world.scheduler.status == reference.status
        assert (world.scheduler.stopped and world.scheduler.stopped.reason) == reference.stopped
    assert world.scheduler.done
    assert reference.done
    event(f"ends {world.scheduler.status}")


@given(scenarios())
def test_every_job_ends_exactly_once(scenario: Scenario) -> None:
    world = World(scenario)

    told = ends(list(world))

    assert sorted(end.job for end in told) == sorted(job.name for job in scenario.plan.jobs)
    assert list(world.scheduler.outcomes.values()) == told
    assert world.scheduler.done


@given(scenarios())
def test_workers_and_pools_are_never_overbooked(scenario: Scenario) -> None:
    jobs = {job.name: job for job in scenario.plan.jobs}
    live: dict[str, int] = {}

    for step in play(scenario):
        if isinstance(step.stimulus, AttemptExited):
            live.pop(step.stimulus.job)
        for command in step.commands:
            if isinstance(command, Launch):
                assert command.job not in live
                live[command.job] = command.attempt
                places: Counter[str] = sum((Counter(jobs[name].pools) for name in live), Counter())
                assert len(live) <= scenario.plan.workers
                assert all(places[pool] <= room for pool, room in scenario.plan.pools.items())
    assert not live


@given(scenarios())
def test_a_job_starts_only_when_its_needs_allow_it_and_nothing_upstream_is_running(scenario: Scenario) -> None:
    jobs = {job.name: job for job in scenario.plan.jobs}
    over: dict[str, JobFinished] = {}

    for step in play(scenario):
        for command in step.commands:
            match command:
                case Announce(event=JobFinished() as end):
                    over[end.job] = end
                case Launch(job=name):
                    assert _upstream(scenario, name) <= over.keys()
                    if jobs[name].when is When.SUCCESS:
                        assert all(_lets_pass(over[need]) for need in jobs[name].needs)


@given(scenarios())
def test_who_blocked_a_job_is_a_failed_job_upstream_that_is_not_optional(scenario: Scenario) -> None:
    jobs = {job.name: job for job in scenario.plan.jobs}
    told = {end.job: end for end in ends(play(scenario))}

    for end in told.values():
        assert not end.because or end.outcome is Outcome.SKIPPED
        for root in end.because:
            assert root in _upstream(scenario, end.job)
            assert told[root].outcome.is_failure
            assert not jobs[root].optional


@given(scenarios())
def test_attempts_are_counted_and_stopped_at_most_once_and_once_more_by_force(scenario: Scenario) -> None:
    retries = {job.name: job.retry.count for job in scenario.plan.jobs}
    launched: Counter[str] = Counter()
    stops: dict[tuple[str, int], list[bool]] = {}

    for step in play(scenario):
        for command in step.commands:
            match command:
                case Launch(job=name, attempt=attempt):
                    launched[name] += 1
                    assert attempt == launched[name] <= retries[name] + 1
                case Stop(job=name, attempt=attempt, force=force):
                    stops.setdefault((name, attempt), []).append(force)
    assert all(forces in ([False], [True], [False, True]) for forces in stops.values())


@given(scenarios())
def test_what_is_due_is_done_and_something_is_always_awaited(scenario: Scenario) -> None:
    world, live = World(scenario), 0

    for step in world:
        live += sum(isinstance(command, Launch) for command in step.commands)
        live -= isinstance(step.stimulus, AttemptExited)
        if step.stimulus is not None:
            assert step.deadline is None or step.deadline > step.now
        assert world.scheduler.done or live or step.deadline is not None


@given(scenarios())
def test_the_same_happenings_get_the_same_answers(scenario: Scenario) -> None:
    assert play(scenario) == play(scenario)


def _answer(step: Step) -> Answer:
    answer = Answer()
    for command in step.commands:
        match command:
            case Announce(event=JobFinished() as end):
                answer.ends[end.job] = (end.outcome, end.because, end.attempt)
            case Announce(event=JobRetrying() as retrying):
                answer.retries[retrying.job] = (retrying.outcome, retrying.delay)
            case Stop(job=name, attempt=attempt, force=force):
                answer.stops.add((name, attempt, force))
            case Launch(job=name, attempt=attempt):
                answer.launches.append((name, attempt))
    return answer


def _lets_pass(end: JobFinished) -> bool:
    unwanted = end.outcome is Outcome.SKIPPED and not end.because
    return end.outcome.is_good or end.optional or unwanted


def _upstream(scenario: Scenario, name: str) -> set[str]:
    needs = {job.name: job.needs for job in scenario.plan.jobs}
    found: set[str] = set()
    waiting = list(needs[name])
    while waiting:
        need = waiting.pop()
        found.add(need)
        waiting += needs[need]
    return found
