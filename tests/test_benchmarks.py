"""The benchmarks' harness: what it would call a result is one."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.__main__ import BENCHES, LOADS, LONG, table
from benchmarks.commands import ROOT, environment, peer
from benchmarks.measure import BenchmarkError, Rounds, Row, Spent, piped, run, stopped_with_us
from benchmarks.shape import CLEANUP, FINAL, PRE, TABLE, TABLES, best_makespan, simple_bound
from tests.support.folders import entered_by_all

WHATS = {
    "copy": [
        "CSV: copying 200 rows × 10 columns",
        "CSV: the whole load, first time",
        "CSV: the whole load as replace",
        "CSV: the whole load, nothing new",
    ],
    "parquet": ["Parquet: copying 200 rows × 10 columns", "Parquet: the whole load, first time"],
    "transfer": [
        "PostgreSQL: copying 200 rows × 10 columns",
        "PostgreSQL: copying 200 rows × 10 columns",
        "PostgreSQL: the whole load, first time",
    ],
    "snapshot": [
        *(f"snapshot of 200 rows, {share} % changed, indexed" for share in (1, 10, 100)),
        *(f"snapshot of 200 rows, {share} % changed, key only" for share in (1, 10, 100)),
        "of 1 % changed, key only: the change alone",
    ],
    "parallel": ["20 tables of 200 rows, 5 workers", "the sample pipeline, 5 workers"],
    "memory-of-loads": [f"memory to load 200 rows from {kind}" for kind in ("CSV", "Parquet", "PostgreSQL")],
}


@pytest.fixture
def temporary() -> Iterator[Path]:
    """Where benchmarks put their folders; it must be empty afterwards."""
    with entered_by_all() as folder:
        yield folder


def benchmarks(temporary: Path, *words: str, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks", *words],
        cwd=ROOT,
        env=environment(TMPDIR=str(temporary), **env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def processes_that_name(folder: Path) -> list[str]:
    """The command lines in which a folder is named."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in words:
            found.append(words)
    return found


@pytest.mark.parametrize("name", WHATS)
def test_a_bench_of_loads_measures_a_few_rows(name: str, temporary: Path) -> None:
    if name == "memory-of-loads" and not Path("/proc/self/smaps_rollup").exists():
        pytest.skip("asks Linux's /proc")
    process = benchmarks(temporary, name, "--rows", "200", "--rounds", "1")

    answer, said = process.communicate(timeout=100)

    assert process.returncode == 0, said
    lines = [line for line in answer.splitlines() if line.startswith("|")][2:]
    assert [line.split("|")[1].strip() for line in lines] == WHATS[name]
    assert {line.count("|") for line in lines} == {8}
    assert max(map(len, lines)) <= 120
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_benchmark_leaves_nothing_behind(number: signal.Signals, temporary: Path) -> None:
    process = benchmarks(temporary, "copy", "--rows", "3000000")
    limit = time.monotonic() + 60
    while not list(temporary.glob("*/sale.csv")):  # psql is writing it
        assert time.monotonic() < limit and process.poll() is None
        time.sleep(0.01)

    process.send_signal(number)
    _, said = process.communicate(timeout=60)

    assert process.returncode == 130
    assert said.splitlines() == ["copy …", "copy: stopped"]
    assert list(temporary.iterdir()) == []
    assert processes_that_name(temporary) == []


def test_a_bench_that_fails_is_told_and_the_others_are_shown(temporary: Path) -> None:
    nowhere = {"ETL_PG_BIN": "/nowhere", "XDG_CACHE_HOME": str(temporary)}
    process = benchmarks(temporary, "copy", "peers", **nowhere)

    answer, said = process.communicate(timeout=60)

    assert process.returncode == 1
    assert "/nowhere" in said
    assert "peers: dlt and pandas are not here" in answer


@pytest.mark.parametrize("words", [["--rows", "0"], ["--rounds", "many"]])
def test_what_is_no_number_is_refused(words: list[str], temporary: Path) -> None:
    process = benchmarks(temporary, "copy", *words)

    _, said = process.communicate(timeout=60)

    assert process.returncode == 2
    assert "is not a number from 1 on" in said


def test_the_help_names_every_bench() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout

    assert [name for name in (*BENCHES, *LOADS, *LONG) if name not in answer] == []


def test_the_readme_says_what_every_bench_compares() -> None:
    readme = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")

    assert [name for name in (*BENCHES, *LOADS, *LONG) if f"| `{name}` | " not in readme] == []


def test_a_bench_that_is_not_there_is_refused_with_those_that_are(temporary: Path) -> None:
    process = benchmarks(temporary, "copi")

    _, said = process.communicate(timeout=60)

    assert process.returncode == 2
    assert "no benchmark 'copi': choose from dispatch, " in said


