"""What jobs print, and where etl-run itself prints: nothing of it harms a job, a run or a screen."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.cli import ETL_RUN, Project, clean_env
from tests.support.terminals import Terminal

HEAD = '[pipeline]\nname = "output"\n[defaults]\nshell = true\ngrace = "0.3s"\n'
PYTHON = sys.executable
MB = 1_000_000


def project(folder: Path, **jobs: str | Mapping[str, Any]) -> Project:
    """A project of shell jobs: a script, or `run` with further settings."""
    text = HEAD
    for name, job in jobs.items():
        settings = {"run": job} if isinstance(job, str) else dict(job)
        settings["run"] = settings["run"].replace("{", "{{").replace("}", "}}")
        text += "".join([f"[jobs.{name}]\n", *(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())])
    return Project(folder, text)


def log_of(project: Project, job: str, run: int = 1) -> bytes:
    path = project.folder / f".etl/runs/{run}/logs/{job}.1.log"
    return path.read_bytes() if path.exists() else b""


def state(project: Project, run: int = 1) -> tuple[str, dict[str, str]]:
    """What the ledger says of a run and its jobs."""
    shown = json.loads(project.run("show", str(run), "-o", "json").stdout)
    return shown["run"]["state"], {job["job"]: job["state"] for job in shown["jobs"]}


def finish(running: subprocess.Popen[Any]) -> tuple[int, int]:
    """The exit status, and the most memory in bytes. What it prints is read only after its end.

    (The kernel's ru_maxrss counts what the test's own process had when it forked.)
    """
    memory = 0
    while os.waitid(os.P_PID, running.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
        memory = max(memory, high_water(running.pid))
        time.sleep(0.01)
    running.wait()
    running.communicate()
    return running.returncode, memory


def high_water(pid: int) -> int:
    """The most memory a process has had since it was executed (VmHWM), in bytes; 0 if it is over."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def run_bytes(project: Project, *args: str, **settings: Any) -> subprocess.CompletedProcess[bytes]:
    env = settings.pop("env", clean_env())
    settings = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **settings}
    return subprocess.run([*ETL_RUN, *args], cwd=project.folder, env=env, timeout=90, check=False, **settings)


# what jobs print


@pytest.mark.parametrize("secrets", [False, True], ids=["plain", "masked"])
def test_a_flood_takes_neither_memory_nor_more_disk_than_its_limit(tmp_path: Path, secrets: bool) -> None:
    flood = project(tmp_path, a={"run": "yes 'rows of the table' | head -c 200000000", "log_limit": "10MB"})
    env = clean_env(**({f"KEY_{n}_TOKEN": f"very-secret-{n}" for n in range(4)} if secrets else {}))

    running = flood.start("all", env=env)
    status, memory = finish(running)

    log = log_of(flood, "a")
    assert status == 0
    assert memory < 100 * MB
    assert len(log) == 10 * MB + len(
        b"\netl-run: 190,000,000 bytes left out here, over the limit of 10.0 MB (log_limit)\n"
    )
    assert log.startswith(b"rows of the table\n")
    assert log.endswith(b"rows of the table\nro")
    assert "log truncated" in flood.run("show", "1").stdout


@pytest.mark.parametrize(
    "data",
    [b"x" * 10 * MB, bytes(range(256)) * 4000, b"caf\xe9 \xff\xfe\xc3(\xf0\x28\n" * 500, b"\0" * 100_000],
    ids=["10 MB without newline", "binary", "bad UTF-8", "NULs"],
)
def test_any_bytes_are_logged_as_they_are_and_shown_as_text(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "data").write_bytes(data)
    odd = project(tmp_path, a="cat data; exit 3")

    ended = run_bytes(odd, "all", "-v")

    assert ended.returncode == 1
    assert log_of(odd, "a") == data
    assert b"Traceback" not in ended.stderr
    shown = (ended.stdout + ended.stderr).decode()  # it is text
    assert not {char for char in shown if ord(char) < 32} - {"\n"}


def test_the_rest_of_a_big_pipe_arrives_when_its_writer_is_gone(tmp_path: Path) -> None:
    fill = "import fcntl, os; fcntl.fcntl(1, 1031, 1 << 20); os.write(1, b'x' * (1 << 20)); os._exit(0)"
    big = project(tmp_path, a=f'{PYTHON} -c "{fill}"')

    assert big.run("all").returncode == 0
    assert log_of(big, "a") == b"x" * (1 << 20)


