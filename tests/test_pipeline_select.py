"""A part of a plan: globs, phases, tags, what is needed and what needs; the order stays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_runner.errors import UsageError
from etl_runner.model import Job, Plan
from etl_runner.pipeline import select
from tests.support.files import plan_of

PLAN = plan_of("""
    [phases]
    pre = {}
    sub = {}
    final = { needs = ["pre", "sub"] }
    [jobs.pre]
    phase = "pre"
    run = "x"
    tags = "quick"
    [jobs.table]
    phase = "sub"
    run = "x"
    matrix = { id = "0..2" }
    [jobs.clean]
    phase = "sub"
    needs = "table"
    run = "x"
    tags = ["quick", "db"]
    [jobs.final]
    phase = "final"
    run = "x"
""")


def names(plan: Plan) -> str:
    return " ".join(job.name for job in plan.jobs)


@pytest.mark.parametrize(
    ("only", "skip", "left"),
    [
        ([], [], "pre table-0 table-1 table-2 clean final"),
        (["table-1"], [], "table-1"),
        (["table"], [], "table-0 table-1 table-2"),
        (["sub"], [], "table-0 table-1 table-2 clean"),
        (["quick"], [], "pre clean"),
        (["table-[01]", "pre"], [], "pre table-0 table-1"),
        (["*"], ["t*"], "pre clean final"),
        (["+clean"], [], "table-0 table-1 table-2 clean"),
        (["table-1+"], [], "table-1 clean final"),
        (["+table-1+"], [], "table-1 clean final"),
        (["+clean+"], ["db"], "table-0 table-1 table-2 final"),
        ([], ["sub"], "pre final"),
        ([], ["+clean"], "pre final"),
        (["pre,table-1"], [], "pre table-1"),
        (["+clean, pre"], ["table-[0,1]"], "pre table-2 clean"),
    ],
)
def test_selectors_choose_jobs(only: list[str], skip: list[str], left: str) -> None:
    assert names(select(PLAN, only=only, skip=skip)) == left


def test_needs_on_jobs_left_out_are_dropped_and_phases_without_jobs_too() -> None:
    plan = select(PLAN, only=["clean", "final"])

    assert {job.name: job.needs for job in plan.jobs} == {"clean": (), "final": ("clean",)}
    assert [(phase.name, phase.needs) for phase in plan.phases] == [("sub", ()), ("final", ("sub",))]


def test_the_order_that_came_from_a_job_left_out_stays() -> None:
    chain = plan_of("[jobs.a]\nrun='x'\n[jobs.b]\nrun='x'\nneeds='a'\n[jobs.c]\nrun='x'\nneeds='b'\n")

    assert select(chain, skip=["b"]).jobs[1].needs == ("a",)


@pytest.mark.parametrize(
    ("only", "skip", "message", "hint"),
    [
        (["tabel"], [], "no job, phase or tag called 'tabel'", "did you mean 'table'?"),
        ([], ["zzz*"], "no job, phase or tag called 'zzz*'", "there are: pre, sub, final, quick, table, clean, db"),
        (["+nix+"], [], "no job, phase or tag called 'nix'", "there are: "),
        (["pre"], ["pre"], "nothing is left to run", "--only and --skip together leave no job"),
        ([""], [], "no job, phase or tag called ''", "there are: "),
    ],
)
def test_a_selector_that_fits_nothing_is_wrong_use(only: list[str], skip: list[str], message: str, hint: str) -> None:
    with pytest.raises(UsageError) as found:
        select(PLAN, only=only, skip=skip)

    assert (found.value.message, found.value.hint[: len(hint)]) == (message, hint)


def _before(plan: Plan) -> dict[str, set[str]]:
    """All that must be over before each job, directly or not (jobs stand in an order of their needs)."""
    before: dict[str, set[str]] = {}
    for job in plan.jobs:
        before[job.name] = set(job.needs).union(*(before[need] for need in job.needs))
    return before


@given(st.lists(st.sets(st.integers(0, 8), max_size=3), min_size=1, max_size=9), st.data())
def test_what_is_left_keeps_its_order(graph: list[set[int]], data: st.DataObject) -> None:
    plan = Plan(
        pipeline="p",
        jobs=tuple(
            Job(name=f"j{n}", template=f"j{n}", argv=("x",), cwd="/", needs=tuple(f"j{i}" for i in needs if i < n))
            for n, needs in enumerate(graph)
        ),
    )
    wanted = data.draw(st.sets(st.sampled_from([job.name for job in plan.jobs]), min_size=1))

    left = select(plan, only=sorted(wanted))

    whole = _before(plan)
    assert _before(left) == {job.name: whole[job.name] & wanted for job in left.jobs}
    assert [job.name for job in left.jobs] == [job.name for job in plan.jobs if job.name in wanted]
