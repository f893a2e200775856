"""From the text of a pipeline file to a checked pipeline, with every problem reported at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath

from etl_runner.errors import UsageError
from etl_runner.model import Phase, When
from etl_runner.pipeline.file import File
from etl_runner.pipeline.job_texts import ReadFile, Surroundings
from etl_runner.pipeline.jobs import JobReader, check_name, check_word
from etl_runner.pipeline.matrix import RunCommand
from etl_runner.pipeline.needs import resolve_needs
from etl_runner.pipeline.pipeline import Pipeline, Template, texts
from etl_runner.pipeline.shape import check_profiles, read_shape
from etl_runner.pipeline.source import Source


def read_pipeline(
    text: str,
    *,
    path: str,
    root: str,
    env: Mapping[str, str],
    profile: str | None = None,
    run_command: RunCommand | None = None,
    read_file: ReadFile | None = None,
) -> Pipeline:
    """The pipeline a text describes.

    `path` is the file's name as people should see it, `root` the absolute folder jobs run in. `run_command` gives the
    output of a matrix command, `read_file` the text of an `env_file` (a path from the root); both raise OSError.
    Raises PipelineProblems with every problem there is, UsageError for a profile the file does not have.
    """
    source = Source(text, file=path)
    _merge_profile(source, profile)
    spec = read_shape(source)
    check_profiles(source)
    _check_names(source, spec)
    _check_schedule(source, spec)
    reader = JobReader(source, spec, Surroundings(env=env, run_command=run_command, read_file=read_file))
    templates = resolve_needs(source, spec, {name: reader.read(name) for name in spec.jobs})
    _check_jobs(source, spec, templates)
    source.raise_problems()
    return Pipeline(
        name=spec.pipeline.name or re.sub(r"[^A-Za-z0-9._-]+", "_", PurePath(root).name) or "pipeline",
        spec=spec,
        templates=templates,
        phases=tuple(Phase(name=name, needs=texts(phase.needs)) for name, phase in spec.phases.items()),
        params={name: str(value) for name, value in spec.params.items()},
        root=root,
        env=env,
        profile=profile or "",
    )


def _merge_profile(source: Source, profile: str | None) -> None:
    if profile is None:
        return
    profiles = source.data.get("profiles", {})
    if not isinstance(profiles, dict) or profile not in profiles:
        from etl_runner.pipeline.words import did_you_mean

        hint = did_you_mean(profile, profiles) or f"profiles are tables such as [profiles.{profile}]"
        raise UsageError(f"no profile called {profile!r} in {source.file}", hint=hint)
    if isinstance(profiles[profile], dict):
        source.merge(profiles[profile], path=("profiles", profile))
    else:
        source.add(("profiles", profile), "expected a table")


def _check_names(source: Source, spec: File) -> None:
    for table in ("jobs", "phases", "pools"):
        for name in getattr(spec, table):
            check_name(source, (table, name), name)
    for name in spec.params:
        check_word(source, ("params", name), name)


def _check_schedule(source: Source, spec: File) -> None:
    table = spec.pipeline
    if table.schedule is not None:
        from datetime import UTC, datetime

        from cronsim import CronSim, CronSimError

        try:
            CronSim(table.schedule, datetime(2026, 1, 1, tzinfo=UTC))
        except CronSimError as error:
            cure = 'five fields: minute hour day month weekday, such as "0 3 * * 1-5"'
            source.add(("pipeline", "schedule"), f"no cron schedule: {str(error).lower()}", cure)
    if table.timezone is not None and not _is_zone(table.timezone):
        from zoneinfo import available_timezones

        from etl_runner.pipeline.words import did_you_mean

        cure = did_you_mean(table.timezone, available_timezones()) or 'such as "Europe/Madrid"'
        source.add(("pipeline", "timezone"), f"no time zone called {table.timezone!r}", cure)


def _is_zone(name: str) -> bool:
    """Whether the zone exists; where this machine has no zones at all, every name passes."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    for known in (name, "UTC"):
        try:
            ZoneInfo(known)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            continue
        return known == name
    return True


def _check_jobs(source: Source, spec: File, templates: Mapping[str, Template]) -> None:
    if not spec.jobs and not source.problems:
        source.add(("jobs",), "no jobs", 'write one: [jobs.hello] with run = "echo hello"')
    members: dict[str, set[str]] = {phase: set() for phase in spec.phases}
    owners: dict[str, str] = dict.fromkeys(templates, "")
    for template in templates.values():
        members.setdefault(template.phase, set()).add(template.name)
        for copy in template.copies:
            other = owners.setdefault(copy.name, template.name)
            if other != template.name and template.params and not template.expand:
                cure = "rename the job, or use other values"
                source.add(("jobs", template.name, "matrix"), f"there is already a job {copy.name!r}", cure)
        if template.table.when is When.FAILURE and not any(copy.needs for copy in template.copies):
            cure = "add what it watches: needs = […]"
            source.add(("jobs", template.name, "when"), "without needs this job never runs", cure)
    for phase in spec.phases.keys() & owners.keys():
        if members[phase] != {owners[phase] or phase}:
            cure = "rename one of them, so that needs and --only are clear"
            source.add(
                ("jobs", owners[phase] or phase), f"{phase!r} is also a phase with other jobs", cure, on_key=True
            )
