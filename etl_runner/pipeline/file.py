"""The pipeline file's tables and keys, as structs: reader, JSON Schema and reference all follow them."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from etl_runner.model import When
from etl_runner.pipeline.durations import EXPECTED as A_DURATION
from etl_runner.pipeline.durations import LONGEST
from etl_runner.pipeline.durations import PATTERN as DURATION
from etl_runner.pipeline.sizes import EXPECTED as A_SIZE
from etl_runner.pipeline.sizes import LARGEST
from etl_runner.pipeline.sizes import PATTERN as SIZE

NAME = r"^[A-Za-z0-9_][A-Za-z0-9._-]*$"
WORD = r"^[A-Za-z_][A-Za-z0-9_]*$"


def _expected(what: str) -> Meta:
    return Meta(extra={"expected": what})


Text = Annotated[str, Meta(min_length=1), _expected("text")]
Texts = Annotated[Text | list[Text], _expected("text or a list of texts")]
Duration = Annotated[
    Annotated[str, Meta(pattern=DURATION)] | Annotated[float, Meta(ge=0, le=LONGEST)],
    _expected(A_DURATION),
]
Size = Annotated[
    Annotated[str, Meta(pattern=SIZE)] | Annotated[int, Meta(ge=1, le=LARGEST)],
    _expected(A_SIZE),
]
Module = Annotated[str, Meta(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$"), _expected("a module such as psycopg")]
Switch = Annotated[bool, _expected("true or false")]
Count = Annotated[int, Meta(ge=1), _expected("a whole number, at least 1")]
Scalar = Annotated[str | int, _expected('text or a whole number (put anything else in quotes: "1.10")')]
Env = Annotated[dict[str, Scalar], _expected('a table of texts such as { LOG_LEVEL = "info" }')]
Retryable = Annotated[
    Annotated[int, Meta(ge=1, le=255)] | Literal["signal", "timeout"],
    _expected('an exit status from 1 to 255, "signal" or "timeout"'),
]


class MatrixSource(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Values that are not in the file: from a command, or from a job of the same run."""

    command: Annotated[Text | None, Meta(description="Run by /bin/sh when the file is read; one line = one value.")] = (
        None
    )
    job: Annotated[Text | None, Meta(description="The job that reports the values.")] = None
    output: Annotated[Text | None, Meta(description="What the job calls the list it writes to ETL_OUTPUT.")] = None


SOURCES = '{ command = "…" } or { job = "…", output = "…" }'
_SOURCE = Meta(extra_json_schema={"oneOf": [{"required": ["command"]}, {"required": ["job", "output"]}]})
MatrixValues = Annotated[
    Text | list[Scalar] | Annotated[MatrixSource, _SOURCE],
    _expected(f'a range such as "0..19", a list, {SOURCES}'),
]


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a job may set, and [defaults] for all jobs."""

    phase: Annotated[Text | None, Meta(description="The phase the job belongs to.")] = None
    shell: Annotated[Switch | None, Meta(description="Give `run` to /bin/sh -c instead of splitting it.")] = None
    pool: Annotated[Texts | None, Meta(description="Pools the job takes one place of.")] = None
    pools: Annotated[dict[str, Count] | None, Meta(description="Pools and how many places of each.")] = None
    timeout: Annotated[Duration | None, Meta(description="Stop an attempt after this long. 0: no limit.")] = None
    grace: Annotated[Duration | None, Meta(description="Time between TERM and KILL when stopped.")] = None
    retries: Annotated[
        Annotated[int, Meta(ge=0, le=1000), _expected("a whole number from 0 to 1000")] | None,
        Meta(description="How many more attempts after a failed one."),
    ] = None
    retry_delay: Annotated[Duration | None, Meta(description="Wait before the second attempt.")] = None
    retry_factor: Annotated[
        Annotated[float, Meta(ge=1, le=1000), _expected("a number from 1 to 1000")] | None,
        Meta(description="Each further wait is this many times longer."),
    ] = None
    retry_cap: Annotated[Duration | None, Meta(description="No wait is longer than this.")] = None
    retry_jitter: Annotated[
        Annotated[float, Meta(ge=0, le=1), _expected("a number from 0 to 1")] | None,
        Meta(description="Lengthen each wait at random by up to this fraction."),
    ] = None
    retry_on: Annotated[
        Annotated[list[Retryable], _expected('a list such as [1, 75, "timeout"]')] | None,
        Meta(description="What another attempt is worth trying after: exit statuses, signal, timeout."),
    ] = None
    when: Annotated[
        Annotated[When, _expected('"success", "always" or "failure"')] | None,
        Meta(description="Run after success of the needs, always, or only after a failure."),
    ] = None
    optional: Annotated[Switch | None, Meta(description="A failure neither blocks others nor fails the run.")] = None
    env: Annotated[Env | None, Meta(description="Environment of the job, over the one it inherits.")] = None
    env_file: Annotated[Texts | None, Meta(description="Files of NAME=value lines; the environment wins.")] = None
    cwd: Annotated[Text | None, Meta(description="Folder to run in, from the project's root.")] = None
    memory: Annotated[Size | None, Meta(description="Most memory its processes may have together.")] = None
    pids: Annotated[Count | None, Meta(description="Most processes it may have at once.")] = None
    log_limit: Annotated[Size | None, Meta(description="Keep at most this much of an attempt's output.")] = None
    expect: Annotated[Duration | None, Meta(description="Slower than this is a warning, not a failure.")] = None
    tags: Annotated[Texts | None, Meta(description="Names to select jobs by.")] = None
    description: Annotated[Text | None, Meta(description="One sentence for people.")] = None


class JobChanges(Limits, frozen=True, kw_only=True):
    """What a profile may say about a job."""

    run: Annotated[Texts | None, Meta(description="What to run: split as a shell would, or a list.")] = None
    explain: Annotated[
        Texts | None,
        Meta(description="Words behind the command with which it says what it would do, and does nothing."),
    ] = None
    needs: Annotated[Texts | None, Meta(description="Jobs or phases that must be done before.")] = None
    matrix: Annotated[
        Annotated[dict[str, MatrixValues], _expected('a table such as { id = "0..19" }')] | None,
        Meta(description="One copy of the job for each value, or each combination of values."),
    ] = None


class JobTable(JobChanges, frozen=True, kw_only=True):
    """A job of the file."""

    run: Annotated[Texts, Meta(description="What to run: split as a shell would, or a list.")]


class PhaseTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A phase of the file."""

    needs: Annotated[Texts | None, Meta(description="Phases or jobs that must be done before.")] = None
    description: Annotated[Text | None, Meta(description="One sentence for people.")] = None


class PipelineTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The pipeline as a whole."""

    name: Annotated[
        Annotated[str, Meta(pattern=NAME), _expected("a name of letters, digits, '.', '_' and '-'")] | None,
        Meta(description="The pipeline's name (default: the project folder's)."),
    ] = None
    workers: Annotated[Count | None, Meta(description="How many jobs run side by side (default 4).")] = None
    schedule: Annotated[Text | None, Meta(description="When to run, as five cron fields.")] = None
    timezone: Annotated[Text | None, Meta(description="The schedule's time zone, such as Europe/Madrid.")] = None
    timeout: Annotated[Duration | None, Meta(description="Stop the whole run after this long. 0: no limit.")] = None
    warehouse: Annotated[Switch | None, Meta(description="The jobs want a PostgreSQL in DATABASE_URL.")] = None
    preload: Annotated[
        Annotated[list[Module], _expected('a list of modules such as ["psycopg"]')] | None,
        Meta(description="Modules that `python -m` jobs find imported already: they start faster."),
    ] = None
    fail_fast: Annotated[Switch | None, Meta(description="Stop everything at the first failure.")] = None
    secrets: Annotated[
        Texts | None, Meta(description="Variables whose values are hidden, beside …PASSWORD, …TOKEN and the like.")
    ] = None
    env: Annotated[Env | None, Meta(description="Environment of all jobs.")] = None
    env_file: Annotated[Texts | None, Meta(description="Files of NAME=value lines; the environment wins.")] = None


class Changes(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a profile may say: the same tables, merged over the file's."""

    pipeline: Annotated[PipelineTable, Meta(description="The pipeline as a whole.")] = PipelineTable()
    defaults: Annotated[Limits, Meta(description="What every job starts from.")] = Limits()
    params: Annotated[
        dict[str, Scalar], Meta(description="Values for {name} in run, env and cwd; --param sets them.")
    ] = {}
    pools: Annotated[dict[str, Count], Meta(description="Pools: how many places each has.")] = {}
    phases: Annotated[dict[str, PhaseTable], Meta(description="Phases, in order.")] = {}
    jobs: Annotated[dict[str, JobChanges], Meta(description="Jobs by name.")] = {}


class File(Changes, frozen=True, kw_only=True):
    """A whole pipeline file."""

    jobs: Annotated[dict[str, JobTable], Meta(description="Jobs by name.")] = {}  # type: ignore[assignment]
    profiles: Annotated[dict[str, Changes], Meta(description="Changes for `--profile NAME`.")] = {}
