"""The values every floor speaks in: jobs, plans, orders."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from msgspec import Struct

Metric = str | int | float | bool | None
LOG_LIMIT = 100_000_000
INTERVAL = ("interval_start", "interval_end")  # parameters of a backfill; in capitals, after ETL_, variables


class Outcome(StrEnum):
    """How a job or an attempt ended."""

    SUCCEEDED = "succeeded"
    CACHED = "cached"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    FAILED = "failed"
    TIMED_OUT = "timed-out"
    LOST = "lost"

    @property
    def is_good(self) -> bool:
        return self in (Outcome.SUCCEEDED, Outcome.CACHED)

    @property
    def is_failure(self) -> bool:
        return self in (Outcome.FAILED, Outcome.TIMED_OUT, Outcome.LOST)


class When(StrEnum):
    """When a job runs, seen from what it needs."""

    SUCCESS = "success"
    ALWAYS = "always"
    FAILURE = "failure"


class RunStatus(StrEnum):
    """How a run ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Retry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When and how often a failed attempt is followed by another.

    `count` is the number of attempts after the first; waits are `delay`, `delay * factor`, … seconds, at most
    `cap`, each lengthened at random by up to `jitter` (a fraction). `on` lists what is worth another attempt:
    exit statuses, "signal", "timeout"; None means any failure that a second attempt may cure.
    """

    count: int = 0
    delay: float = 0.0
    factor: float = 2.0
    cap: float | None = None
    jitter: float = 0.0
    on: tuple[int | Literal["signal", "timeout"], ...] | None = None


class Phase(Struct, frozen=True, kw_only=True):
    """A label on jobs, and a shorthand for needs: every job waits for all jobs of the phases in `needs`."""

    name: str
    needs: tuple[str, ...] = ()


class Copy(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One of the jobs a template stands for: its name, its matrix values, the jobs it needs."""

    name: str
    params: dict[str, str] = {}
    needs: tuple[str, ...] = ()


class Output(Struct, frozen=True, kw_only=True):
    """The values another job reports: the list called `output` that `job` writes to its ETL_OUTPUT."""

    job: str
    output: str


class Expansion(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A job stands for copies that are known only during the run: `matrix` has the values of each parameter.

    `shell` says that the values are to be quoted for a shell. The job's own texts have `{parameter}` where a value
    goes, and doubled braces where braces are meant.
    """

    matrix: dict[str, tuple[str, ...] | Output]
    shell: bool = False

    @property
    def sources(self) -> tuple[str, ...]:
        """The jobs that report values."""
        return tuple(dict.fromkeys(v.job for v in self.matrix.values() if isinstance(v, Output)))


class Job(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing to run. `name` is unique in a plan; `template` is its key in the file (`table` of `table-3`).

    `argv` is final, unless there is an `expand`: then the job itself never runs, but its copies do.
    `needs` are job names, phase needs included. `pools` maps pool
    names to the places this job takes. `timeout`, `grace` and `expect` are seconds, `memory` is bytes, `pids` processes
    at once, `log_limit` the bytes of an attempt's log (0: any number). `cwd` is absolute.
    """

    name: str
    template: str
    argv: tuple[str, ...]
    cwd: str
    phase: str = ""
    env: dict[str, str] = {}
    params: dict[str, str] = {}
    needs: tuple[str, ...] = ()
    when: When = When.SUCCESS
    optional: bool = False
    pools: dict[str, int] = {}
    timeout: float | None = None
    grace: float = 5.0
    retry: Retry = Retry()
    expect: float | None = None
    tags: tuple[str, ...] = ()
    memory: int | None = None
    pids: int | None = None
    log_limit: int = LOG_LIMIT
    expand: Expansion | None = None


class Plan(Struct, frozen=True, kw_only=True):
    """The validated, expanded, acyclic graph of one run. `jobs` stand in file order.

    Floor 0 does not check it: `etl_runner.pipeline` builds only valid ones. `warehouse` says whether the jobs
    want a PostgreSQL (the one in the environment, else the embedded one), `preload` names the modules that `python -m`
    jobs find imported, `secrets` the variables whose values are hidden beside the usual ones (names or globs).
    `timeout` is the whole run's, in seconds. `params` are the parameters given for this run.
    """

    pipeline: str
    jobs: tuple[Job, ...]
    phases: tuple[Phase, ...] = ()
    workers: int = 4
    pools: dict[str, int] = {}
    profile: str = ""
    fail_fast: bool = False
    timeout: float | None = None
    warehouse: bool = False
    preload: tuple[str, ...] = ()
    schedule: str | None = None
    timezone: str | None = None
    secrets: tuple[str, ...] = ()
    params: dict[str, str] = {}


class Order(Struct, frozen=True, kw_only=True):
    """What an executor needs to run one attempt. `env` is complete.

    `log`, `output` and `result` are absolute file paths: where its output goes, what it writes its metrics to, and
    where its end is written if the runner is not there to hear it.
    """

    run: int
    job: str
    attempt: int
    argv: tuple[str, ...]
    cwd: str
    env: dict[str, str]
    log: str
    output: str
    result: str
    grace: float
    memory: int | None = None
    pids: int | None = None
    log_limit: int = LOG_LIMIT
