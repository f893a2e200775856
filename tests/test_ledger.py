"""What the ledger keeps, and what it says when it cannot."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from etl_runner import ledger as package
from etl_runner.errors import LedgerError, UsageError
from etl_runner.events import AttemptStarted, Record
from etl_runner.ledger import Ledger, LedgerReader, RunState, prune
from etl_runner.ledger.database import migrate, migrations, prepare, transaction
from etl_runner.model import Outcome, RunStatus
from etl_runner.paths import Home
from tests.support.ledgers import (
    MONDAY,
    Pen,
    job,
    line_of,
    open_folder,
    output_of,
    past_run,
    plan,
    python,
    started,
)

SMALL = plan("table-0", "table-1", "marts")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / ".etl")


def attempt(run: int, seq: int) -> Record:
    return Record(run=run, seq=seq, at=MONDAY, event=AttemptStarted(job="table-0", attempt=1, pid=seq))


def sql(home: Home, statement: str, *values: object) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(home.ledger, isolation_level=None)) as connection:
        return connection.execute(statement, values).fetchall()


# Keeping


def test_runs_are_numbered_from_one_and_read_back_as_written(home: Home) -> None:
    with Ledger.open(home.ledger) as ledger:
        first, second = Pen(ledger, SMALL), Pen(ledger, plan("other"))
        written = first.write(started(SMALL), AttemptStarted(job="table-0", attempt=1, pid=7), durable=True)

    with LedgerReader.open(home.ledger) as reader:
        assert (first.run, second.run) == (1, 2)
        assert reader.records(1) == tuple(written)
        assert reader.records(1, after=1) == tuple(written[1:])
        assert reader.plan(1) == SMALL
        assert reader.last_run() == 2


def test_a_run_is_told_at_a_glance(home: Home) -> None:
    past_run(home, SMALL, outcomes={"marts": Outcome.FAILED}, attempts={"table-1": 2}, by="ana")

    with LedgerReader.open(home.ledger) as reader:
        run = reader.run(1)

    assert (run.state, run.exit, run.by, run.profile, run.jobs) == (RunState.FAILED, 1, "ana", "dev", 3)
    assert run.counts == {"succeeded": 2, "failed": 1}
    assert (run.retried, run.seconds, run.started_at) == (1, 4.0, MONDAY)
    assert run.command == ("etl-run", "all")


def test_the_latest_runs_come_first_and_of_one_pipeline_if_asked(home: Home) -> None:
    for pipeline in ("a", "b", "a"):
        past_run(home, plan("x", pipeline=pipeline))

    with LedgerReader.open(home.ledger) as reader:
        assert [run.id for run in reader.runs()] == [3, 2, 1]
        assert [run.id for run in reader.runs(limit=2)] == [3, 2]
        assert [run.id for run in reader.runs(pipeline="a")] == [3, 1]
        assert (reader.last_run(pipeline="b"), reader.last_run(pipeline="c")) == (2, None)


def test_the_last_run_of_a_profile_is_found(home: Home) -> None:
    for profile in ("prod", "", "dev"):
        past_run(home, plan("x", profile=profile))

    with LedgerReader.open(home.ledger) as reader:
        found = [reader.last_run(profile=profile) for profile in ("prod", "", "dev", None, "qa")]

    assert found == [1, 2, 3, 3, None]


def test_values_of_job_environments_are_not_kept(home: Home) -> None:
    with Ledger.open(home.ledger) as ledger:
        ledger.begin(plan(job("load", env={"PGPASSWORD": "hunter2"})), MONDAY)
        files = [path.read_bytes() for path in home.folder.iterdir() if path.is_file()]

    with LedgerReader.open(home.ledger) as reader:
        assert reader.plan(1).jobs[0].env == {"PGPASSWORD": ""}
    assert not any(b"hunter2" in content for content in files)


def test_equal_plans_are_kept_once_and_go_with_their_last_run(home: Home) -> None:
    for _ in range(3):
        past_run(home, SMALL)
    past_run(home, plan("other"))
    assert sql(home, "SELECT count(*) FROM plan") == [(2,)]

    with Ledger.open(home.ledger) as ledger:
        ledger.remove([1, 2, 3])

    assert sql(home, "SELECT count(*) FROM plan") == [(1,)]


def test_a_failed_append_leaves_nothing_behind(home: Home) -> None:
    with Ledger.open(home.ledger) as ledger:
        run = ledger.begin(SMALL, MONDAY)
        ledger.append([attempt(run, 1)], durable=True)
        with pytest.raises(LedgerError):
            ledger.append([attempt(run, 2), attempt(run, 3), attempt(run, 1)], durable=True)
        ledger.append([attempt(run, 2)], durable=False)

    with LedgerReader.open(home.ledger) as reader:
        assert [record.seq for record in reader.records(run)] == [1, 2]


def test_records_of_an_unknown_run_are_refused(home: Home) -> None:
    with Ledger.open(home.ledger) as ledger, pytest.raises(LedgerError):
        ledger.append([attempt(5, 1)], durable=False)


def test_a_run_whose_claim_fails_does_not_exist(home: Home) -> None:
    def claim(run: int) -> None:
        raise LedgerError(f"no lock for {run}")

    with Ledger.open(home.ledger) as ledger:
        with pytest.raises(LedgerError, match="no lock for 1"):
            ledger.begin(SMALL, MONDAY, claim=claim)
        assert ledger.begin(SMALL, MONDAY) == 1


@pytest.mark.parametrize("table", ["run", "event", "plan"])
def test_what_is_written_cannot_be_changed(home: Home, table: str) -> None:
    past_run(home, SMALL)
    column = {"run": "pipeline", "event": "body", "plan": "body"}[table]

    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        sql(home, f"UPDATE {table} SET {column} = 'x'")


def test_what_the_system_gave_us_and_is_no_text_is_kept_as_far_as_it_goes(home: Home) -> None:
    past_run(home, plan(job("a", argv=("cat", "caf\udce9"))), command=("etl-run", "-c", "caf\udce9"))

    with LedgerReader.open(home.ledger) as reader:
        assert (reader.plan(1).jobs[0].argv, reader.run(1).command) == (("cat", "caf?"), ("etl-run", "-c", "caf?"))


def test_only_durable_records_wait_for_the_disk(home: Home) -> None:
    with Ledger.open(home.ledger) as ledger:
        run = ledger.begin(SMALL, MONDAY)
        synchronous = []
        for seq, durable in enumerate([True, False, True], start=1):
            ledger.append([attempt(run, seq)], durable=durable)
            synchronous += ledger._connection.execute("PRAGMA synchronous").fetchone()

    assert synchronous == [2, 1, 2]


def test_somebody_who_reads_for_long_keeps_nobody_from_writing(home: Home) -> None:
    past_run(home, SMALL)
    with closing(sqlite3.connect(home.ledger, isolation_level=None)) as reading:
        reading.execute("BEGIN")
        before = reading.execute("SELECT count(*) FROM event").fetchone()
        assert past_run(home, SMALL) == 2
        assert reading.execute("SELECT count(*) FROM event").fetchone() == before


def test_of_two_transactions_the_second_waits_from_its_beginning(home: Home) -> None:
    past_run(home, SMALL)
    with (
        closing(sqlite3.connect(home.ledger, isolation_level=None)) as first,
        closing(sqlite3.connect(home.ledger, isolation_level=None, timeout=0)) as second,
        transaction(first),
        pytest.raises(sqlite3.OperationalError, match="locked"),
        transaction(second),
    ):
        pytest.fail("both are writing")


def test_the_views_answer_questions_in_plain_sql(home: Home) -> None:
    past_run(home, SMALL, outcomes={"marts": Outcome.FAILED}, attempts={"table-1": 2})

    assert sql(home, "SELECT id, status, exit, started_by, jobs FROM runs") == [(1, "failed", 1, "cron", 3)]
    jobs = sql(home, "SELECT job, attempts, outcome, seconds FROM jobs ORDER BY job")
    assert jobs == [("marts", 1, "failed", 1.0), ("table-0", 1, "succeeded", 1.0), ("table-1", 2, "succeeded", 1.0)]
    attempts = sql(home, "SELECT attempt, exit, seconds FROM attempts WHERE job = 'table-1' ORDER BY attempt")
    assert attempts == [(1, 1, 1.0), (2, 0, 1.0)]


def test_a_home_is_kept_out_of_version_control(home: Home) -> None:
    Ledger.open(home.ledger).close()

    assert (home.folder / ".gitignore").read_text() == "*\n"


def test_a_folder_that_was_there_before_is_kept_out_of_version_control_only_if_it_is_called_etl(tmp_path: Path) -> None:
    for name in (".etl", "project"):
        (tmp_path / name).mkdir()
        Ledger.open(Home(tmp_path / name).ledger).close()

    assert (tmp_path / ".etl" / ".gitignore").exists()
    assert not (tmp_path / "project" / ".gitignore").exists()


# Numbers are never used twice


def test_the_number_of_a_deleted_run_is_not_used_again(home: Home) -> None:
    for _ in range(3):
        past_run(home, SMALL)
    with Ledger.open(home.ledger) as ledger:
        ledger.remove([2, 3])

    assert past_run(home, SMALL) == 4


def test_after_the_loss_of_a_ledger_no_run_gets_the_folder_of_an_old_one(home: Home) -> None:
    home.run(41).mkdir(parents=True)
    (home.folder / "runs" / "latest").symlink_to("41")

    assert past_run(home, SMALL) == 42


# Retention


def test_old_runs_go_with_their_folders_and_the_last_ones_stay(home: Home) -> None:
    for day in range(8):
        run = past_run(home, SMALL, at=MONDAY + timedelta(days=day))
        home.log(run, "table-0", 1).parent.mkdir(parents=True)
        home.log(run, "table-0", 1).write_text("x")

    gone = prune(home, keep_runs=2, keep_days=4, now=MONDAY + timedelta(days=8))

    assert gone == (1, 2, 3, 4)
    with LedgerReader.open(home.ledger) as reader:
        assert [run.id for run in reader.runs()] == [8, 7, 6, 5]
    assert sorted(path.name for path in (home.folder / "runs").iterdir()) == ["5", "6", "7", "8"]


def test_each_pipeline_keeps_its_own_last_runs(home: Home) -> None:
    past_run(home, plan("x", pipeline="weekly"))
    for _ in range(4):
        past_run(home, plan("x", pipeline="hourly"))

    assert prune(home, keep_runs=2, keep_days=1, now=datetime.now(UTC)) == (2, 3)


def test_a_live_run_is_never_deleted(home: Home) -> None:
    past_run(home, SMALL)
    past_run(home, SMALL)
    holder = python(HOLD_RUN, home.folder, 1)
    assert line_of(holder) == "held"

    assert prune(home, keep_runs=0, keep_days=0) == (2,)
    output_of(holder)
    assert prune(home, keep_runs=0, keep_days=0) == (1,)


PRUNE = """
import sys
from pathlib import Path
from etl_runner.ledger import prune
from etl_runner.paths import Home
from tests.support.ledgers import drop_root
drop_root()
print(prune(Home(Path(sys.argv[1])), keep_runs=0, keep_days=0))
"""


def test_a_run_whose_folder_cannot_be_deleted_is_kept_whole() -> None:
    with open_folder() as folder:
        home = Home(folder)
        for _ in range(2):
            past_run(home, SMALL)
        logs = home.log(1, "table-0", 1).parent
        logs.mkdir(parents=True)
        (logs / "x").touch()
        logs.chmod(0o555)
        for path in folder.glob("ledger.db*"):
            path.chmod(0o666)

        assert output_of(python(PRUNE, folder)) == "(2,)\n"
        with LedgerReader.open(home.ledger) as reader:
            assert [run.id for run in reader.runs()] == [1]


def test_there_is_nothing_to_delete_before_the_first_run(home: Home) -> None:
    assert prune(home) == ()
    assert not home.folder.exists()


HOLD_RUN = """
import sys
from pathlib import Path
from etl_runner.ledger import hold_run_lock
from etl_runner.paths import Home
with hold_run_lock(Home(Path(sys.argv[1])), int(sys.argv[2])):
    print("held", flush=True)
    sys.stdin.read()
