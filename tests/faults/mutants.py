# ruff: noqa: E501 (the list reads better unbroken)
"""The defences of process trees and runs, each taken away once: `python -m tests.faults.mutants [PART OF A NAME …]`.

The exit status is 0 if the tests named with each defence fail without it, and pass with it. Takes a few minutes.
"""

from __future__ import annotations

import sys

from tests.support.mutation import Mutant, check

TREES = "tests/faults/test_trees.py::test_nobody_survives"
SUPERVISORS = "tests/faults/test_supervisors.py::test_"
SURROUNDINGS = "tests/faults/test_surroundings.py::test_"
MOMENTS = "tests/faults/test_moments.py::test_"
EXECUTORS = "tests/test_executors.py::test_"

MASKS = f"{SURROUNDINGS}signals_work_as_the_parent_wished_and_jobs_begin_with_all_of_them"
SAYS = f"{SUPERVISORS}a_job_may_say_something_while_it_is_stopped_after_its_runner"
UNHEARD = f"{SUPERVISORS}what_the_runner_did_not_live_to_hear_is_written_down"
NO_PROCESS = f"{SUPERVISORS}where_there_can_be_no_further_process_the_attempt_fails_and_says_why"
DAEMON = f"{SUPERVISORS}a_daemon_lives_as_long_as_its_job_and_the_next_job_meets_nobody_of_it"
REPLACED = f"{SUPERVISORS}when_the_keeper_is_killed_jobs_go_on_and_the_next_ones_get_another"
RUDE = f"{SUPERVISORS}a_job_that_kills_its_supervisor_is_lost_and_its_retry_meets_nobody_of_it"
PRIVATE = f"{SUPERVISORS}jobs_have_no_file_of_their_supervisors_open_and_are_the_first_to_go_when_memory_runs_out"
FEW_FILES = f"{SURROUNDINGS}of_few_open_files_more_are_taken_where_that_is_allowed_and_jobs_have_as_few"
FIRST = f"{MOMENTS}as_the_first_process_it_"


def trees(action: str, *shapes: str) -> tuple[str, ...]:
    return tuple(f"{TREES}[{shape}-{action}]" for shape in shapes)


