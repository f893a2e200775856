"""One job of the file → a template: defaults, matrix, texts, pools."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from msgspec.structs import replace

from etl_runner.model import INTERVAL, Copy, Expansion, Output
from etl_runner.pipeline.file import NAME, WORD, File, JobTable, Limits, MatrixSource
from etl_runner.pipeline.job_texts import Surroundings, TextReader, places_of
from etl_runner.pipeline.matrix import (
    LONGEST_NAME,
    SHORT_FORM,
    MatrixError,
    Values,
    combinations,
    matrix_values,
    named,
)
from etl_runner.pipeline.pipeline import Template, words_of
from etl_runner.pipeline.positions import Path
from etl_runner.pipeline.source import Source
from etl_runner.pipeline.words import did_you_mean


class JobReader:
    """Reads the jobs of one file. Problems are added to `source`."""

    def __init__(self, source: Source, spec: File, surroundings: Surroundings) -> None:
        self.source = source
        self.spec = spec
        self.around = surroundings
        self.texts = TextReader(source, spec, surroundings)

    def read(self, name: str) -> Template:
        """The template of a job, its needs still open."""
        job = self.spec.jobs[name]
        table = with_defaults(job, self.spec.defaults)
        matrix = self._matrix(name, table)
        expand = Expansion(matrix=matrix, shell=bool(table.shell)) if _is_open(matrix) else None
        params = {key: () if isinstance(values, Output) else values for key, values in matrix.items()}
        self._phase(name, table)
        self._explain(name, table)
        path = partial(self._path, name)
        source = self.texts.read(table, own_env=job.env, path=path)
        self.texts.check_holes(source, [*params, *self.spec.params], path=path)
        return Template(
            name=name,
            phase=table.phase or "",
            description=table.description or "",
            params=params,
            pools=self._pools(name, table),
            copies=(Copy(name=name),) if expand else self._copies(name, params),
            expand=expand,
            texts=source,
            table=table,
        )

    def _path(self, job: str, key: str) -> Path:
        """Where a job's value is written: in its table, or in the defaults."""
        written = getattr(self.spec.jobs[job], key) is not None or key not in _DEFAULTS
        return ("jobs", job, key) if written or getattr(self.spec.defaults, key) is None else ("defaults", key)

    # copies

    def _matrix(self, name: str, table: JobTable) -> dict[str, tuple[str, ...] | Output]:
        matrix: dict[str, Values] = dict(table.matrix or {})
        path: Path = ("jobs", name, "matrix")
        if table.matrix is not None and not matrix:
            self.source.add(path, "no values, so no jobs", 'write it like { id = "0..19" }')
        if short := _short_form(matrix):
            return {SHORT_FORM: self._values(SHORT_FORM, short, (*path, next(iter(matrix))))}
        return {key: self._values(key, values, (*path, key)) for key, values in matrix.items()}

    def _values(self, key: str, values: Values, path: Path) -> tuple[str, ...] | Output:
        check_word(self.source, path, key)
        if key in self.spec.params:
            self.source.add(path, f"{key!r} is also one of [params]", "rename one of them", on_key=True)
        if key in INTERVAL:
            self.source.add(path, f"a backfill gives {key!r}", "rename it", on_key=True)
        try:
            return matrix_values(values, run_command=self.around.run_command)
        except MatrixError as error:
            self.source.add(path, error.message, error.cure)
            return (STAND_IN,)

    def _copies(self, name: str, params: Mapping[str, tuple[str, ...]]) -> tuple[Copy, ...]:
        try:
            return named(name, combinations(params))
        except MatrixError as error:
            self.source.add(("jobs", name, "matrix"), error.message, error.cure)
            return ()

    # phase, pools, explain

    def _explain(self, name: str, table: JobTable) -> None:
        if table.explain is not None and table.shell:
            cure = "write run without shell = true"
            self.source.add(("jobs", name, "explain"), "words behind a shell's text have no place in it", cure)
        try:
            words_of(table.explain)
        except ValueError as error:
            self.source.add(("jobs", name, "explain"), f"{str(error).lower()}: {table.explain!r}")

    def _phase(self, name: str, table: JobTable) -> None:
        if table.phase and table.phase not in self.spec.phases:
            cure = did_you_mean(table.phase, self.spec.phases) or f"add it to [phases]: {table.phase} = {{}}"
            self.source.add(self._path(name, "phase"), f"no phase called {table.phase!r}", cure)

    def _pools(self, name: str, table: JobTable) -> dict[str, int]:
        wanted: dict[str, int] = {}
        for path, pool in places_of(self._path(name, "pool"), table.pool):
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


STAND_IN = "0"  # a matrix value where the real ones could not be found
_DEFAULTS = frozenset(Limits.__struct_fields__)


def _short_form(matrix: Mapping[str, Values]) -> MatrixSource | None:
    """A source written without a parameter's name."""
    texts = {key: values for key, values in matrix.items() if isinstance(values, str)}
    if texts.keys() == matrix.keys() and matrix.keys() in ({"command"}, {"job", "output"}):
        return MatrixSource(**texts)
    return None


def _is_open(matrix: Mapping[str, tuple[str, ...] | Output]) -> bool:
    return any(isinstance(values, Output) for values in matrix.values())


def with_defaults(job: JobTable, defaults: Limits) -> JobTable:
    """The job with what it does not say itself taken from the defaults (env is laid in layers instead)."""
    missing = {name for name in _DEFAULTS if getattr(job, name) is None} - {"env"}
    if job.pool is not None or job.pools is not None:
        missing -= {"pool", "pools"}
    if not isinstance(job.run, str):
        missing -= {"shell"}
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
