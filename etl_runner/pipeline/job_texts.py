"""The texts of a job: its command, environment and folder, with their holes checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from etl_runner.model import INTERVAL
from etl_runner.pipeline.file import File, JobTable
from etl_runner.pipeline.matrix import RunCommand
from etl_runner.pipeline.pipeline import Environment, Texts, texts
from etl_runner.pipeline.positions import Path
from etl_runner.pipeline.source import Source
from etl_runner.pipeline.text import (
    Pieces,
    TextError,
    Var,
    params_in,
    parse_text,
    read_env_file,
    split_words,
    vars_in,
)
from etl_runner.pipeline.words import did_you_mean
from etl_runner.secrecy import is_secret, is_secret_name, passwords_in

ReadFile = Callable[[str], str]
Where = Callable[[str], Path]
"""From a job's key to where its value is written: in its table, or in the defaults."""
WHILE_RUNNING = frozenset(
    f"ETL_{name}" for name in ("RUN_ID", "JOB", "PHASE", "ATTEMPT", "PROFILE", "DEADLINE", "OUTPUT", "RUN_DIR")
)
_OF_INTERVALS = {f"ETL_{name.upper()}": name for name in INTERVAL}


class Surroundings:
    """What the file is read with: the environment, and how to run a command and read a file."""

    def __init__(self, *, env: Mapping[str, str], run_command: RunCommand | None, read_file: ReadFile | None) -> None:
        self.env = env
        self.run_command = run_command
        self.read_file = read_file


