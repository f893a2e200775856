"""Plans for tests: by hand, and at random with a script of what happens to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st
from msgspec import Struct

from etl_runner.model import Copy, Job, Plan, Retry, When

Draw = st.DrawFn


def job(name: str, *needs: str, **settings: Any) -> Job:
    """A job that needs others; its template is its name without the number."""
    return Job(
        name=name,
        template=name.rstrip("0123456789-"),
        argv=("true",),
        cwd="/",
        needs=needs,
        **settings,
    )


def plan(*jobs: Job, **settings: Any) -> Plan:
    return Plan(pipeline="test", jobs=jobs, **settings)


class Behaviour(Struct, frozen=True, kw_only=True):
    """What one attempt does: `boot` seconds to AttemptStarted, `seconds` more to its end, `wind_down` when stopped.

    Just one of `exit`, `signal`, `error` is set. `late`: announced as started even after a stop, and twice.
    """

    boot: float = 0.0
    seconds: float = 1.0
    exit: int | None = 0
    signal: int | None = None
    error: str = ""
    wind_down: float = 0.0
    exit_when_stopped: int | None = None
    late: bool = False


class Scenario(Struct, frozen=True, kw_only=True):
    """A plan and all that is outside the scheduler's power. A job's last behaviour stands for all later attempts.

    `stops` are instants of a signal, and whether by force. `lag` is how late deadlines are handed in. `copies` are
    those of jobs with an expansion.
    """

    plan: Plan
    behaviours: dict[str, tuple[Behaviour, ...]] = {}
    estimates: dict[str, float] = {}
    stops: tuple[tuple[float, bool], ...] = ()
    lag: float = 0.0
    copies: dict[str, tuple[Copy, ...]] = {}

    def behaviour(self, job: str, attempt: int) -> Behaviour:
        known = self.behaviours.get(job, (Behaviour(),))
        return known[min(attempt, len(known)) - 1]


POOLS: Mapping[str, int] = {"db": 3, "api": 1}
_SECONDS = st.sampled_from([0.0, 1.0, 2.0, 3.0, 5.0, 8.0])
_PAUSES = st.sampled_from([0.0, 0.0, 0.5, 2.0])
_ENDS = st.sampled_from(
    [(0, None, "")] * 4 + [(1, None, ""), (65, None, ""), (None, 9, ""), (None, None, "no such file")]
)
_WHEN = st.sampled_from([When.SUCCESS] * 4 + [When.ALWAYS, When.FAILURE])
_RETRIES = st.one_of(
    st.just(Retry()),
    st.builds(
        Retry,
        count=st.integers(0, 2),
        delay=st.sampled_from([0.0, 1.0, 3.0]),
        cap=st.sampled_from([None, 4.0]),
        on=st.sampled_from([None, (1,), ("signal",), ("timeout", 65)]),
    ),
)


@st.composite
def behaviours(draw: Draw) -> Behaviour:
    code, signal, error = draw(_ENDS)
    return Behaviour(
        boot=draw(_PAUSES),
        seconds=draw(_SECONDS),
        exit=code,
        signal=signal,
        error=error,
        wind_down=draw(_PAUSES),
        exit_when_stopped=draw(st.sampled_from([None, 0, 1])),
        late=draw(st.booleans()),
    )


@st.composite
def _job(draw: Draw, number: int, *, pooled: bool, plain: bool) -> Job:
    needs = draw(st.sets(st.integers(0, number - 1), max_size=3)) if number else ()
    name, named = f"j{number}", tuple(f"j{need}" for need in sorted(needs))
    places = draw(st.dictionaries(st.just("db"), st.integers(0, 3)) if pooled else st.just({}))
    if pooled and draw(st.integers(0, 3)) == 0:
        places["api"] = 1
    if plain:
        return job(name, *named, pools=places)
    return job(
        name,
        *named,
        pools=places,
        when=draw(_WHEN),
        optional=draw(st.integers(0, 4)) == 0,
        timeout=draw(st.sampled_from([None, None, 2.0, 4.0])),
        retry=draw(_RETRIES),
    )


@st.composite
def plans(draw: Draw, *, pooled: bool = True, plain: bool = False, most: int = 7) -> Plan:
    """Acyclic plans in any file order. `plain` ones have only needs, workers and (if `pooled`) pools."""
    jobs = [draw(_job(number, pooled=pooled, plain=plain)) for number in range(draw(st.integers(1, most)))]
    return plan(
        *draw(st.permutations(jobs)),
        workers=draw(st.integers(1, 3)),
        pools=dict(POOLS),
        fail_fast=not plain and draw(st.integers(0, 3)) == 0,
        timeout=None if plain else draw(st.sampled_from([None, None, None, 4.0, 9.0])),
    )


@st.composite
def scenarios(draw: Draw) -> Scenario:
    """Anything that can happen to a run."""
    drawn = draw(plans())
    names = [job.name for job in drawn.jobs]
    return Scenario(
        plan=drawn,
        behaviours={name: tuple(draw(st.lists(behaviours(), min_size=1, max_size=2))) for name in names},
        estimates={name: draw(_SECONDS) for name in names if draw(st.booleans())},
        stops=tuple(
            draw(
                st.one_of(
                    st.just([]),
                    st.lists(st.tuples(st.sampled_from([0.0, 1.0, 2.5, 4.0, 7.0]), st.booleans()), max_size=3),
                )
            )
        ),
        lag=draw(st.sampled_from([0.0, 0.0, 0.25])),
    )


@st.composite
def timed_plans(draw: Draw, *, pooled: bool = False) -> tuple[Plan, dict[str, float]]:
    """Plain plans and how long their jobs take."""
    drawn = draw(plans(pooled=pooled, plain=True, most=9))
    return drawn, {job.name: draw(_SECONDS) for job in drawn.jobs}