"""


# Reading what is not there


def test_without_a_ledger_there_are_no_runs_and_none_is_made(home: Home) -> None:
    with LedgerReader.open(home.ledger) as reader:
        assert (reader.runs(), reader.last_run()) == ([], None)
        assert (reader.estimates(SMALL), reader.job_history("x")) == ({}, [])
        with pytest.raises(UsageError, match="no runs yet"):
            reader.run(1)

    assert not home.folder.exists()


def test_an_empty_file_is_a_ledger_without_runs(home: Home) -> None:
    home.folder.mkdir()
    home.ledger.touch()

    with LedgerReader.open(home.ledger) as reader:
        assert reader.runs() == []
    assert past_run(home, SMALL) == 1


def test_a_ledger_that_is_being_made_just_now_is_read_and_left_alone(home: Home) -> None:
    home.folder.mkdir()
    sql(home, "PRAGMA journal_mode = WAL")
    assert home.ledger.stat().st_size

    with LedgerReader.open(home.ledger) as reader:
        assert reader.runs() == []
    assert sql(home, "PRAGMA user_version") == [(0,)]


def test_an_unknown_run_is_answered_with_those_there_are(home: Home) -> None:
    past_run(home, SMALL)
    past_run(home, SMALL)

    with LedgerReader.open(home.ledger) as reader:
        for ask in (reader.run, reader.plan):
            with pytest.raises(UsageError) as caught:
                ask(7)
            assert (caught.value.message, "1 to 2" in caught.value.hint) == ("there is no run 7", True)


# A file that cannot be used


def both_ways(home: Home) -> list[LedgerError]:
    """What a writer and a reader say."""
    with pytest.raises(LedgerError) as writing:
        past_run(home, SMALL)
    with pytest.raises(LedgerError) as reading, LedgerReader.open(home.ledger) as reader:
        for run in reader.runs():
            reader.records(run.id)
    return [writing.value, reading.value]


def test_a_ledger_of_a_later_version_names_the_version_it_needs(home: Home) -> None:
    past_run(home, SMALL)
    sql(home, "INSERT INTO migration VALUES (99, '7.3.0', '2030-01-01')")
    sql(home, "PRAGMA user_version = 99")

    for error in both_ways(home):
        assert str(home.ledger) in error.message
        assert "etl-run 7.3.0" in error.message
        assert "etl-run 7.3.0" in error.hint


def test_a_database_of_another_program_is_left_alone(home: Home) -> None:
    home.folder.mkdir()
    sql(home, "CREATE TABLE bank (account)")

    for error in both_ways(home):
        assert "another program" in error.message
    assert sql(home, "SELECT name FROM sqlite_master") == [("bank",)]


def test_a_file_that_is_no_database_is_called_damaged(home: Home) -> None:
    home.folder.mkdir()
    home.ledger.write_bytes(b"not a ledger " * 1000)

    for error in both_ways(home):
        assert "damaged" in error.message
        assert f"mv {home.ledger}" in error.hint


def test_a_torn_ledger_is_called_damaged(home: Home) -> None:
    for _ in range(40):
        past_run(home, SMALL)
    size = home.ledger.stat().st_size
    with home.ledger.open("r+b") as file:
        file.seek(4096 * 3)
        file.write(os.urandom(size - 4096 * 3))

    for error in both_ways(home):
        assert "damaged" in error.message


def test_a_ledger_with_unreadable_rows_says_of_which_run(home: Home) -> None:
    past_run(home, SMALL)
    sql(home, "INSERT INTO event VALUES (1, 999, 'yesterday', 'job_finished', 'x', 1, '{}')")

    with LedgerReader.open(home.ledger) as reader, pytest.raises(LedgerError, match="unreadable about run 1"):
        reader.records(1)


def test_a_folder_that_is_a_file_is_an_error_with_a_cure(home: Home) -> None:
    home.folder.write_text("")

    with pytest.raises(LedgerError) as caught:
        Ledger.open(home.ledger)
    assert str(home.ledger) in caught.value.message
    assert "ETL_HOME" in caught.value.hint


READ_ONLY = """
import sys
from pathlib import Path
from etl_runner.errors import LedgerError
from etl_runner.ledger import Ledger, LedgerReader
from tests.support.ledgers import drop_root
drop_root()
path = Path(sys.argv[1])
with LedgerReader.open(path) as reader:
    print(len(reader.runs()))
