# ruff: noqa: E501 (the list reads better unbroken)
"""The defences of output, each taken away once: `python -m tests.faults.output_mutants [PART OF A NAME …]`.

Each mutant is a source with one text (which occurs exactly once) replaced, in a copy of the tree; the tests named with
it must fail. The exit status is 0 if all do, and pass untouched.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
TESTS = (
    "tests/test_masking.py",
    "tests/test_logfile.py",
    "tests/test_pipeline_secrets.py",
    "tests/faults/test_output.py",
)
MASKING, LOGS, FILE, FAULTS = TESTS


class Mutant(NamedTuple):
    name: str
    source: str
    old: str
    new: str
    test: str


MUTANTS = [
    Mutant("nothing is held back", "masking", "return self._tell(self._certain())", "return self._tell(len(self._known))", MASKING),
    Mutant("long beginnings are not held back", "masking", "if form.startswith(known[at:]):", "if False:", MASKING),
    Mutant("short beginnings are not held back", "masking", "if n <= size and known[-n:] in self._beginnings", "if False", MASKING),
    Mutant("overlapping secrets are told twice", "masking", "if merged and start < merged[-1][1]:", "if False:", MASKING),
    Mutant("a secret behind its own beginning is missed", "masking", "at = known.find(form, at + 1)", "at = known.find(form, at + len(form) * 2)", MASKING),
    Mutant("a mask over two chunks is told twice", "masking", "if start >= at or not self._is_masked:", "if True:", MASKING),
    Mutant("pauses show whole beginnings", "masking", "if len(self._known) > MOST_SHOWN_EARLY or not", "if not", MASKING),
    Mutant("what was shown early is forgotten", "masking", "self._told, self._is_masked = len(self._known), False", 'self._known = b""', MASKING),
    Mutant("base64 has one alignment", "masking", "for before in range(3):", "for before in range(1):", MASKING),
    Mutant("base64 is for files only", "masking", "        yield encoded.translate(_URL_SAFE)\n", "", MASKING),
    Mutant("quoted secrets are missed", "masking", "for quoted in (quote(raw, safe=\"\"), quote(raw), quote_plus(raw)):", "for quoted in ():", MASKING),
    Mutant("lower case quoting is missed", "masking", "        yield _lower_hex(quoted).encode()\n", "", MASKING),
    Mutant("JSON's escapes are missed", "masking", "for is_ascii in (True, False):", "for is_ascii in ():", MASKING),
    Mutant("keys are one piece", "masking", "*(line for line in secret.splitlines() if _is_secret_line(line))", "", MASKING),
    Mutant("names of jobs are masked", "masking", "old if field.name in NAMES else self._masked(old)", "self._masked(old)", MASKING),
    Mutant("metrics are not masked", "masking", "return {self._masked(key): self._masked(inner) for key, inner in value.items()}", "return value", MASKING),
    Mutant("URLs have no passwords", "secrecy", "found = {password for user, password in _AUTHORITY.findall(value) if password != user}", "found = set()", MASKING),
    Mutant("patterns know no passwords", "secrecy", "return bool(_NAMES.search(name)) or", "return", MASKING),
    Mutant("short words are masked", "secrecy", "if len(secret) >= least", "if secret", MASKING),
    Mutant("a secret in a command is fine", "pipeline/job_texts", "if name in hidden or is_secret_name(name, named)", "if False", FILE),
    Mutant("a variable made of a secret is none", "pipeline/job_texts", "or hidden & _variables(pieces):", "or False:", FILE),
    Mutant("a password in a command is fine", "pipeline/job_texts", "            if _has_password(pieces):\n", "            if False:\n", FILE),
    Mutant("logs have no limit", "executors/logfile", "if self._limit and self._size + len(chunk) > self._limit:", "if False:", LOGS),
    Mutant("the end of a log is lost", "executors/logfile", "                self._join(self._end)\n", "                pass\n", LOGS),
    Mutant("the end of a log is unbounded", "executors/logfile", "            if not room:\n", "            if False:\n", LOGS),
    Mutant("files of the end stay", "executors/logfile", "                    os.unlink(path)  # noqa: PTH108\n", "                    pass\n", LOGS),
    Mutant("a log that cannot be written is a crash", "executors/logfile", "        except OSError:\n            self._is_broken = True", "        except ValueError:\n            self._is_broken = True", LOGS),
    Mutant("what is held back is lost at the end", "executors/pipe", "            self._pass_on(self._masked.end())\n", "            pass\n", LOGS),
    Mutant("what is held back waits for more", "executors/pipe", "if masked.is_holding:", "if False:", LOGS),
    Mutant("a full disk is not flagged", "executors/logfile", "self.truncated = not _write(self._fd, chunk)", "_write(self._fd, chunk)", FAULTS),
    Mutant("logs are not masked", "executors/keeper", "control.output, masker=self._masker)", "control.output)", FAULTS),
    Mutant("errors in logs are not masked", "executors/keeper", 'self._masker.text(_why(order, message["failed"]))', '_why(order, message["failed"])', FAULTS),
    Mutant("events are not masked", "journal", "event=self._masker.struct(event))", "event=event)", FAULTS),
    Mutant("secrets of the file are not known", "cli/launch", "secrets_in(variables, plan.secrets)", "secrets_in(variables)", FAULTS),
    Mutant("the environment's secrets are not known", "cli/launch", " | set(env.items())", "", FAULTS),
    Mutant("the pipe is not drained", "executors/pipe", "            if not self._read():\n                break\n", "            break\n", FAULTS),
    Mutant("the limit of a job is not its log's", "environment", "        log_limit=job.log_limit,\n", "", FAULTS),
    Mutant("closed descriptors stay closed", "cli/main", "    complete_streams()\n", "", FAULTS),
    Mutant("a summary that cannot be written is a crash", "cli/launch", "    except OSError as error:  # the exit status stays the run's\n", "    except ValueError as error:\n", FAULTS),
    Mutant("an answer that cannot be written is a crash", "cli/main", "error.errno not in _CANNOT_WRITE:", "True:", FAULTS),
    Mutant("an error nobody hears has another status", "cli/main", "            with suppress(OSError):  # nobody", "            if True:  # nobody", FAULTS),
    Mutant("what cannot be written stays", "streams", "        os.dup2(null, stream.fileno())\n", "", FAULTS),
    Mutant("output is shown as it is", "words", '    text = _ESCAPES.sub("", text)\n', "    return text\n", FAULTS),
    Mutant("a stuck reader gets everything", "sinks/console", "self._out.backlog > MOST_BACKLOG", "False", FAULTS),
]  # fmt: skip


def main(wanted: list[str]) -> int:
    mutants = [mutant for mutant in MUTANTS if not wanted or any(part in mutant.name for part in wanted)]
    if spoilt := [m.name for m in mutants if _source(ROOT, m).read_text().count(m.old) != 1]:
        print("the text to replace does not occur exactly once:", *spoilt, sep="\n  ")
        return 1
    with ThreadPoolExecutor(max_workers=2) as pool:
        healthy = pool.submit(_passes, None, TESTS)
        alive = [
            m for m, passed in zip(mutants, pool.map(lambda m: _passes(m, [m.test]), mutants), strict=True) if passed
        ]
    if not healthy.result():
        print("the tests fail without any mutant")
        return 1
    for mutant in alive:
        print(f"alive: {mutant.name} ({mutant.source}.py)")
    print(f"mutants killed {len(mutants) - len(alive)}/{len(mutants)}")
    return 1 if alive else 0


def _passes(mutant: Mutant | None, tests: list[str] | tuple[str, ...]) -> bool:
    """Whether the tests pass on a copy of the tree with this mutant in it."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        tree = Path(folder)
        for part in ("etl_runner", "tests"):
            shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copyfile(ROOT / "pyproject.toml", tree / "pyproject.toml")
        if mutant is not None:
            source = _source(tree, mutant)
            source.write_text(source.read_text().replace(mutant.old, mutant.new))
        ended = subprocess.run(
            [
                sys.executable,
                "-B",
                "-m",
                "pytest",
                "-x",
                "-n",
                "2",
                "-p",
                "no:cacheprovider",
                "--timeout",
                "60",
                *tests,
            ],
            cwd=tree,
            env={**os.environ, "PYTHONPATH": folder},
            capture_output=True,
            check=False,
        )
        return ended.returncode == 0


def _source(tree: Path, mutant: Mutant) -> Path:
    return tree / "etl_runner" / f"{mutant.source}.py"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
