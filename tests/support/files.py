"""Pipeline files for tests: read a text, and see its problems in short."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from textwrap import dedent

from etl_runner.model import Job, Plan
from etl_runner.pipeline import Pipeline, PipelineProblems, read_pipeline


def read(
    text: str,
    *,
    env: Mapping[str, str] = {},
    profile: str | None = None,
    files: Mapping[str, str] = {},
    run_command: Callable[[str], str] | None = None,
) -> Pipeline:
    """The pipeline of a text; `files` are what an env_file may name."""

    def read_file(name: str) -> str:
        if name not in files:
            raise FileNotFoundError(2, "No such file or directory", name)
        return files[name]

    return read_pipeline(
        dedent(text),
        path="etl.toml",
        root="/srv/project",
        env=env,
        profile=profile,
        run_command=run_command,
        read_file=read_file,
    )


def plan_of(text: str, **settings: object) -> Plan:
    return read(text, **settings).plan()  # type: ignore[arg-type]


def only_job(text: str, **settings: object) -> Job:
    """The one job of a text."""
    (job,) = plan_of(text, **settings).jobs
    return job


def problems_of(text: str, **settings: object) -> list[str]:
    """Every problem as `line:col+width key: message | suggestion`, empty if the text is good."""
    try:
        read(text, **settings)  # type: ignore[arg-type]
    except PipelineProblems as found:
        return [f"{p.line}:{p.col}+{p.width} {p.key}: {p.message} | {p.suggestion}" for p in found.problems]
    return []
