"""One job of the file → a template: defaults, matrix, texts, pools."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from msgspec.structs import replace

from etl_runner.pipeline.file import NAME, WORD, File, JobTable, Limits, MatrixCommand
from etl_runner.pipeline.matrix import (
    SHORT_FORM,
    MatrixError,
    RunCommand,
    Values,
    combinations,
    copy_name,
    matrix_values,
)
from etl_runner.pipeline.pipeline import Copy, Environment, Template, Texts, texts
from etl_runner.pipeline.positions import Path
from etl_runner.pipeline.source import Source
from etl_runner.pipeline.text import (
    Pieces,
    TextError,
    params_in,
    parse_text,
    read_env_file,
    split_words,
    vars_in,
)
from etl_runner.pipeline.words import did_you_mean

ReadFile = Callable[[str], str]
LONGEST_NAME = 200
WHILE_RUNNING = frozenset(
    f"ETL_{name}" for name in ("RUN_ID", "JOB", "PHASE", "ATTEMPT", "PROFILE", "DEADLINE", "OUTPUT", "RUN_DIR")
)


class Surroundings:
    """What the file is read with: the environment, and how to run a command and read a file."""

    def __init__(self, *, env: Mapping[str, str], run_command: RunCommand | None, read_file: ReadFile | None) -> None:
        self.env = env
        self.run_command = run_command
        self.read_file = read_file


class JobReader:
    """Reads the jobs of one file. Problems are added to `source`."""

    def __init__(self, source: Source, spec: File, surroundings: Surroundings) -> None:
        self.source = source
        self.spec = spec
        self.around = surroundings
        self.files = self._env_files(("pipeline", "env_file"), spec.pipeline.env_file)
        self.outer = [
            self._env(("pipeline", "env"), spec.pipeline.env),
            self._env(("defaults", "env"), spec.defaults.env),
        ]

    def read(self, name: str) -> Template:
        """The template of a job, its needs still open."""
        job = self.spec.jobs[name]
        table = with_defaults(job, self.spec.defaults)
        params, copies = self._matrix(name, table)
        self._phase(name, table)
        own = {"env": ("jobs", name, "env"), "run": ("jobs", name, "run")}
        files = {**self.files, **self._env_files(self._path(name, "env_file"), table.env_file)}
        source = Texts(
            run=self._run(own["run"], table),
            cwd=self._text(self._path(name, "cwd"), table.cwd or ""),
            layers=(*self.outer, self._env(own["env"], job.env)),
            files=files,
        )
        if (table.cwd or "").startswith("~"):
            self.source.add(self._path(name, "cwd"), "'~' means nothing without a shell", "write ${HOME}")
        self._holes(name, source, params)
        return Template(
            name=name,
            phase=table.phase or "",
            description=table.description or "",
            params=params,
            pools=self._pools(name, table),
            copies=copies,
            texts=source,
            table=table,
        )

    def _path(self, job: str, key: str) -> Path:
        """Where a job's value is written: in its table, or in the defaults."""
        written = getattr(self.spec.jobs[job], key) is not None or key not in _DEFAULTS
        return ("jobs", job, key) if written or getattr(self.spec.defaults, key) is None else ("defaults", key)

    # copies

    def _matrix(self, name: str, table: JobTable) -> tuple[dict[str, tuple[str, ...]], tuple[Copy, ...]]:
        matrix: dict[str, Values] = dict(table.matrix or {})
        path: Path = ("jobs", name, "matrix")
        if table.matrix is not None and not matrix:
            self.source.add(path, "no values, so no jobs", 'write it like { id = "0..19" }')
        if list(matrix) == ["command"] and isinstance(command := matrix["command"], str):
            matrix = {SHORT_FORM: MatrixCommand(command=command)}
        params: dict[str, tuple[str, ...]] = {}
        for key, values in matrix.items():
            written = (*path, key) if key in (table.matrix or {}) else (*path, "command")
            params[key] = self._values(key, values, written)
        try:
            found = combinations(params)
        except MatrixError as error:
            self.source.add(path, error.message, error.cure)
            found = []
        return params, self._copies(name, found, path)

    def _values(self, key: str, values: Values, path: Path) -> tuple[str, ...]:
        check_word(self.source, path, key)
        if key in self.spec.params:
            self.source.add(path, f"{key!r} is also one of [params]", "rename one of them", on_key=True)
        try:
            return matrix_values(values, run_command=self.around.run_command)
        except MatrixError as error:
            self.source.add(path, error.message, error.cure)
            return (STAND_IN,)

    def _copies(self, name: str, found: Iterable[dict[str, str]], path: Path) -> tuple[Copy, ...]:
        copies: dict[str, Copy] = {}
        for params in found:
            copy = Copy(name=copy_name(name, params), params=params)
            if len(copy.name) > LONGEST_NAME:
                self.source.add(path, f"the name {copy.name[:40]}… is longer than {LONGEST_NAME} characters")
            if other := copies.get(copy.name):
                both = " and ".join("-".join(p.values()) for p in (other.params, params))
                self.source.add(path, f"{both} give the same name {copy.name!r}", "use other values")
            copies[copy.name] = copy
        return tuple(copies.values())

    # phase and pools

    def _phase(self, name: str, table: JobTable) -> None:
        if table.phase and table.phase not in self.spec.phases:
            cure = did_you_mean(table.phase, self.spec.phases) or f"add it to [phases]: {table.phase} = {{}}"
            self.source.add(self._path(name, "phase"), f"no phase called {table.phase!r}", cure)

    def _pools(self, name: str, table: JobTable) -> dict[str, int]:
        wanted: dict[str, int] = {}
        for path, pool in _places(self._path(name, "pool"), table.pool):
            wanted[pool] = 1
            self._pool(path, pool, 1)
        for pool, places in (table.pools or {}).items():
            path = (*self._path(name, "pools"), pool)
            if pool in wanted:
                self.source.add(path, f"{pool!r} is also in 'pool'", "keep one of them", on_key=True)
            wanted[pool] = places
            self._pool(path, pool, places)
        return wanted

    def _pool(self, path: Path, pool: str, places: int) -> None:
        size = self.spec.pools.get(pool)
        if size is None:
            cure = did_you_mean(pool, self.spec.pools) or f"add it to [pools]: {pool} = 4"
            self.source.add(path, f"no pool called {pool!r}", cure)
        elif places > size:
            self.source.add(path, f"the job takes {places} places of pool {pool!r}, which has {size}")

    # texts

    def _run(self, path: Path, table: JobTable) -> tuple[Pieces, ...]:
        if table.shell and not isinstance(table.run, str):
            self.source.add(path, "a list needs no shell", "write one text, or drop shell = true")
        elif table.shell:
            return (self._text(path, texts(table.run)[0], shell=True),)
        if not isinstance(table.run, str):
            if not table.run:
                self.source.add(path, "nothing to run")
            return tuple(self._text(written, word) for written, word in _places(path, table.run))
        try:
            return split_words(table.run)
        except TextError as error:
            self.source.add(path, error.message, error.cure, token=error.token)
            return ()

    def _text(self, path: Path, text: str, *, shell: bool = False) -> Pieces:
        if "\0" in text:
            self.source.add(path, "no text can hold a NUL character")
        try:
            return parse_text(text, shell=shell)
        except TextError as error:
            self.source.add(path, error.message, error.cure, token=error.token)
            return ()

    def _env(self, path: Path, table: Mapping[str, str | int] | None) -> dict[str, Pieces]:
        for name in table or {}:
            if not name or "=" in name or "\0" in name:
                self.source.add((*path, name), f"{name!r} cannot name a variable", on_key=True)
        return {name: self._text((*path, name), str(value)) for name, value in (table or {}).items()}

    def _env_files(self, path: Path, names: str | list[str] | None) -> dict[str, str]:
        values: dict[str, str] = {}
        for written, name in _places(path, names):
            values.update(self._env_file(written, name))
        return values

    def _env_file(self, path: Path, name: str) -> dict[str, str]:
        if self.around.read_file is None:
            self.source.add(path, "files are not read here")
            return {}
        try:
            text = self.around.read_file(name)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            self.source.add(path, f"cannot read {name!r}: {reason.lower()}")
            return {}
        values, bad = read_env_file(text)
        for number, line in bad:
            self.source.add_elsewhere(name, number, line, "expected NAME=value")
        return values

    # holes

    def _holes(self, name: str, source: Texts, params: Mapping[str, tuple[str, ...]]) -> None:
        """Check that every {param} exists and every ${VAR} is set."""
        known = [*params, *self.spec.params]
        own = dict.fromkeys(source.files, "")
        given = Environment(own, self.around.env)
        paths: tuple[Path, ...] = (("pipeline", "env"), ("defaults", "env"), ("jobs", name, "env"))
        for path, layer in zip(paths, source.layers, strict=True):
            for variable, pieces in layer.items():
                self._check_holes((*path, variable), pieces, known, given)
                own[variable] = ""
        for pieces in source.run:
            self._check_holes(("jobs", name, "run"), pieces, known, given)
        self._check_holes(self._path(name, "cwd"), source.cwd, known, given)

    def _check_holes(self, path: Path, pieces: Pieces, known: list[str], given: Environment) -> None:
        for param in params_in(pieces):
            if param not in known:
                cure = did_you_mean(param, known) or f"add {param} to [params] or matrix; a literal brace is '{{{{'"
                self.source.add(path, f"unknown parameter {param!r}", cure, token=f"{{{param}}}")
        for variable in vars_in(pieces):
            if given.get(variable) is None:
                cure = self._unset_cure(variable)
                self.source.add(path, f"{variable} is not set", cure, token=f"${{{variable}}}")

    def _unset_cure(self, variable: str) -> str:
        if variable in WHILE_RUNNING or (variable == "DATABASE_URL" and self.spec.pipeline.warehouse):
            return "only the running job knows it: set shell = true, or read it in the job"
        return f"set it, or write ${{{variable}:-default}}"