@pytest.mark.parametrize(
    ("script", "log"),
    [
        ("(setsid sleep 1000 &); echo done", b"done\n"),
        ("echo done; (setsid sh -c 'while :; do sleep 1000; done' &)", b"done\n"),
        ("exec >&- 2>&-; sleep 0.1", b""),
        ("(sleep 1000; echo late) & echo early", b"early\n"),
    ],
    ids=["pipe held by a daemon", "by one in a loop", "closed by the job", "late writer"],
)
def test_a_run_ends_with_its_job_whoever_holds_the_pipe(tmp_path: Path, script: str, log: bytes) -> None:
    held = project(tmp_path, a=script)

    assert held.run("all").returncode == 0
    assert log_of(held, "a") == log


def test_a_run_ends_though_somebody_escaped_and_goes_on_printing(tmp_path: Path) -> None:
    endless = project(tmp_path, a={"run": "(setsid yes &); sleep 0.1", "log_limit": "1MB"})

    assert endless.run("all").returncode == 0
    assert log_of(endless, "a").startswith(b"y\ny\n")


def test_a_job_that_printed_nothing_has_an_empty_log_for_those_who_read_it(tmp_path: Path) -> None:
    silent = project(tmp_path, a="true")

    assert silent.run("all").returncode == 0
    assert not (tmp_path / ".etl/runs/1/logs/a.1.log").exists()
    logs, document = silent.run("logs", "a"), silent.run("logs", "a", "-o", "json")
    assert (logs.returncode, logs.stdout, logs.stderr) == (0, "", "")
    assert json.loads(document.stdout)["log"] == []
    assert "it printed nothing" in silent.run("show", "1", "a").stdout


HOSTILE = (
    r"\033]52;c;aGVsbG8=\007 \033]0;title\007 \033[2J\033[1;1H\033[31mred \033P+q544e\033\\ \233A \302\233B "
    r"bar\rcar \007\b\b [bold]not markup[/bold] \342\200\256rtl \033[8mhidden\n"
)
NEVER = [
    b"\x1b]",
    b"\x07",
    b"\x08",
    b"\x1b[2J",
    b"\x1b[1;1H",
    b"\x1bP",
    b"\x9bA",
    b"\xc2\x9b",
    b"\xe2\x80\xae",
    b"\x1b[8m",
]


@pytest.mark.parametrize("words", [["all"], ["all", "-v"]], ids=" ".join)
def test_control_characters_of_jobs_never_reach_a_screen(tmp_path: Path, words: list[str]) -> None:
    hostile = project(tmp_path, a=f"printf '{HOSTILE}'; sleep 0.6; exit 3")
    env = clean_env(TERM="xterm-256color")

    with Terminal([*ETL_RUN, *words], cwd=tmp_path, env=env) as terminal:
        status = terminal.wait()
    screens = [terminal.screen]
    for later in (["show", "1"], ["show", "1", "a"], ["logs", "a"], ["history"]):
        with Terminal([*ETL_RUN, *later], cwd=tmp_path, env=env) as terminal:
            terminal.wait()
        screens.append(terminal.screen)

    assert status == 1
    assert b"[bold]not markup[/bold]" in screens[0]
    for screen in screens:
        assert [sign for sign in NEVER if sign in screen] == []
    assert b"\x1b]52" in log_of(hostile, "a")


# where logs are written


def test_a_full_disk_truncates_the_log_and_the_job_goes_on(tmp_path: Path) -> None:
    full = project(tmp_path, a="head -c 3000000 /dev/zero && touch ran")
    runs = tmp_path / ".etl" / "runs"
    runs.mkdir(parents=True)
    script = (
        f'mount -t tmpfs -o size=1m none "{runs}" && "$@"; status=$?; cp -r "{runs}" "{tmp_path}/kept"; exit $status'
    )

    ended = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", script, "sh", *ETL_RUN, "all"],
        cwd=tmp_path, env=clean_env(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "ran").exists()
    assert "log truncated" in ended.stderr
    assert "log truncated: a" in ended.stdout
    assert 0 < len((tmp_path / "kept/1/logs/a.1.log").read_bytes()) < MB * 1.1
    with sqlite3.connect(full.folder / ".etl/ledger.db") as ledger:
        assert ledger.execute("SELECT outcome FROM jobs").fetchall() == [("succeeded",)]