SHAPES = ("daemon", "setsid", "nohup", "multiprocessing")
MUTANTS = [
    # trees
    Mutant("shims are subreapers", "keeper/shim.py", "        kernel.become_subreaper()\n", "", (DAEMON,)),
    Mutant("the keeper is a subreaper", "keeper/__main__.py", "        kernel.become_subreaper()\n", "", trees("KILL of the shims", *SHAPES)),
    Mutant("sweep until there is nobody", "keeper/tree.py", "left, unkillable = _sweep()", "left, unkillable = 0, []", (DAEMON,)),
    Mutant("the sweep goes on until ECHILD", "keeper/tree.py", "        time.sleep(pause)\n", "        return len(killed), []\n", (DAEMON, *trees("KILL", "new pid every millisecond"))),
    Mutant("CONT after TERM", "keeper/tree.py", "            os.killpg(self.leader, kernel.CONT)\n", "", (f"{EXECUTORS}a_process_that_stopped_itself_hears_term",)),
    Mutant("TERM goes to the whole group", "keeper/tree.py", "os.killpg(self.leader, number)", "os.kill(self.leader, number)", (f"{SUPERVISORS}all_of_a_jobs_group_is_told_to_end",)),
    Mutant("KILL after the grace", "keeper/shim.py", 'kill_at = time.monotonic() + order["grace"]', "kill_at = None", trees("TERM", "ignores signals")),
    Mutant("TERM before the KILL", "keeper/shim.py", "                tree.signal(kernel.TERM)\n", "", (*trees("TERM", "exit 0 on TERM"), f"{EXECUTORS}stopping_sends_term_to_the_whole_group")),
    Mutant("a second request does not wait", "keeper/shim.py", 'if wanted == "now" or (', "if (", (f"{EXECUTORS}a_forced_stop_does_not_wait_for_the_grace",)),
    Mutant("late stops are stale", "keeper/shim.py", 'if message.get("stop") and message["id"] == attempt]', 'if message.get("stop")]', (f"{SUPERVISORS}a_late_request_to_stop_an_attempt_does_not_stop_the_next_one",)),
    # the runner's end
    Mutant("the lifeline's end ends the job", "keeper/shim.py", "            self._runner_is_gone = True\n            try:", "            try:", trees("KILL", "exec", "daemon")),
    Mutant("ECONNRESET is an end, too", "keeper/wire.py", "except (ConnectionError, TimeoutError):", "except TimeoutError:", (UNHEARD,)),
    Mutant("what nobody heard is kept", "keeper/shim.py", '            self._unheard = (order["result"], message)\n', "            pass\n", (UNHEARD,)),
    Mutant("what was heard is not", "executors/lifeline.py", 'self._lifeline.send(pack({"bye": True}))', "pass", (f"{SUPERVISORS}what_the_runner_heard_is_not_written_down",)),
    Mutant("a job may go on saying something", "keeper/shim.py", "if self._runner_is_gone and self._output and not self._output.is_over:", "if False:", (SAYS,)),
    Mutant("its output has a reader as long as it runs", "keeper/shim.py", "            self._output = Output(reader, message)\n", "            os.close(reader)\n", (SAYS,)),
    Mutant("what nobody read is kept", "keeper/shim.py", "            self._output.drain()\n", "            pass\n", (f"{SUPERVISORS}what_the_runner_did_not_live_to_read_is_in_the_log",)),
    Mutant("what nobody hides is not", "executors/keeper.py", "if not self._masker:", "if True:", (SAYS,)),
    Mutant("the log's limit holds then, too", "keeper/output.py", "chunk[: max(room, 0)]", "chunk", (SAYS,)),
    Mutant("the kill of a runner is a stop", "keeper/shim.py", '"grace" if stops or self._runner_is_gone else ""', '"grace" if stops else ""', trees("KILL", "exec")),
    # supervisors that are killed
    Mutant("the keeper kills strangers", "keeper/__main__.py", "            kernel.kill(pid)\n", "            pass\n", trees("KILL of the shims", *SHAPES)),
    Mutant("the keeper stays for strangers", "keeper/__main__.py", "while self._control or self._shims or self._strangers():", "while self._control or self._shims:", trees("KILL of runner and shims", *SHAPES, "shell", "pipeline", "daemon, leader gone")),
    Mutant("the runner asks whether a tree is gone", "executors/keeper.py", "                await supervision.settle(shim)\n", "                pass\n", (*trees("KILL of keeper and shims", *SHAPES), RUDE)),
    Mutant("the runner is the last subreaper", "executors/orphans.py", "        kernel.become_subreaper()\n", "        pass\n", trees("KILL of keeper and shims", *SHAPES)),
    Mutant("the runner kills orphans", "executors/orphans.py", "os.kill(pid, signal.SIGKILL)", "pass", trees("KILL of keeper and shims", *SHAPES)),
    Mutant("shims without a keeper are spared", "executors/lifeline.py", "            self._known.add(self.pid)\n", "", (f"{SUPERVISORS}a_lost_attempt_harms_no_other_though_the_keeper_is_gone",)),
    Mutant("a killed keeper is replaced", "executors/supervision.py", "        except OSError:  # it was killed: once more with another one\n            self._keeper = self._start()\n", "        except OSError:\n            pass\n", (REPLACED,)),
    Mutant("shims have a session of their own", "keeper/__main__.py", "            os.setsid()  #", "            #", (REPLACED,)),
    Mutant("supervisors do not listen to signals", "keeper/kernel.py", "        _signal.signal(number, _signal.SIG_IGN)\n", "        pass\n", (f"{SUPERVISORS}supervisors_do_not_listen_to_signals",)),
    Mutant("a lost attempt is a lost one", "executors/keeper.py", 'lost="lost" in message,', "", (f"{SUPERVISORS}a_job_that_kills_its_supervisor_fails_the_run",)),
    Mutant("the keeper says why it cannot fork", "keeper/__main__.py", '"gone": True}))', '"gone": True})[:0])', (NO_PROCESS,)),
    Mutant("the shim says why it cannot start", "keeper/shim.py", 'self._send({"failed": f"fork {error.errno or errno.EAGAIN}"}, order)', "raise", (NO_PROCESS,)),
    # locks
    Mutant("supervisors hold the locks", "executors/supervision.py", "descriptors = (theirs.fileno(), *self._locks)", "descriptors = (theirs.fileno(),)", (f"{MOMENTS}no_run_begins_while_the_jobs_of_a_killed_one_are_still_being_stopped",)),
    Mutant("jobs do not hold the locks", "keeper/__main__.py", "        os.set_inheritable(descriptor, False)\n", "        pass\n", (PRIVATE,)),
    Mutant("jobs do not hold lifelines", "keeper/wire.py", "        os.set_inheritable(descriptor, False)\n", "        pass\n", (PRIVATE,)),
    Mutant("a run waits for its keeper's end", "executors/supervision.py", "            keeper.wait()\n", "            pass\n", (f"{MOMENTS}a_run_waits_for_its_keeper",)),
    # surroundings
    Mutant("jobs begin with every signal", "keeper/program.py", "setsigdef=kernel.ORDINARY", "setsigdef=()", (MASKS,)),
    Mutant("the keeper blocks nothing", "keeper/kernel.py", "    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())\n    for number in numbers:", "    for number in numbers:", (MASKS,)),
    Mutant("the runner unblocks signals", "signals.py", "signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)", "signal.pthread_sigmask(signal.SIG_UNBLOCK, ())", (MASKS,)),
    Mutant("ignored signals stay ignored", "signals.py", "if signal.getsignal(number) is signal.SIG_IGN:", "if False:", (MASKS,)),
    Mutant("ignored children are looked at again", "__main__.py", "_signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)", "pass", (f"{SURROUNDINGS}where_children_s_ends_are_ignored_their_status_is_known_all_the_same",)),
    Mutant("signals wait while a run begins", "signals.py", "    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)\n", "    pass\n", (f"{MOMENTS}a_ctrl_c_while_a_run_begins_cancels_it",)),
    Mutant("a Ctrl+C during imports is quiet", "__main__.py", "_signal.signal(_signal.SIGINT, _signal.SIG_DFL)", "pass", (f"{MOMENTS}an_early_ctrl_c_ends_by_its_signal_without_a_traceback",)),
    Mutant("a run dies of its signal", "signals.py", "    os.kill(os.getpid(), number)\n", "", trees("TERM", "exec")),
    Mutant("out of memory, jobs go first", "keeper/program.py", "    kernel.offer_to_oom_killer(leader)\n", "", (PRIVATE,)),
    Mutant("more open files are taken", "executors/supervision.py", "    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))\n", "", (FEW_FILES,)),
    Mutant("jobs have the usual limit of files", "executors/supervision.py", "resource.prlimit(process.pid, resource.RLIMIT_NOFILE, self._files)", "pass", (FEW_FILES,)),
    Mutant("no open file is an outcome", "executors/keeper.py", "        except OSError as error:\n            message =", "        except ZeroDivisionError as error:\n            message =", (f"{SURROUNDINGS}where_open_files_run_out_the_run_ends_and_says_so",)),
    Mutant("an error inside an attempt is heard", "attempts.py", "        task.add_done_callback(self._look_for_a_bug)\n", "", (f"{SUPERVISORS}an_error_inside_an_attempt_ends_the_run_with_it",)),
    # the first process
    Mutant("PID 1 goes on as another", "__main__.py", "if os.getpid() == 1:", "if False:", (f"{FIRST}hears_a_signal_before_anything_runs",)),
    Mutant("PID 1 passes signals on", "first.py", "                os.kill(child, told.si_signo)\n", "                pass\n", (f"{FIRST}ends_its_jobs_and_says_the_signal_in_its_status",)),
    Mutant("PID 1 buries orphans", "first.py", "os.waitpid(-1, os.WNOHANG)", "os.waitpid(child, os.WNOHANG)", (f"{FIRST}buries_orphans",)),
    Mutant("PID 1 passes the status on", "first.py", "os._exit(code if code >= 0 else 128 - code)", "os._exit(0)", (f"{FIRST}passes_the_status_on",)),
]  # fmt: skip


if __name__ == "__main__":
    wanted = [mutant for mutant in MUTANTS if not sys.argv[1:] or any(part in mutant.name for part in sys.argv[1:])]
    sys.exit(check(wanted, verdict="defences proven"))
