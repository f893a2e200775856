"""Who is running: locks that die with their processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from etl_runner.errors import LedgerError, RunLockedError
from etl_runner.events import AttemptStarted
from etl_runner.ledger import Holder, Ledger, LedgerReader, RunState, alive, hold_pipeline_lock, hold_run_lock
from etl_runner.model import Outcome
from etl_runner.paths import Home
from tests.support.ledgers import (
    MONDAY,
    Pen,
    line_of,
    open_folder,
    output_of,
    plan,
    python,
    started,
    until,
)

ANA = Holder(pid=77, user="ana", since=MONDAY)

HOLD = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from etl_runner.errors import RunLockedError
from etl_runner.ledger import Holder, hold_pipeline_lock
from etl_runner.paths import Home
import os
print("ready", flush=True)
sys.stdin.readline()
about = Holder(pid=os.getpid(), user="ana", since=datetime.now(UTC))
try:
    with hold_pipeline_lock(Home(Path(sys.argv[1])), "warehouse", about) as lock:
        print("won", os.getpid(), flush=True)
        sys.stdin.readline()
except RunLockedError as error:
    print("lost", error, flush=True)
"""

RUN = """
import sys
from contextlib import ExitStack
from pathlib import Path
from etl_runner.ledger import Ledger, hold_run_lock
from etl_runner.paths import Home
from tests.support.ledgers import Pen, plan, started
home = Home(Path(sys.argv[1]))
with Ledger.open(home.ledger) as ledger, ExitStack() as stack:
    run = ledger.begin(plan("a", "b", "c"), __import__("datetime").datetime.now(__import__("datetime").UTC),
                       claim=lambda run: stack.enter_context(hold_run_lock(home, run)))
    print(run, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / ".etl")


def say(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdin
    process.stdin.write(text)
    process.stdin.flush()


def test_of_many_processes_that_race_for_a_pipeline_one_wins_and_the_others_can_name_it(home: Home) -> None:
    processes = [python(HOLD, home.folder) for _ in range(6)]
    for process in processes:
        assert line_of(process) == "ready"
    for process in processes:
        say(process, "go\n")

    answers = [line_of(process) for process in processes]
    for process in processes:
        process.communicate("")

    won = [answer for answer in answers if answer.startswith("won")]
    assert len(won) == 1
    winner = won[0].split()[1]
    assert all(f"by ana (pid {winner})" in answer for answer in answers if answer.startswith("lost"))


def test_who_comes_too_late_hears_run_start_user_and_pid(home: Home) -> None:
    with hold_pipeline_lock(home, "warehouse", ANA) as lock:
        lock.tell(41)
        with pytest.raises(RunLockedError) as caught, hold_pipeline_lock(home, "warehouse", ANA):
            pass

    began = MONDAY.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    assert caught.value.message == f"run 41 of 'warehouse' is going on, started {began} by ana (pid 77)"
    assert "show 41" in caught.value.hint
    assert caught.value.exit_status == 75


def test_another_pipeline_is_not_kept_waiting(home: Home) -> None:
    with hold_pipeline_lock(home, "a", ANA), hold_pipeline_lock(home, "b", ANA):
        pass


def test_a_killed_holder_frees_the_pipeline_and_its_lock_file_stays(home: Home) -> None:
    process = python(HOLD, home.folder)
    line_of(process)
    say(process, "go\n")
    assert line_of(process).startswith("won")
    inode = home.lock("warehouse").stat().st_ino
    process.kill()
    process.communicate()

    with hold_pipeline_lock(home, "warehouse", ANA):
        assert home.lock("warehouse").stat().st_ino == inode


def test_a_lock_whose_file_is_nonsense_still_keeps_others_out(home: Home) -> None:
    with hold_pipeline_lock(home, "warehouse", ANA):
        home.lock("warehouse").write_text("{nonsense")
        with (
            pytest.raises(RunLockedError, match="another run of 'warehouse'"),
            hold_pipeline_lock(home, "warehouse", ANA),
        ):
            pass


def test_a_lock_that_cannot_be_made_is_an_error_with_a_cure(home: Home) -> None:
    home.folder.write_text("")

    with pytest.raises(LedgerError) as caught, hold_pipeline_lock(home, "warehouse", ANA):
        pass
    assert "ETL_HOME" in caught.value.hint


def test_a_run_is_alive_as_long_as_its_lock_is_held(home: Home) -> None:
    assert not alive(home, 1)
    with hold_run_lock(home, 1):
        assert alive(home, 1)
    assert not alive(home, 1)
    assert home.run_lock(1).exists()


def test_a_started_program_does_not_keep_a_run_alive_unless_it_is_given_the_lock(home: Home) -> None:
    program = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    for given in (False, True):
        with hold_run_lock(home, 1) as fd:
            process = subprocess.Popen(program, stdin=subprocess.PIPE, pass_fds=[fd] if given else [])
        assert alive(home, 1) is given
        process.communicate()
        assert not alive(home, 1)


LOOK = """
import sys
from pathlib import Path
from etl_runner.ledger import alive
from etl_runner.paths import Home
print("ready", flush=True)
while True:
    alive(Home(Path(sys.argv[1])), 1)
