"""A pipeline that has been read and checked, and the plans it makes."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from functools import partial
from pathlib import PurePath

from msgspec import Struct

from etl_runner.errors import UsageError
from etl_runner.expanding import text_with_holes
from etl_runner.model import LOG_LIMIT, Copy, Expansion, Job, Phase, Plan, Retry, When
from etl_runner.pipeline.durations import parse_duration
from etl_runner.pipeline.file import File, JobTable
from etl_runner.pipeline.sizes import parse_size
from etl_runner.pipeline.text import Pieces, fill
from etl_runner.pipeline.words import did_you_mean

SHELL = ("/bin/sh", "-c")
DEFAULT_WORKERS = 4
DEFAULT_GRACE = 5.0


class Texts(Struct, frozen=True, kw_only=True):
    """A template's texts with their holes. `layers` of env go from outer to inner; `files` are env_file's variables."""

    run: tuple[Pieces, ...]
    cwd: Pieces
    layers: tuple[dict[str, Pieces], ...] = ()
    files: dict[str, str] = {}


class Template(Struct, frozen=True, kw_only=True):
    """A job of the file: `params` are its matrix keys and their allowed values; `table` has the defaults merged in.

    With an `expand` there is one copy in the place of those that become known during a run.
    """

    name: str
    phase: str
    description: str
    params: dict[str, tuple[str, ...]]
    pools: dict[str, int]
    copies: tuple[Copy, ...]
    texts: Texts
    table: JobTable
    expand: Expansion | None = None


class Pipeline(Struct, frozen=True, kw_only=True):
    """What a pipeline file says, checked. `spec` is the file as structs, `env` the environment it was read with."""

    name: str
    spec: File
    templates: dict[str, Template]
    phases: tuple[Phase, ...]
    params: dict[str, str]
    root: str
    env: Mapping[str, str]
    profile: str = ""

    def plan(
        self,
        *,
        params: Mapping[str, str] = {},
        workers: int | None = None,
        timeout: float | None = None,
        fail_fast: bool = False,
    ) -> Plan:
        """The plan of a run of everything. The arguments go over the file; `timeout` is each job's, 0 for none.

        Raises UsageError for a parameter the file does not have, and for fewer than one worker.
        """
        given = self._params(params)
        if workers is not None and workers < 1:
            raise UsageError(f"{workers} workers cannot do anything", hint="use -w 1 or more")
        table = self.spec.pipeline
        return Plan(
            pipeline=self.name,
            jobs=tuple(job for template in self.templates.values() for job in self._jobs(template, given, timeout)),
            phases=self.phases,
            workers=workers or table.workers or DEFAULT_WORKERS,
            pools=self.spec.pools,
            profile=self.profile,
            fail_fast=fail_fast or bool(table.fail_fast),
            timeout=_limit(table.timeout),
            warehouse=bool(table.warehouse),
            preload=tuple(table.preload or ()),
            schedule=table.schedule,
            timezone=table.timezone,
            secrets=texts(table.secrets),
            params=dict(params),
        )

    def job_names(self, template: str, params: Mapping[str, str] = {}) -> tuple[str, ...]:
        """The jobs of a template whose parameters have these values; all of them if none is given.

        Raises UsageError for a template, a parameter or a value that does not exist.
        """
        found = self.templates.get(template)
        if found is None:
            raise UsageError(f"no job called {template!r}", hint=did_you_mean(template, self.templates))
        wanted = {name: _allowed(found, name, value) for name, value in params.items()}
        return tuple(copy.name for copy in found.copies if wanted.items() <= copy.params.items())

    def _params(self, params: Mapping[str, str]) -> dict[str, str]:
        for name in params:
            if name not in self.params:
                hint = did_you_mean(name, self.params) or "parameters are declared in [params]"
                raise UsageError(f"no parameter called {name!r}", hint=hint)
        return {**self.params, **params}

    def _jobs(self, template: Template, params: Mapping[str, str], timeout: float | None) -> list[Job]:
        table = template.table
        retry = _retry(table)
        tags = texts(table.tags)
        limit = _limit(table.timeout if timeout is None else timeout)
        jobs = []
        for copy in template.copies:
            argv, cwd, env = self._texts(template, {**params, **copy.params})
            job = Job(
                name=copy.name,
                template=template.name,
                argv=argv,
                cwd=cwd,
                phase=template.phase,
                env=env,
                params=copy.params,
                needs=copy.needs,
                when=table.when or When.SUCCESS,
                optional=bool(table.optional),
                pools=template.pools,
                timeout=limit,
                grace=DEFAULT_GRACE if table.grace is None else parse_duration(table.grace),
                retry=retry,
                expect=_limit(table.expect),
                tags=tags,
                memory=None if table.memory is None else parse_size(table.memory),
                pids=table.pids,
                log_limit=LOG_LIMIT if table.log_limit is None else parse_size(table.log_limit),
                expand=template.expand,
            )
            jobs.append(job)
        return jobs

    def _texts(self, template: Template, params: Mapping[str, str]) -> tuple[tuple[str, ...], str, dict[str, str]]:
        """The argv, working directory and environment of one job, with `{key}` for what is known only during a run."""
        if not template.expand:
            return self._filled(template, params)
        marks = {key: f"\0{key}\1" for key in template.expand.matrix}
        argv, cwd, env = self._filled(template, {**params, **marks})
        with_holes = partial(text_with_holes, holes=marks)
        return tuple(map(with_holes, argv)), with_holes(cwd), {name: with_holes(value) for name, value in env.items()}

    def _filled(self, template: Template, params: Mapping[str, str]) -> tuple[tuple[str, ...], str, dict[str, str]]:
        """The argv, working directory and environment of one job."""
        source = template.texts
        env = fill_env(source, params=params, environment=self.env)
        given = Environment(env, self.env)
        if template.table.shell:
            argv = (*SHELL, *(fill(p, params=params, lookup=given.get, quote=_quote) for p in source.run))
        else:
            argv = tuple(fill(p, params=params, lookup=given.get) for p in source.run)
        cwd = PurePath(self.root, fill(source.cwd, params=params, lookup=given.get))
        return argv, str(cwd), env


class Environment(Struct, frozen=True):
    """A job's own variables over the inherited ones."""

    own: Mapping[str, str]
    inherited: Mapping[str, str]

    def get(self, name: str) -> str | None:
        value = self.own.get(name)
        return self.inherited.get(name) if value is None else value


