# ruff: noqa: E501 (the list reads better unbroken)
"""The defences of output, each taken away once: `python -m tests.faults.output_mutants [PART OF A NAME …]`.

The exit status is 0 if the tests named with each defence fail without it, and pass with it. Takes a few minutes.
"""

from __future__ import annotations

import sys

from tests.support.mutation import Mutant, check

MASKING = "tests/test_masking.py"
LOGS = "tests/test_logfile.py"
PLANS = "tests/test_hiding.py"
FILE = "tests/test_pipeline_secrets.py"
STREAMS = "tests/test_streams.py"
OUTPUT = "tests/faults/test_output.py::test_"
FULL = f"{OUTPUT}a_full_disk_truncates_the_log_and_the_job_goes_on"
NOWHERE = f"{OUTPUT}secrets_are_nowhere"
REST = f"{OUTPUT}the_rest_of_a_big_pipe_arrives_when_its_writer_is_gone"
FLOOD = f"{OUTPUT}a_flood_takes_neither_memory_nor_more_disk_than_its_limit"
CLOSED = f"{OUTPUT}closed_descriptors_do_not_change_the_run"
SUMMARY = f"{OUTPUT}a_summary_that_cannot_be_written_is_said_once"
ANSWER = f"{OUTPUT}an_answer_that_cannot_be_written_is_an_error_in_one_line"
ERROR = f"{OUTPUT}an_error_nobody_can_hear_keeps_its_exit_status"
SCREEN = f"{OUTPUT}control_characters_of_jobs_never_reach_a_screen"
STUCK = f"{OUTPUT}a_reader_that_never_reads_does_not_stop_a_run"

