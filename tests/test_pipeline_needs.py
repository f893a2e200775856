# ruff: noqa: E501 (the table reads better unbroken)
"""Who waits for whom: phases, templates, single jobs, and circles."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_runner.model import Phase, Plan
from tests.support.files import plan_of, problems_of


def needs(plan: Plan) -> dict[str, tuple[str, ...]]:
    return {job.name: job.needs for job in plan.jobs}


def jobs(**wanted: str) -> str:
    """One job for each name, needing what its value lists."""
    return "".join(f"[jobs.{name}]\nrun = 'x'\nneeds = {needs!r}\n" for name, needs in wanted.items())


def test_a_need_may_name_a_template_a_copy_or_a_phase() -> None:
    plan = plan_of("""
        [phases]
        one = {}
        [jobs.t]
        phase = "one"
        run = "x"
        matrix = { id = "0..1" }
        [jobs.u]
        phase = "one"
        run = "x"
        [jobs.all]
        needs = "t"
        run = "x"
        [jobs.copy]
        needs = ["t-1"]
        run = "x"
        [jobs.phase]
        needs = ["one", "t"]
        run = "x"
    """)

    assert needs(plan) == {
        "t-0": (),
        "t-1": (),
        "u": (),
        "all": ("t-0", "t-1"),
        "copy": ("t-1",),
        "phase": ("t-0", "t-1", "u"),
    }


def test_every_job_of_a_phase_waits_for_all_jobs_of_the_phases_it_needs() -> None:
    plan = plan_of("""
        [phases]
        pre = {}
        sub = {}
        final = { needs = ["pre", "sub", "extra"] }
        [jobs.pre]
        phase = "pre"
        run = "x"
        [jobs.t]
        phase = "sub"
        run = "x"
        matrix = { id = "0..1" }
        [jobs.c]
        phase = "sub"
        needs = ["t"]
        run = "x"
        [jobs.extra]
        run = "x"
        [jobs.f]
        phase = "final"
        run = "x"
    """)

    assert needs(plan)["f"] == ("pre", "t-0", "t-1", "c", "extra")
    assert needs(plan)["c"] == ("t-0", "t-1")
    assert plan.phases[2] == Phase(name="final", needs=("pre", "sub", "extra"))


def test_a_phase_without_jobs_hands_its_needs_on() -> None:
    plan = plan_of("""
        [phases]
        a = {}
        empty = { needs = "a" }
        b = { needs = "empty" }
        [jobs.x]
        phase = "a"
        run = "x"
        [jobs.y]
        phase = "b"
        run = "x"
    """)

    assert needs(plan) == {"x": (), "y": ("x",)}


def test_a_need_may_follow_the_copys_own_parameters() -> None:
    plan = plan_of("""
        [jobs.extract]
        run = "x"
        matrix = { id = "0..1" }
        [jobs.setup]
        run = "x"
        [jobs.load]
        needs = ["extract-{id}", "setup"]
        run = "x"
        matrix = { id = "0..1" }
    """)

    assert needs(plan)["load-0"] == ("extract-0", "setup")
    assert needs(plan)["load-1"] == ("extract-1", "setup")


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (jobs(a="b", b="c", c="a"), ["9:9+3 jobs.c.needs: needs go in a circle: a → b → c → a | take one of these needs out"]),
        (jobs(x="a", a="b", b="a"), ["9:9+3 jobs.b.needs: needs go in a circle: a → b → a | take one of these needs out"]),
        (jobs(a="a"), ["3:9+3 jobs.a.needs: 'a' needs itself | "]),
        (jobs(a="b", tabel=""), ["3:9+3 jobs.a.needs: no phase or job called 'b' | ", "6:9+2 jobs.tabel.needs: expected text or a list of texts, got '' | "]),
        (jobs(a="tabel") + "[jobs.table]\nrun = 'x'\n", ["3:9+7 jobs.a.needs: no phase or job called 'tabel' | did you mean 'table'?"]),
        ("[phases]\np = { needs = 'q' }\nq = { needs = ['p'] }\n[jobs.a]\nrun = 'x'\nphase = 'p'\n",
         ["3:16+3 phases.q.needs.0: phases need each other in a circle: p → q → p | take one of these needs out"]),
        ("[phases]\np = { needs = 'p' }\n[jobs.a]\nrun = 'x'\nphase = 'p'\n",
         ["2:15+3 phases.p.needs: phases need each other in a circle: p → p | take one of these needs out"]),
        ("[phases]\np = {}\n" + jobs(a="p") + "phase = 'p'\n", ["5:9+3 jobs.a.needs: 'a' needs itself: it is in phase 'p' | "]),
        ("[phases]\np = {}\nf = { needs = ['p'] }\n" + jobs(a="b") + "phase = 'p'\n[jobs.b]\nrun = 'x'\nphase = 'f'\n",
         ["6:9+3 jobs.a.needs: needs go in a circle: a → b → a (phase f waits for it) | take one of these needs out"]),
        ("[phases]\nsub = {}\n[jobs.sub]\nrun = 'x'\n[jobs.b]\nrun = 'x'\nphase = 'sub'\n",
         ["3:7+3 jobs.sub: 'sub' is also a phase with other jobs | rename one of them, so that needs and --only are clear"]),
        (jobs(a="t-{idd}") + "matrix = { id = '0..1' }\n", ["3:12+5 jobs.a.needs: unknown parameter 'idd' | did you mean 'id'?"]),
        (jobs(a="t-{id}") + "matrix = { id = '0..1' }\n[jobs.t]\nrun = 'x'\nmatrix = { id = '0..0' }\n",
         ["3:9+8 jobs.a.needs: no phase or job called 't-1' | did you mean 't-0'?"]),
    ],
)  # fmt: skip
def test_needs_that_cannot_be_met_are_told(text: str, problems: list[str]) -> None:
    assert problems_of(text) == problems


def test_a_job_may_bear_the_name_of_the_phase_it_fills_alone() -> None:
    plan = plan_of(
        "[phases]\np = {}\nq = { needs = ['p'] }\n[jobs.p]\nrun='x'\nphase='p'\n[jobs.q]\nrun='x'\nphase='q'\n"
    )

    assert needs(plan) == {"p": (), "q": ("p",)}


def test_a_chain_of_thousands_is_no_problem() -> None:
    count = 3000
    text = "[jobs.j0]\nrun = 'x'\n" + "".join(jobs(**{f"j{n}": f"j{n - 1}"}) for n in range(1, count))

    assert len(plan_of(text).jobs) == count


@given(st.lists(st.lists(st.integers(0, 7), max_size=3), min_size=1, max_size=8))
def test_a_plan_is_made_exactly_if_there_is_an_order(graph: list[list[int]]) -> None:
    text = "".join(
        f"[jobs.j{job}]\nrun = 'x'\nneeds = {[f'j{need}' for need in needs if need < len(graph)]}\n"
        for job, needs in enumerate(graph)
    )

    done: set[int] = set()
    while ready := {
        job for job, needs in enumerate(graph) if job not in done and {n for n in needs if n < len(graph)} <= done
    }:
        done |= ready

    assert (problems_of(text) == []) == (len(done) == len(graph))