"""


def test_looking_at_a_run_does_not_keep_others_from_taking_its_lock(home: Home) -> None:
    with hold_run_lock(home, 1):
        pass
    looking = [python(LOOK, home.folder) for _ in range(2)]
    for process in looking:
        assert line_of(process) == "ready"
    for _ in range(5000):
        with hold_run_lock(home, 1):
            pass
    for process in looking:
        process.kill()
        process.communicate()


LOOK_UNPRIVILEGED = """
import sys
from pathlib import Path
from etl_runner.ledger import alive
from etl_runner.paths import Home
from tests.support.ledgers import drop_root
drop_root()
print(alive(Home(Path(sys.argv[1])), 1))
"""


def test_a_run_of_which_one_may_not_tell_is_taken_for_alive() -> None:
    with open_folder() as folder:
        with hold_run_lock(Home(folder), 1):
            pass
        Home(folder).run_lock(1).chmod(0o000)
        assert output_of(python(LOOK_UNPRIVILEGED, folder)) == "True\n"


def test_a_run_is_running_from_the_moment_it_can_be_seen_and_lost_when_its_process_is_killed(home: Home) -> None:
    process = python(RUN, home.folder)
    seen: set[RunState] = set()
    while not home.ledger.exists():
        pass

    def began() -> bool:
        with LedgerReader.open(home.ledger) as reader:
            seen.update(run.state for run in reader.runs())
        return bool(seen)

    until(began)
    line_of(process)
    process.kill()
    process.communicate()

    assert seen == {RunState.RUNNING}
    with LedgerReader.open(home.ledger) as reader:
        run = reader.run(1)
        assert (run.state, run.counts, run.jobs) == (RunState.LOST, {"lost": 3}, 3)
        assert run.is_over


def test_of_a_lost_run_the_jobs_that_were_over_keep_their_outcome(home: Home) -> None:
    of = plan("a", "b", "c")
    with Ledger.open(home.ledger) as ledger:
        pen = Pen(ledger, of)
        pen.write(started(of))
        pen.job("a", Outcome.SUCCEEDED, seconds=5.0)
        pen.write(AttemptStarted(job="b", attempt=1, pid=1), after=2.0)

    with LedgerReader.open(home.ledger) as reader:
        run = reader.run(1)

    assert run.counts == {"succeeded": 1, "lost": 2}
    assert (run.seconds, run.exit) == (7.0, None)


def test_a_run_in_good_hands_shows_what_it_did_so_far(home: Home) -> None:
    of = plan("a", "b")
    with Ledger.open(home.ledger) as ledger, hold_run_lock(home, 1):
        pen = Pen(ledger, of)
        pen.write(started(of))
        pen.job("a", seconds=5.0)
        with LedgerReader.open(home.ledger) as reader:
            run = reader.run(1)

    assert (run.state, run.counts, run.seconds, run.ended_at) == (RunState.RUNNING, {"succeeded": 1}, None, None)
