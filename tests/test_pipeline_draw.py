"""Plans drawn: tree, Mermaid, Graphviz, JSON, and the forecast."""

from __future__ import annotations

import json
from textwrap import dedent

import pytest

from etl_runner.pipeline import select
from etl_runner.pipeline.forecast import forecast
from etl_runner.pipeline.graphs import draw_dot, draw_mermaid, plan_document
from etl_runner.pipeline.tree import draw_tree
from tests.support.files import plan_of

WAREHOUSE = """
    [pipeline]
    name = "warehouse"
    workers = 5
    [defaults]
    timeout = "10m"
    retries = 2
    [pools]
    odoo = 3
    [phases]
    pre = {}
    sub = {}
    final = { needs = ["pre", "sub"] }
    [jobs.pre]
    phase = "pre"
    run = "python -m etl_jobs.pre"
    [jobs.table]
    phase = "sub"
    matrix = { id = "0..19" }
    run = "python -m etl_jobs.table --id {id}"
    pool = "odoo"
    [jobs.cleanup-1]
    phase = "sub"
    needs = ["table"]
    when = "always"
    run = "python -m etl_jobs.cleanup staging"
    [jobs.cleanup-2]
    phase = "sub"
    needs = ["table"]
    optional = true
    run = "python -m etl_jobs.cleanup vacuum"
    [jobs.final]
    phase = "final"
    run = "python -m etl_jobs.final"
    timeout = "30m"
"""
PLAN = plan_of(WAREHOUSE)


def test_the_tree_shows_phases_commands_limits_and_what_stands_under_what() -> None:
    estimates = {**{f"table-{n}": 4.9 for n in range(20)}, "final": 70.0}

    assert draw_tree(PLAN, estimates=estimates, source="etl.toml") == dedent("""\
        warehouse   24 jobs · 3 phases · 5 workers                              etl.toml
        each job: 10m limit · 2 retries

        pre     starts at once                                                     1 job
        └─ pre                   python -m etl_jobs.pre
        sub     starts at once                                                   22 jobs
        └─ table-0 … table-19    python -m etl_jobs.table --id {id}           ~4.9s each
           │                     pool odoo (3 at once)
           ├─ cleanup-1          python -m etl_jobs.cleanup staging
           │                     runs always
           └─ cleanup-2          python -m etl_jobs.cleanup vacuum
                                 optional
        final   after pre, sub                                                     1 job
        └─ final                 python -m etl_jobs.final                        ~1m 10s
                                 30m limit · 2 retries""")


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_no_line_of_the_tree_is_too_wide_and_ascii_is_ascii(width: int) -> None:
    unicode, ascii_ = (draw_tree(PLAN, width=width, unicode=u, source="etl.toml") for u in (True, False))

    assert max(map(len, unicode.splitlines())) <= width
    assert max(map(len, ascii_.splitlines())) <= width
    assert ascii_.isascii()


def test_jobs_without_phases_are_drawn_by_their_needs() -> None:
    plan = plan_of("""
        [jobs.a]
        run = "x"
        [jobs.b]
        run = "x"
        [jobs.c]
        needs = ["a", "b"]
        run = "x"
        [jobs.d]
        needs = ["a", "c"]
        run = ["sh", "-c", "echo 'a b'"]
        [jobs.e]
        needs = ["d"]
        shell = true
        run = '''
          one
          two
        '''
    """)

    assert draw_tree(plan).split("\n\n")[1] == dedent("""\
        ├─ a                     x
        ├─ b                     x
        └─ c                     x
           │                     after a, b
           └─ d                  sh -c 'echo '"'"'a b'"'"''
              └─ e               one two""")


def test_a_long_chain_is_not_drawn_deeper_and_deeper() -> None:
    chain = "[jobs.j0]\nrun = 'x'\n" + "".join(f"[jobs.j{n}]\nrun = 'x'\nneeds = 'j{n - 1}'\n" for n in range(1, 50))

    lines = draw_tree(plan_of(chain)).splitlines()

    assert max(line.find("j") for line in lines if "─ j" in line) == 3 * 7
    assert sum("after j" in line for line in lines) == 49 // 7


def test_a_part_of_a_plan_is_drawn_too() -> None:
    drawn = draw_tree(select(PLAN, only=["table-3", "table-7", "final"]))

    assert "table-3, table-7" in drawn
    assert "--id {id}" in drawn
    assert "final   after sub" in drawn


def test_mermaid_has_a_subgraph_for_each_phase() -> None:
    assert draw_mermaid(PLAN) == dedent("""\
        flowchart LR
          subgraph p0["pre"]
            j0["pre"]
          end
          subgraph p1["sub"]
            j1["table ×20"]
            j2["cleanup-1"]
            j3["cleanup-2"]
          end
          subgraph p2["final"]
            j4["final"]
          end
          p0 --> p2
          p1 --> p2
          j1 --> j2
          j1 --> j3""")


def test_dot_has_a_cluster_for_each_phase() -> None:
    dot = draw_dot(PLAN)

    assert '"table" -> "final" [ltail=cluster_1, lhead=cluster_2];' in dot
    assert '  "table" -> "cleanup-1";' in dot
    assert '    "table" [label="table ×20"];' in dot
    assert dot.count("{") == dot.count("}") == 4


def test_the_document_is_json_and_tells_only_the_names_of_the_environment() -> None:
    plan = plan_of("[jobs.a]\nrun = 'x'\nenv = { TOKEN = 'hunter2', A = 'b' }\n")

    text = json.dumps(plan_document(plan, estimates={"a": 1.5}))

    assert "hunter2" not in text
    assert json.loads(text)["jobs"][0]["env"] == ["A", "TOKEN"]
    assert json.loads(text)["jobs"][0]["expected_seconds"] == 1.5


def test_the_forecast_says_how_long_for_how_many_workers_and_what_decides() -> None:
    estimates = {**{f"table-{n}": 5.0 for n in range(20)}, "pre": 1.0, "cleanup-1": 2.0, "final": 4.0}
    plan = plan_of(WAREHOUSE.replace('pool = "odoo"', ""))

    found = forecast(plan, estimates)

    assert found is not None
    assert found.text() == dedent("""\
        Expected ~26s with 5 workers, ~21s with 8, never below 11s
        (table-0 → cleanup-1 → final).
        From the last runs. 1 job never ran: counted as 0s.""")
    assert found.document()["seconds_by_workers"] == {"5": 26.0, "8": 21.0}


def test_without_any_past_there_is_no_forecast() -> None:
    assert forecast(PLAN, {}) is None