def fill_env(source: Texts, *, params: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """A job's own variables: each may use those of its files, of outer layers, those before it, and the inherited."""
    env = {name: value for name, value in source.files.items() if name not in environment}
    given = Environment(env, environment)
    for layer in source.layers:
        for name, pieces in layer.items():
            env[name] = fill(pieces, params=params, lookup=given.get)
    return env


def _quote(value: str) -> str:
    """For a shell; a mark is quoted when there is a value for it."""
    return value if value.startswith("\0") else shlex.quote(value)


def texts(value: str | list[str] | None) -> tuple[str, ...]:
    """One text or several, as a tuple."""
    return (value,) if isinstance(value, str) else tuple(value or ())


def words_of(value: str | list[str] | None) -> tuple[str, ...]:
    """A list as it is, a text split as a shell would. Raises ValueError for a quote that does not end."""
    return tuple(shlex.split(value)) if isinstance(value, str) else tuple(value or ())


def _retry(table: JobTable) -> Retry:
    usual = Retry()
    return Retry(
        count=table.retries or 0,
        delay=parse_duration(table.retry_delay or 0),
        factor=usual.factor if table.retry_factor is None else table.retry_factor,
        cap=None if table.retry_cap is None else parse_duration(table.retry_cap),
        jitter=table.retry_jitter or 0.0,
        on=None if table.retry_on is None else tuple(table.retry_on),
    )


def _limit(value: str | float | None) -> float | None:
    """Seconds of a limit; 0 is no limit."""
    return None if value is None else parse_duration(value) or None


def _allowed(template: Template, name: str, value: str) -> str:
    values = template.params.get(name)
    if values is None:
        hint = did_you_mean(name, template.params) or f"it has: {', '.join(template.params) or 'none'}"
        raise UsageError(f"job {template.name!r} has no parameter {name!r}", hint=hint)
    if value in values:
        return value
    if same := [v for v in values if v.isdigit() and value.isdigit() and int(v) == int(value)]:
        return same[0]
    raise UsageError(f"job {template.name!r} has no {name} {value!r}", hint=f"{name} is one of {shown_values(values)}")


def shown_values(values: tuple[str, ...]) -> str:
    """Allowed values in short: a range of numbers as 0..19, many as the first and the last."""
    if len(values) > 2 and all(v.isdigit() for v in values):
        numbers = [int(v) for v in values]
        if numbers == list(range(numbers[0], numbers[-1] + 1)):
            return f"{values[0]}..{values[-1]}"
    if len(values) > 12:
        return f"{', '.join(values[:10])}, … {values[-1]} ({len(values)} in all)"
    return ", ".join(values)
