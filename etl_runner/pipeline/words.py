"""Did you mean …? Answers to near misses, and to the words of other tools."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import islice

ENOUGH = 2000  # words to compare with: more would take seconds

OTHER_TOOLS = {
    "needs": "depends_on depends dependencies deps after requires upstream wait_for run_after dependsOn",
    "run": "command cmd script exec execute entrypoint args argv bash python program",
    "matrix": "foreach parallel strategy each expand map for_each range items with_items partitions",
    "timeout": "timeout-minutes timeout_minutes timeout_seconds execution_timeout time_limit limit max_time deadline",
    "retries": "retry attempts max_retries max_attempts tries retry_count",
    "retry_delay": "backoff delay retry_backoff retry_delay_seconds retry_wait wait retry_interval",
    "retry_factor": "backoff_factor multiplier retry_exponential_backoff exponential_backoff",
    "retry_cap": "max_delay max_backoff max_retry_delay backoff_max",
    "retry_jitter": "jitter retry_jitter_factor",
    "retry_on": "retry_if retry_exit_codes retry_on_exit",
    "env": "environment envs env_vars vars variables environ",
    "env_file": "envfile dotenv env-file env_files environment_file",
    "schedule": "cron cron_schedule schedule_interval interval every",
    "timezone": "tz time_zone zone",
    "phase": "stage group step section phase_name",
    "phases": "stages groups steps sections",
    "jobs": "job tasks task steps targets flows",
    "pool": "queue concurrency semaphore resource lock mutex",
    "pools": "pool limits concurrency queues queue",
    "optional": "continue-on-error continue_on_error allow_failure allow_failures ignore_errors soft_fail",
    "when": "if condition trigger_rule on run_if always",
    "workers": "jobs max_workers max-parallel max_parallel parallelism concurrency threads processes",
    "fail_fast": "fail-fast failfast stop_on_failure",
    "cwd": "workdir working_dir working-directory working_directory workingDirectory directory dir chdir folder",
    "grace": "grace_period kill_timeout stop_timeout kill_after terminate_timeout",
    "expect": "sla expected slow_after",
    "memory": "mem memory_limit max_memory mem_limit ram",
    "pids": "max_pids max_processes nproc processes",
    "log_limit": "max_log log_size max_log_size log_max_size max_output output_limit",
    "secrets": "secret masks mask sensitive hidden passwords add_mask",
    "preload": "preloads imports warm forkserver_preload",
    "tags": "tag labels label",
    "description": "desc doc docs help title comment",
    "params": "parameters param variables vars inputs",
    "warehouse": "postgres postgresql database db",
    "profiles": "profile environments targets",
    "defaults": "default common global globals base",
    "name": "title id",
}


def nearest(word: str, known: Iterable[str]) -> str:
    """The nearest known word, empty if none is near."""
    from difflib import get_close_matches

    words = list(islice(known, ENOUGH))
    by_case = [w for w in words if w.casefold() == word.casefold()]
    near = by_case or get_close_matches(word, words, n=1, cutoff=0.6)
    return near[0] if near else ""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean 'x'?` for the nearest known word, else nothing."""
    near = nearest(word, known)
    return f"did you mean {near!r}?" if near else ""


def key_meant(word: str, known: Collection[str]) -> str:
    """The known key that is the same word in another tool; empty if there is none."""
    return next((ours for ours, theirs in OTHER_TOOLS.items() if ours in known and word in theirs.split()), "")