MUTANTS = [
    Mutant("nothing is held back", "masking.py", "return self._tell(self._certain())", "return self._tell(len(self._known))", (MASKING,)),
    Mutant("long beginnings are not held back", "masking.py", "if form.startswith(known[at:]):", "if False:", (MASKING,)),
    Mutant("short beginnings are not held back", "masking.py", "if n <= size and known[-n:] in self._beginnings", "if False", (MASKING,)),
    Mutant("overlapping secrets are told twice", "masking.py", "            if start >= at or not self._is_masked:\n                parts", "            if True:\n                parts", (MASKING,)),
    Mutant("a secret behind its own beginning is missed", "masking.py", "at = known.find(form, at + 1)", "at = known.find(form, at + len(form) * 2)", (MASKING,)),
    Mutant("pauses show whole beginnings", "masking.py", "if len(self._known) > MOST_SHOWN_EARLY or not", "if not", (MASKING,)),
    Mutant("what was shown early is forgotten", "masking.py", "self._told, self._is_masked = len(self._known), False", 'self._known = b""', (MASKING,)),
    Mutant("base64 has one alignment", "masking.py", "for before in range(3):", "for before in range(1):", (MASKING,)),
    Mutant("base64 is for files only", "masking.py", "        yield encoded.translate(_URL_SAFE)\n", "", (MASKING,)),
    Mutant("quoted secrets are missed", "masking.py", "for quoted in (quote(raw, safe=\"\"), quote(raw), quote_plus(raw)):", "for quoted in ():", (MASKING,)),
    Mutant("lower case quoting is missed", "masking.py", "        yield _lower_hex(quoted).encode()\n", "", (MASKING,)),
    Mutant("JSON's escapes are missed", "masking.py", "for is_ascii in (True, False):", "for is_ascii in ():", (MASKING,)),
    Mutant("keys are one piece", "masking.py", "*(line for line in secret.splitlines() if _is_secret_line(line))", "", (MASKING,)),
    Mutant("names of jobs are masked", "masking.py", "old if field.name in NAMES else self._masked(old)", "self._masked(old)", (MASKING,)),
    Mutant("metrics are not masked", "masking.py", "return {self._masked(key): self._masked(inner) for key, inner in value.items()}", "return value", (MASKING,)),
    Mutant("URLs have no passwords", "secrecy.py", "found = {password for user, password in _AUTHORITY.findall(value) if password != user}", "found = set()", (MASKING,)),
    Mutant("patterns know no passwords", "secrecy.py", "return bool(_NAMES.search(name)) or", "return", (MASKING,)),
    Mutant("short words are masked", "secrecy.py", "if len(secret) >= least", "if secret", (MASKING,)),
    Mutant("commands are remembered with their secrets", "hiding.py", "argv=tuple(map(masker.text, job.argv))", "argv=job.argv", (PLANS,)),
    Mutant("plans are remembered with their secrets", "cli/launch.py", "hidden(plan, masker)", "plan", (PLANS,)),
    Mutant("plans are shown with their secrets", "cli/plan.py", "    plan = hidden(plan, masker_of(", "    hidden(plan, masker_of(", (PLANS,)),
    Mutant("parameters have no secrets", "hiding.py", "| set(plan.params.items())", "", (PLANS,)),
    Mutant("commands have no secrets of their own", "hiding.py", "variables |= variables_in(words)", "pass", (PLANS,)),
    Mutant("a secret that is nowhere is run as a mask", "hiding.py", "if now is None or not _is_meant(", "if now is None or not (", (PLANS,)),
    Mutant("what is hidden never comes back", "hiding.py", "return replace(job, argv=now.argv, cwd=now.cwd)", "return job", (PLANS,)),
    Mutant("a secret parameter in a command is fine", "pipeline/job_texts.py", "        self._check_params(path, source)\n", "", (FILE,)),
    Mutant("a secret in a command is fine", "pipeline/job_texts.py", "if name in hidden or is_secret_name(name, named)", "if False", (FILE,)),
    Mutant("a variable made of a secret is none", "pipeline/job_texts.py", "or hidden & _variables(pieces):", "or False:", (FILE,)),
    Mutant("a password in a command is fine", "pipeline/job_texts.py", "            if _has_password(pieces):\n", "            if False:\n", (FILE,)),
    Mutant("logs have no limit", "executors/logfile.py", "if self._limit and self._size + len(chunk) > self._limit:", "if False:", (LOGS,)),
    Mutant("the end of a log is lost", "executors/logfile.py", "                self._join(self._end)\n", "                pass\n", (LOGS,)),
    Mutant("the end of a log is unbounded", "executors/logfile.py", "room = self._size - self._sizes[self._now]", "room = 1 << 40", (LOGS,)),
    Mutant("files of the end stay", "executors/logfile.py", "                    os.unlink(path)  # noqa: PTH108\n", "                    pass\n", (LOGS,)),
    Mutant("a log that cannot be written is a crash", "executors/logfile.py", "        except OSError:\n            self._is_broken = True", "        except ValueError:\n            self._is_broken = True", (LOGS,)),
    Mutant("what is held back is lost at the end", "executors/pipe.py", "            self._pass_on(self._masked.end())\n", "            pass\n", (LOGS,)),
    Mutant("what is held back waits for more", "executors/pipe.py", "if masked.is_holding:", "if False:", (LOGS,)),
    Mutant("a full disk is not flagged", "executors/logfile.py", "self.truncated = not _write(self._fd, chunk)", "_write(self._fd, chunk)", (FULL,)),
    Mutant("logs are not masked", "executors/keeper.py", "control.output, masker=self._masker)", "control.output)", (NOWHERE,)),
    Mutant("errors in logs are not masked", "executors/keeper.py", 'self._masker.text(_why(order, message["failed"]))', '_why(order, message["failed"])', (NOWHERE,)),
    Mutant("events are not masked", "journal.py", "event=self._masker.struct(event))", "event=event)", (NOWHERE,)),
    Mutant("secrets of the file are not known", "hiding.py", "secrets_in(variables, plan.secrets)", "secrets_in(variables)", (NOWHERE,)),
    Mutant("the environment's secrets are not known", "hiding.py", "set(env.items()) | ", "", (NOWHERE,)),
    Mutant("the pipe is not drained", "executors/pipe.py", "            if not self._read():\n                break\n", "            break\n", (REST,)),
    Mutant("the limit of a job is not its log's", "environment.py", "        log_limit=job.log_limit,\n", "", (FLOOD,)),
    Mutant("closed descriptors stay closed", "cli/main.py", "    complete_streams()\n", "", (CLOSED,)),
    Mutant("a summary that cannot be written is a crash", "cli/ending.py", "    except OSError as error:\n        silence", "    except ValueError as error:\n        silence", (SUMMARY,)),
    Mutant("an answer that cannot be written is a crash", "cli/main.py", "error.errno not in _CANNOT_WRITE:", "True:", (ANSWER,)),
    Mutant("an error nobody hears has another status", "cli/main.py", "            with suppress(OSError):  # nobody", "            if True:  # nobody", (ERROR,)),
    Mutant("what cannot be written stays", "streams.py", "        os.dup2(null, stream.fileno())\n", "", (STREAMS,)),
    Mutant("output is shown as it is", "words.py", '    text = _ESCAPES.sub("", text)\n', "    return text\n", (SCREEN,)),
    Mutant("a stuck reader gets everything", "sinks/console.py", "self._out.backlog > MOST_BACKLOG", "False", (STUCK,)),
]  # fmt: skip


if __name__ == "__main__":
    wanted = [mutant for mutant in MUTANTS if not sys.argv[1:] or any(part in mutant.name for part in sys.argv[1:])]
    sys.exit(check(wanted, verdict="defences of output proven"))