# where etl-run prints


def test_a_reader_that_leaves_does_not_change_the_run(tmp_path: Path) -> None:
    good = project(tmp_path, a="sleep 0.2", b={"run": "touch ran", "needs": ["a"]})
    for run, words in enumerate(("all", "all -v", "all -o json"), start=1):
        left, right = os.pipe()
        os.close(left)

        ended = run_bytes(good, *words.split(), stdout=right, stderr=right)
        os.close(right)

        assert (words, ended.returncode) == (words, 0)
        assert state(good, run) == ("succeeded", {"a": "succeeded", "b": "succeeded"})


@pytest.mark.parametrize("words", ["all", "all -v", "all -o json", "all -q"])
def test_a_full_disk_behind_stdout_and_stderr_does_not_change_the_run(tmp_path: Path, words: str) -> None:
    mixed = project(tmp_path, a="echo x", b="echo y; exit 3")

    with Path("/dev/full").open("wb") as full:
        ended = run_bytes(mixed, *words.split(), stdout=full, stderr=full)

    assert ended.returncode == 1
    assert state(mixed) == ("failed", {"a": "succeeded", "b": "failed"})


def test_a_summary_that_cannot_be_written_is_said_once(tmp_path: Path) -> None:
    good = project(tmp_path, a="true")

    with Path("/dev/full").open("wb") as full:
        ended = run_bytes(good, "all", stdout=full)

    says = "etl-run: cannot write the summary: No space left on device; see it with etl-run show 1"
    assert (ended.returncode, ended.stderr.decode().splitlines()[-1]) == (0, says)


@pytest.mark.parametrize("words", ["history", "show", "logs a", "plan", "check", "schema", "show -o json", "--help"])
def test_an_answer_that_cannot_be_written_is_an_error_in_one_line(tmp_path: Path, words: str) -> None:
    good = project(tmp_path, a="echo x")
    good.run("all")

    with Path("/dev/full").open("wb") as full:
        ended = run_bytes(good, *words.split(), stdout=full)

    says = "etl-run: cannot write the answer: No space left on device\n"
    assert (ended.returncode, ended.stderr.decode()) == (1, says)


def test_an_error_nobody_can_hear_keeps_its_exit_status(tmp_path: Path) -> None:
    good = project(tmp_path, a="true")
    with Path("/dev/full").open("wb") as full:
        statuses = [run_bytes(good, *words.split(), stderr=full).returncode for words in ("bogus", "all --only x")]

    assert statuses == [2, 2]


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("words", ["all", "all -v", "all -o json"])
def test_closed_descriptors_do_not_change_the_run(tmp_path: Path, closed: str, words: str) -> None:
    good = project(tmp_path, a="echo out; echo err >&2; ls -l /proc/self/fd", b={"run": "exit 3", "needs": ["a"]})

    ended = subprocess.run(
        ["sh", "-c", f'"$@" {closed}', "sh", *ETL_RUN, *words.split()],
        cwd=tmp_path, env=clean_env(), capture_output=True, timeout=60, check=False,
    )  # fmt: skip

    assert ended.returncode == 1
    assert b"Traceback" not in ended.stderr
    assert state(good) == ("failed", {"a": "succeeded", "b": "failed"})
    log = log_of(good, "a").decode()
    assert log.startswith("out\nerr\n")
    assert sorted(line.split()[8] for line in log.splitlines()[3:]) == ["0", "1", "2", "3"]  # 3 is the folder ls reads


@pytest.mark.parametrize(("nohup", "status", "states"), [(False, -signal.SIGHUP, "cancelled"), (True, 0, "succeeded")])
def test_a_terminal_that_hangs_up_ends_the_run_unless_told_otherwise(
    tmp_path: Path, nohup: bool, status: int, states: str
) -> None:
    waiting = project(tmp_path, a="echo up; while [ ! -e go ]; do sleep 0.05; done")
    before = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh"] if nohup else []
    with Terminal([*before, *ETL_RUN, "all", "-v"], cwd=tmp_path, env=clean_env(TERM="xterm")) as terminal:
        terminal.read_until(b"up")

        terminal.hang_up()
        if nohup:
            (tmp_path / "go").touch()

        assert terminal.process.wait(60) == status
    assert state(waiting) == (states, {"a": states})