class TextReader:
    """Reads the texts of one file's jobs. Problems are added to `source`."""

    def __init__(self, source: Source, spec: File, surroundings: Surroundings) -> None:
        self.source = source
        self.spec = spec
        self.around = surroundings
        self.files = self._env_files(("pipeline", "env_file"), spec.pipeline.env_file)
        self.outer = (
            self._env(("pipeline", "env"), spec.pipeline.env),
            self._env(("defaults", "env"), spec.defaults.env),
        )

    def read(self, table: JobTable, *, own_env: Mapping[str, str | int] | None, path: Where) -> Texts:
        """The texts of a job; `table` has the defaults merged in, `own_env` is the env of the job itself."""
        run = path("run")
        if (table.cwd or "").startswith("~"):
            self.source.add(path("cwd"), "'~' means nothing without a shell", "write ${HOME}")
        return Texts(
            run=self._run(run, table),
            cwd=self._text(path("cwd"), table.cwd or ""),
            layers=(*self.outer, self._env((*run[:-1], "env"), own_env)),
            files={**self.files, **self._env_files(path("env_file"), table.env_file)},
        )

    def _run(self, path: Path, table: JobTable) -> tuple[Pieces, ...]:
        if table.shell and not isinstance(table.run, str):
            self.source.add(path, "a list needs no shell", "write one text, or drop shell = true")
        elif table.shell:
            return (self._text(path, texts(table.run)[0], shell=True),)
        if not isinstance(table.run, str):
            if not table.run:
                self.source.add(path, "nothing to run")
            return tuple(self._text(written, word) for written, word in places_of(path, table.run))
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
        for written, name in places_of(path, names):
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
        for number in bad:
            self.source.add_hidden(name, number, "expected NAME=value")
        return values

    def check_holes(self, source: Texts, known: Sequence[str], *, path: Where) -> None:
        """Add a problem for every {param} that does not exist and every ${VAR} that is not set."""
        own = dict.fromkeys(source.files, "")
        given = Environment(own, self.around.env)
        layers: tuple[Path, ...] = (("pipeline", "env"), ("defaults", "env"), (*path("run")[:-1], "env"))
        for table, layer in zip(layers, source.layers, strict=True):
            for variable, pieces in layer.items():
                self._check_holes((*table, variable), pieces, known, given)
                own[variable] = ""
        for pieces in source.run:
            self._check_holes(path("run"), pieces, known, given)
        self._check_holes(path("cwd"), source.cwd, known, given)
        self._check_secrets(path("run"), source)

    def _check_holes(self, path: Path, pieces: Pieces, known: Sequence[str], given: Environment) -> None:
        for param in params_in(pieces):
            if param not in known:
                cure = did_you_mean(param, known) or _unknown_cure(param)
                self.source.add(path, f"unknown parameter {param!r}", cure, token=f"{{{param}}}")
        for variable in sorted(_variables(pieces) & _OF_INTERVALS.keys()):
            cure = f"write {{{_OF_INTERVALS[variable]}}}, with its value for other runs in [params]"
            self.source.add(path, f"only a job of a backfill knows {variable}", cure, token=f"${{{variable}")
        for variable in vars_in(pieces):
            if given.get(variable) is None and variable not in _OF_INTERVALS:
                cure = self._unset_cure(variable)
                self.source.add(path, f"{variable} is not set", cure, token=f"${{{variable}}}")

    def _check_secrets(self, path: Path, source: Texts) -> None:
        """Add a problem for every secret in a command: its words are no secret on any machine."""
        self._check_passwords(path, source)
        self._check_params(path, source)
        if not any(map(_variables, source.run)):
            return
        named = texts(self.spec.pipeline.secrets)
        env = {**source.files, **self.around.env}
        hidden = {name for name, value in env.items() if is_secret(name, value, named)}
        for name, pieces in ((name, pieces) for layer in source.layers for name, pieces in layer.items()):
            if is_secret_name(name, named) or _has_password(pieces) or hidden & _variables(pieces):
                hidden.add(name)
            else:
                hidden.discard(name)
        cure = "leave it out of run: the job finds it in its environment"
        for pieces in source.run:
            for name in sorted(name for name in _variables(pieces) if name in hidden or is_secret_name(name, named)):
                said = f"{name} is secret, and everybody on a machine can read the commands that run there"
                self.source.add(path, said, cure, token=f"${{{name}")

    def _check_passwords(self, path: Path, source: Texts) -> None:
        for pieces in source.run:
            if _has_password(pieces):
                said = "there is a password in it, and everybody on a machine can read the commands that run there"
                self.source.add(path, said, "put it into a variable, which the job reads itself")

    def _check_params(self, path: Path, source: Texts) -> None:
        params, named = self.spec.params, texts(self.spec.pipeline.secrets)
        used = {param for pieces in source.run for param in params_in(pieces) if param in params}
        for param in sorted(param for param in used if is_secret(param, str(params[param]), named)):
            said = f"{param} is secret, and everybody on a machine can read the commands that run there"
            cure = f'give it to the job in its environment: env = {{ {param.upper()} = "{{{param}}}" }}'
            self.source.add(path, said, cure, token=f"{{{param}}}")

    def _unset_cure(self, variable: str) -> str:
        if variable in WHILE_RUNNING or (variable == "DATABASE_URL" and self.spec.pipeline.warehouse):
            return "only the running job knows it: set shell = true, or read it in the job"
        return f"set it, or write ${{{variable}:-default}}"


def _unknown_cure(param: str) -> str:
    if param in INTERVAL:
        return f'add {param} = "…" to [params], for other runs than a backfill'
    if param == "interval":
        return " and ".join(f"{{{name}}}" for name in INTERVAL) + " are a backfill's; their usual values go to [params]"
    return f"add {param} to [params] or matrix; a literal brace is '{{{{'"


def _variables(pieces: Pieces) -> set[str]:
    return {piece.name for piece in pieces if isinstance(piece, Var)}


def _has_password(pieces: Pieces) -> bool:
    """Whether the text itself has a URL with a password."""
    text = "".join(piece for piece in pieces if isinstance(piece, str))
    return "://" in text and bool(passwords_in(text))


def places_of(path: Path, value: str | list[str] | None) -> list[tuple[Path, str]]:
    """One text or several, each with its place."""
    if isinstance(value, str):
        return [(path, value)]
    return [((*path, index), text) for index, text in enumerate(value or ())]