STAND_IN = "0"  # a matrix value where the real ones could not be found
_DEFAULTS = frozenset(Limits.__struct_fields__)


def with_defaults(job: JobTable, defaults: Limits) -> JobTable:
    """The job with what it does not say itself taken from the defaults (env is laid in layers instead)."""
    missing = {name for name in _DEFAULTS if getattr(job, name) is None} - {"env"}
    if job.pool is not None or job.pools is not None:
        missing -= {"pool", "pools"}
    return replace(job, **{name: getattr(defaults, name) for name in missing})


def check_word(source: Source, path: Path, word: str) -> None:
    """Add a problem where a parameter's name could not stand between braces."""
    import re

    if not re.match(WORD, word):
        source.add(path, f"{word!r} is no name for a parameter", "use letters, digits and '_'", on_key=True)


def check_name(source: Source, path: Path, name: str) -> None:
    """Add a problem where a name could not be a file's."""
    import re

    if not re.match(NAME, name) or len(name) > LONGEST_NAME:
        cure = "use letters, digits, '.', '_' and '-', the first a letter or digit"
        source.add(path, f"{name!r} is no name", cure, on_key=True)


def _places(path: Path, value: str | list[str] | None) -> list[tuple[Path, str]]:
    """One text or several, each with its place."""
    if isinstance(value, str):
        return [(path, value)]
    return [((*path, index), text) for index, text in enumerate(value or ())]