def test_a_peer_that_is_missing_is_named_with_what_installs_it(temporary: Path) -> None:
    process = benchmarks(temporary, "peers", XDG_CACHE_HOME=str(temporary))

    answer, said = process.communicate(timeout=60)

    assert process.returncode == 0, said
    assert "dlt and pandas are not here: python -m benchmarks.peers installs them in" in answer


def test_a_program_that_is_missing_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    assert peer("xargs", package="findutils") == ("", "xargs is not here: apt install findutils")


def makespan_of_list(*, workers: int, pre_at: int) -> float:
    """The shape run by a list: the tables, with `pre` as the one number `pre_at`; each takes the first free worker."""
    free = [0.0] * workers
    pre_end = tables_end = 0.0
    for place in range(TABLES + 1):
        worker = free.index(min(free))
        free[worker] += PRE if place == pre_at else TABLE
        if place == pre_at:
            pre_end = free[worker]
        else:
            tables_end = max(tables_end, free[worker])
    return max(pre_end, tables_end + CLEANUP) + FINAL


@pytest.mark.parametrize("workers", [3, 4, 5, 6, 7, 10, 20])
def test_the_best_schedule_is_no_worse_than_any_list_and_no_better_than_the_bound(workers: int) -> None:
    lists = [makespan_of_list(workers=workers, pre_at=place) for place in range(TABLES + 1)]

    best = best_makespan(workers)

    assert simple_bound(workers) - 1e-9 <= best <= min(lists) + 1e-9


def test_the_best_schedules_of_the_documented_worker_counts() -> None:
    assert [round(best_makespan(workers), 3) for workers in (3, 5, 10)] == [2.3, 1.45, 0.85]


def test_rounds_interleave_and_compare_what_ran_beside_each_other() -> None:
    order: list[str] = []
    seconds = {"ours": iter([9.0, 1.0, 2.0, 30.0]), "peer": iter([9.0, 1.0, 1.0, 10.0])}

    def case(name: str) -> Spent:
        order.append(name)
        return Spent(seconds=next(seconds[name]))

    rounds = Rounds({name: lambda name=name: case(name) for name in seconds}, rounds=3)  # type: ignore[misc]

    assert order == ["ours", "peer", "ours", "peer", "peer", "ours", "ours", "peer"]
    assert rounds.ratio("ours", "peer") == 2.0
    assert (rounds.seconds("ours"), rounds.seconds("peer")) == (2.0, 1.0)


def test_a_command_that_fails_is_no_measurement() -> None:
    with pytest.raises(BenchmarkError, match="exit 3"):
        run([sys.executable, "-c", "raise SystemExit(3)"])


@pytest.mark.parametrize("broken", ["writer", "reader"])
def test_two_commands_and_a_pipe_are_no_measurement_where_one_fails(broken: str) -> None:
    code = {"writer": "print('rows')", "reader": "import sys; assert sys.stdin.read()[:4] == 'rows'"}
    commands = {name: [sys.executable, "-c", words] for name, words in code.items()}
    assert piped(commands["writer"], commands["reader"], env=environment()).seconds > 0

    commands[broken][-1] += "; raise SystemExit(3)"

    with pytest.raises(BenchmarkError, match="exit 3"):
        piped(commands["writer"], commands["reader"], env=environment())


def test_a_command_ends_with_the_benchmark() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])

    with pytest.raises(KeyboardInterrupt), stopped_with_us(process):
        raise KeyboardInterrupt

    assert process.returncode == -signal.SIGTERM


def test_memory_is_the_process_s_own_peak() -> None:
    # from a process as small as the benchmarks': the kernel's figure starts from what the one that forks has
    code = "import sys; from benchmarks.measure import run; print(run([sys.executable, '-c', sys.argv[1]]).memory)"
    words = [sys.executable, "-c", code, "x = b'x' * 50_000_000"]

    memory = int(subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout)

    assert 50_000_000 < memory < 150_000_000


def test_the_table_shows_ratio_target_and_verdict() -> None:
    rows = [
        Row(what="a", ours=1.5, peer="p", theirs=0.01, ratio=1.5, target=2.0),
        Row(what="b", ours=1.5, peer="p", theirs=0.01, ratio=2.5, target=2.0),
        Row(what="c", ours=0.0005, peer="p", theirs=0.01, ratio=0.05),
        Row(what="d", ours=36.52, peer="p", theirs=9.1, ratio=4.01, target=1.1, unit="MiB"),
    ]

    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table(rows).splitlines()]

    assert lines[2:] == [
        ["a", "1.50 s", "p", "10 ms", "1.50", "≤ 2", "ok"],
        ["b", "1.50 s", "p", "10 ms", "2.50", "≤ 2", "MISSED"],
        ["c", "0.5 ms", "p", "10 ms", "0.05", "", ""],
        ["d", "36.5 MiB", "p", "9.10 MiB", "4.01", "≤ 1.1", "MISSED"],
    ]