def test_a_reader_that_never_reads_does_not_stop_a_run(tmp_path: Path) -> None:
    flood = project(tmp_path, a={"run": "yes | head -c 5000000; touch ran", "timeout": "30s"})

    running = flood.start("all", "-v")  # nobody reads its pipes
    status, memory = finish(running)

    assert (status, (tmp_path / "ran").exists()) == (0, True)
    assert memory < 70 * MB


@pytest.mark.parametrize(
    "env",
    [{}, {"PYTHONIOENCODING": "latin-1"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}, {"TERM": "dumb"}, {"PATH": ""}],
    ids=str,
)
def test_a_poor_environment_is_enough(tmp_path: Path, env: dict[str, str]) -> None:
    spoken = project(tmp_path, a="printf '\\303\\274ber \\342\\202\\254\\n'; exit 3")

    ended = run_bytes(spoken, "all", "-v", env=env)

    assert ended.returncode == 1
    assert b"Traceback" not in ended.stderr
    assert log_of(spoken, "a") == "über €\n".encode()
    assert b"FAILED" in ended.stdout


# secrets


SECRET = "h&nter2 is/secret+word"
PROGRAM = "no-such-pr0gram"
PRINTS = """
import base64, json, os, sys, time, urllib.parse
secret = os.environ["ERP_PASSWORD"]
out = sys.stdout
print("start", secret, "end")
print(urllib.parse.quote(secret, safe=""), urllib.parse.quote_plus(secret), json.dumps(secret))
for before in (b"", b"x", b"xy"):
    print(base64.b64encode(before + secret.encode() + b":tail").decode())
print(os.environ["SHOP_URL"], os.environ["PIN_CODE"])
for char in secret:
    out.write(char)
    out.flush()
    time.sleep(0.002)
print()
with open(os.environ["ETL_OUTPUT"], "a") as file:
    file.write(json.dumps({"note": "key " + secret, "rows": 3}) + "\\n")
print("no secret: hunter", file=sys.stderr)
sys.exit(secret)
"""


def test_secrets_are_nowhere(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(PRINTS)
    text = (
        '[pipeline]\nname = "s"\nsecrets = ["PIN_*"]\nenv = { PIN_CODE = "4711x" }\n'
        f'[jobs.a]\nrun = "{PYTHON} job.py"\n[jobs.b]\nrun = "{PROGRAM}"\nneeds = []\n'
    )
    told = Project(tmp_path, text)
    env = clean_env(ERP_PASSWORD=SECRET, SHOP_URL="postgres://u:p%40ssw0rd@h/x", OTHER_TOKEN=f"{PROGRAM}")
    texts = []
    for words in ("all", "all -v", "all -o json", "show 1", "show 1 a", "show 1 -o json", "logs a", "logs a -o json",
                  "history a", "plan -o json"):  # fmt: skip
        ended = told.run(*words.split(), env=env)
        texts.append(ended.stdout + ended.stderr)
    kept = [path for path in (tmp_path / ".etl").rglob("*") if path.is_file() and "outputs" not in path.parts]

    encoded = [b64encode(b"x" * n + SECRET.encode())[8:-8].decode() for n in range(3)]
    forms = [SECRET, quote(SECRET, safe=""), "p%40ssw0rd", "p@ssw0rd", "4711x", *encoded]
    everything = "\n".join([*texts, *(path.read_bytes().decode("latin-1") for path in kept)])
    assert [form for form in forms if form in everything] == []
    log = log_of(told, "a").decode()
    assert log.startswith('start *** end\n*** *** "***"\n')
    assert "postgres://u:***@h/x ***\n***\n" in log
    assert "no secret: hunter\n" in log
    assert '"note":"key ***"' in texts[2]
    assert "key ***" in texts[4]
    assert "no such program: '***'" in texts[0]
    assert log_of(told, "b") == b"etl-run: no such program: '***' (not in PATH)\n"


def test_a_live_view_shows_a_line_that_waits_for_its_end(tmp_path: Path) -> None:
    waiting = project(tmp_path, a="printf 'a question? p'; while [ ! -e go ]; do sleep 0.05; done")
    env = clean_env(TERM="xterm", DB_PASSWORD="password of the database")
    with Terminal([*ETL_RUN, "all"], cwd=tmp_path, env=env) as terminal:
        terminal.read_until(b"a question? p")
        (tmp_path / "go").touch()

        assert terminal.wait() == 0
    assert log_of(waiting, "a") == b"a question? p"