try:
    Ledger.open(path)
except LedgerError as error:
    print(error.message); print(error.hint)
"""


def test_without_the_right_to_write_a_ledger_can_still_be_read() -> None:
    with open_folder() as folder:
        home = Home(folder)
        past_run(home, SMALL)
        home.ledger.chmod(0o444)
        folder.chmod(0o555)
        runs, message, hint = output_of(python(READ_ONLY, home.ledger)).splitlines()

    assert runs == "1"
    assert str(home.ledger) in message
    assert "writable" in hint


FILL = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from etl_runner.errors import LedgerError
from etl_runner.ledger import Ledger, LedgerReader
from tests.support.ledgers import attempts_of, plan
path = Path(sys.argv[1])
written = 0
with Ledger.open(path) as ledger:
    run = ledger.begin(plan("a"), datetime.now(UTC))
    try:
        while written < 100_000:
            ledger.append(attempts_of(run, range(written + 1, written + 101)), durable=True)
            written += 100
    except LedgerError as error:
        print(error.message); print(error.hint)
with LedgerReader.open(path) as reader:
    print(len(reader.records(run)) == written)
"""


def test_a_full_disk_is_said_and_what_was_there_stays(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["unshare", "-rm", "sh", "-c", f'mount -t tmpfs -o size=600k none {disk} && exec "$@"', "sh"]
    if subprocess.run([*mount, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system lets nobody mount a small disk")

    message, hint, kept = output_of(python(FILL, disk / "ledger.db", wrap=mount)).splitlines()

    assert (str(disk / "ledger.db") in message, "disk is full" in message) == (True, True)
    assert "free some space" in hint
    assert kept == "True"


# Layouts

OLD_START = """{"event": "run_started", "pipeline": "warehouse", "profile": "dev", "workers": 4, "jobs": 3,
    "by": "cron", "command": ["etl-run", "all"], "config": "/srv/etl.toml", "pid": 4242}"""


def test_a_ledger_of_the_first_layout_is_brought_up_to_date_by_whoever_opens_it(home: Home) -> None:
    home.folder.mkdir()
    with closing(sqlite3.connect(home.ledger, isolation_level=None)) as connection:
        prepare(connection, home.ledger, steps=migrations()[:1])
        connection.execute("INSERT INTO plan VALUES ('h', ?)", (msgspec.json.encode(SMALL).decode(),))
        connection.execute("INSERT INTO run VALUES (1, ?, 'warehouse', 'h')", (str(MONDAY),))
        event = (str(MONDAY), OLD_START)
        connection.execute("INSERT INTO event VALUES (1, 1, ?, 'run_started', NULL, NULL, ?)", event)

    with LedgerReader.open(home.ledger) as reader:
        run, plan_then = reader.run(1), reader.plan(1)

    assert (run.by, run.jobs, run.retry_of, plan_then) == ("cron", 3, None, SMALL)
    assert past_run(home, SMALL) == 2
    assert sql(home, "PRAGMA user_version") == [(len(migrations()),)]


def test_a_new_step_is_added_to_an_old_ledger_once(home: Home) -> None:
    past_run(home, SMALL)
    steps = [*migrations(), "CREATE TABLE note (text TEXT);\nCREATE TABLE more (text TEXT);"]
    with closing(sqlite3.connect(home.ledger, isolation_level=None)) as connection:
        for _ in range(2):
            with transaction(connection):
                migrate(connection, home.ledger, steps=steps)

    assert sql(home, "SELECT version FROM migration") == [(number,) for number in range(1, len(steps) + 1)]
    assert sql(home, "SELECT count(*) FROM run, note") == [(0,)]


def test_a_step_that_breaks_leaves_the_ledger_as_it_was(home: Home) -> None:
    past_run(home, SMALL)
    steps = [*migrations(), "CREATE TABLE note (text TEXT);\nCREATE TABLE event (text TEXT);"]
    with (
        closing(sqlite3.connect(home.ledger, isolation_level=None)) as connection,
        pytest.raises(sqlite3.OperationalError),
        transaction(connection),
    ):
        migrate(connection, home.ledger, steps=steps)

    assert sql(home, "SELECT count(*) FROM sqlite_master WHERE name = 'note'") == [(0,)]
    assert sql(home, "PRAGMA user_version") == [(len(steps) - 1,)]


# Many at once


WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from etl_runner.ledger import Ledger
from tests.support.ledgers import attempts_of, plan
print("ready", flush=True)
sys.stdin.readline()
for _ in range(10):
    with Ledger.open(Path(sys.argv[1])) as ledger:
        run = ledger.begin(plan("a"), datetime.now(UTC))
        for seq in range(1, 41):
            ledger.append(attempts_of(run, [seq]), durable=seq % 4 == 0)
    print(run)
"""

READER = """
import sys
from pathlib import Path
from etl_runner.ledger import LedgerReader
print("ready", flush=True)
sys.stdin.readline()
for _ in range(60):
    with LedgerReader.open(Path(sys.argv[1])) as reader:
        for run in reader.runs(limit=3):
            seen = [record.seq for record in reader.records(run.id)]
            assert seen == list(range(1, len(seen) + 1)), seen
"""


def test_many_processes_at_once_never_lock_each_other_out_and_lose_nothing(home: Home) -> None:
    processes = [python(code, home.ledger) for code in [WRITER] * 4 + [READER] * 2]
    for process in processes:
        assert line_of(process) == "ready"
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()

    runs = [int(line) for process in processes for line in output_of(process).split()]

    assert sorted(runs) == list(range(1, 41))
    counted: dict[object, object] = dict(sql(home, "SELECT run, count(*) FROM event GROUP BY run"))  # type: ignore[arg-type]
    assert counted == dict.fromkeys(runs, 40)


FIRST = """
import sys
from pathlib import Path
from etl_runner.ledger import Ledger, LedgerReader
print("ready", flush=True)
sys.stdin.readline()
for number in range(60):
    path = Path(sys.argv[1]) / str(number) / "ledger.db"
    with LedgerReader.open(path) as reader:
        reader.runs()
    Ledger.open(path).close()
"""


def test_many_processes_may_make_the_same_ledger_at_once(tmp_path: Path) -> None:
    processes = [python(FIRST, tmp_path) for _ in range(5)]
    for process in processes:
        assert line_of(process) == "ready"
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()

    for process in processes:
        output_of(process)


KILLED = """
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from etl_runner.ledger import Ledger
from tests.support.ledgers import attempts_of, plan
ledger = Ledger.open(Path(sys.argv[1]))
run = ledger.begin(plan("a"), datetime.now(UTC))
seq = 0
while True:
    ledger.append(attempts_of(run, range(seq + 1, seq + 6)), durable=True)
    seq += 5
    print(seq, flush=True)
"""


@pytest.mark.parametrize("after", [1, 7, 40])
def test_a_writer_killed_at_any_moment_leaves_all_that_was_made_durable(home: Home, after: int) -> None:
    process = python(KILLED, home.ledger)
    for _ in range(after):
        line_of(process)
    process.kill()
    told = [int(line) for line in process.communicate()[0].split("\n")[:-1] if line]

    with LedgerReader.open(home.ledger) as reader:
        kept = [record.seq for record in reader.records(1)]
    assert kept == list(range(1, len(kept) + 1))
    assert len(kept) >= max(told, default=after * 5)
    assert len(kept) % 5 == 0
    assert past_run(home, SMALL) == 2


# What the past says


def test_usual_times_are_medians_of_successes_in_the_last_ten_runs(home: Home) -> None:
    for seconds in [100.0, 100.0, *range(1, 11)]:
        past_run(home, SMALL, seconds={"table-0": seconds}, outcomes={"marts": Outcome.FAILED})
    past_run(home, plan("table-0", pipeline="other"), seconds={"table-0": 500.0})

    with LedgerReader.open(home.ledger) as reader:
        estimates = reader.estimates(plan("table-0", "table-1", "table-2", "marts"))

    assert estimates == {"table-0": 5.5, "table-1": 1.0, "table-2": 1.0}


def test_a_job_that_is_called_like_a_template_has_its_own_usual_time(home: Home) -> None:
    past_run(home, plan("table", "table-0"), seconds={"table": 1.0, "table-0": 9.0})

    with LedgerReader.open(home.ledger) as reader:
        assert reader.estimates(plan("table", "table-0")) == {"table": 1.0, "table-0": 9.0}


def test_a_job_without_a_past_is_expected_to_take_what_its_template_does(home: Home) -> None:
    past_run(home, SMALL, seconds={"table-0": 4.0, "table-1": 6.0})

    with LedgerReader.open(home.ledger) as reader:
        estimates = reader.estimates(plan("table-1", "table-2", "new"))

    assert estimates == {"table-1": 6.0, "table-2": 5.0}


def test_the_past_of_a_job_has_its_percentiles_and_failures(home: Home) -> None:
    for seconds in range(1, 22):
        past_run(home, SMALL, seconds={"table-1": float(seconds)})
    past_run(home, SMALL, outcomes={"table-1": Outcome.TIMED_OUT, "marts": Outcome.SKIPPED})

    with LedgerReader.open(home.ledger) as reader:
        (one,) = reader.job_history("table-1")
        assert [end.run for end in one.ends] == list(range(1, 23))
        assert (one.p50, one.p95, one.failed, one.ran) == (11.0, 20.0, 1, 22)
        assert [past.job for past in reader.job_history("table")] == ["table-0", "table-1"]
        assert [past.job for past in reader.job_history("*-0")] == ["table-0"]
        assert [len(past.ends) for past in reader.job_history("marts", limit=3)] == [3]
        assert reader.job_names() == ["table", "marts", "table-0", "table-1"]


def test_a_cancelled_run_is_told_as_such(home: Home) -> None:
    with Ledger.open(home.ledger) as ledger:
        pen = Pen(ledger, SMALL)
        pen.write(started(SMALL))
        pen.end("marts", Outcome.CANCELLED)
        pen.finish(RunStatus.CANCELLED)

    with LedgerReader.open(home.ledger) as reader:
        assert (reader.run(1).state, reader.run(1).exit) == (RunState.CANCELLED, 130)


def test_placeholders_have_no_numbers() -> None:
    """Python 3.14 refuses `?1` where the values are a sequence."""
    folder = Path(package.__file__).parent
    sources = [*folder.rglob("*.py"), *folder.rglob("*.sql")]

    assert [path.name for path in sources if re.search(r"\?\d", path.read_text(encoding="utf-8"))] == []
