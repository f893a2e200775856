"""Whatever is in the file: a pipeline, or problems that stand in it. Nothing else comes out."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from etl_runner.pipeline import PipelineProblems, select
from etl_runner.pipeline.graphs import draw_dot, draw_mermaid, plan_document
from etl_runner.pipeline.tree import draw_tree
from tests.support.files import read

LINES = """\
[pipeline]
name = "w"
workers = 5
schedule = "0 3 * * 1-5"
timeout = "2h"
env = { A = "${HOME}", B = "{day}" }
[defaults]
timeout = "10m"
retries = 2
env = { B = "${A:-x}" }
pool = "p"
[params]
day = "x"
[pools]
p = 8
[phases]
pre = {}
sub = { needs = "pre" }
final = { needs = ["pre", "sub"] }
[jobs.pre]
run = "python -m x {day}"
phase = "pre"
[jobs.table]
run = ["x", "{id}", "${A}"]
matrix = { id = "0..3", k = ["a", "b"] }
phase = "sub"
needs = ["pre"]
pools = { p = 2 }
[jobs.clean]
run = "a | b > {{c}}"
shell = true
needs = ["table", "table-3-a"]
when = "always"
[jobs.final]
run = "x 'y z'"
needs = ["clean", "table-0-b"]
retry_on = [1, "timeout"]
[profiles.prod]
pipeline.workers = 10
jobs.table.matrix = { id = [0, 3] }
[profiles.prod.jobs.new]
run = "x"
""".splitlines()

TOKENS = [
    "{", "}", "[", "]", "=", '"', "\'", "\\", ",", ".", "#", "${", "{{", "..", "\n", "\t", "\x00", "é", "日", "-", "0",
    "[]", "{}", "1e9", "true", "pre", "table", "jobs", "needs", "run", "command", "\r\n", "\ufeff", "inf",
]  # fmt: skip


WORDS = st.sampled_from(sorted({word for line in LINES for word in re.findall(r"\w+", line)}))


@st.composite
def files(draw: st.DrawFn) -> str:
    """The lines above, some left out, put twice, swapped, or with a piece or a word of them replaced."""
    lines = list(LINES)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        match draw(st.integers(0, 9)):
            case 0:
                del lines[at]
            case 1:
                lines.insert(draw(st.integers(0, len(lines))), lines[at])
            case 2:
                other = draw(st.integers(0, len(lines) - 1))
                lines[at], lines[other] = lines[other], lines[at]
            case n if n > 3:
                start, end = draw(st.sampled_from([m.span() for m in re.finditer(r"\w+|$", lines[at])]))
                lines[at] = lines[at][:start] + draw(WORDS) + lines[at][end:]
            case _:
                start = draw(st.integers(0, len(lines[at])))
                end = start + draw(st.integers(0, 3))
                lines[at] = lines[at][:start] + draw(st.sampled_from(TOKENS)) + lines[at][end:]
    return "\n".join(lines)


@given(files(), st.sampled_from([None, "prod"]))
def test_any_text_gives_a_pipeline_or_problems_that_stand_in_it(text: str, profile: str | None) -> None:
    try:
        pipeline = read(text, env={"HOME": "/h"}, profile=profile if "[profiles.prod]" in text else None)
    except PipelineProblems as found:
        lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
        assert found.problems
        for problem in found.problems:
            assert lines[problem.line - 1] == problem.text
            assert 1 <= problem.col <= len(problem.text) + 1
        return
    plan = pipeline.plan()
    names = [job.name for job in plan.jobs]
    assert len(set(names)) == len(names)
    assert {need for job in plan.jobs for need in job.needs} <= set(names)
    assert select(plan, only=["*"]).jobs == plan.jobs
    assert all((draw_tree(plan), draw_mermaid(plan), draw_dot(plan), plan_document(plan)))
