"""From the common options to an opened pipeline."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import NamedTuple

from etl_runner.cli.options import Settings
from etl_runner.environment import base_environment
from etl_runner.errors import PipelineError
from etl_runner.paths import Home, home_for, project_root
from etl_runner.pipeline import Pipeline, read_pipeline

MATRIX_COMMAND_SECONDS = 60.0


class Opened(NamedTuple):
    """A pipeline and the places it belongs to."""

    pipeline: Pipeline
    path: Path
    root: Path
    home: Home


def find_config(settings: Settings) -> Path:
    """The pipeline file: the one named, else the nearest `etl.toml` or `etl_jobs/etl.toml`, here or above.

    Raises PipelineError if there is none.
    """
    if settings.config:
        return Path(settings.config)
    here = Path.cwd()
    for folder in (here, *here.parents):
        for candidate in (folder / "etl.toml", folder / "etl_jobs" / "etl.toml"):
            if candidate.is_file():
                return candidate
    raise PipelineError(
        f"no etl.toml in {here} or any folder above it",
        hint="go to the project's folder, or name the file: etl-run -c path/to/etl.toml …",
    )


def find_home(settings: Settings) -> Home:
    """The home of the pipeline, without reading its file. Where ETL_HOME names it, no file is needed.

    Raises PipelineError for a file that is named and does not exist.
    """
    if settings.config is None and os.environ.get("ETL_HOME"):
        return home_for(Path.cwd() / "etl.toml", env=os.environ)
    path = find_config(settings)
    if not path.exists():
        raise _no_such_file(path)
    return home_for(path, env=os.environ)


def open_pipeline(settings: Settings) -> Opened:
    """Read and check the pipeline file; raises PipelineError (exit status 2) with every problem in it."""
    path = find_config(settings)
    root = project_root(path)
    pipeline = read_pipeline(
        _read(path),
        path=_shown(path),
        root=str(root),
        env=os.environ,
        profile=settings.profile,
        run_command=lambda command: _matrix_lines(command, root),
        read_file=lambda name: (root / name).read_text(encoding="utf-8"),
    )
    return Opened(pipeline, path, root, home_for(path, env=os.environ))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise _no_such_file(path) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise PipelineError(f"{path}:{line}: not UTF-8 text", hint="save the file as UTF-8") from None
    except OSError as error:
        raise PipelineError(f"{path}: {error.strerror}", hint="the pipeline file must be readable") from None


def _no_such_file(path: Path) -> PipelineError:
    return PipelineError(f"{path}: no such file", hint="check the -c option or ETL_CONFIG")


def _shown(path: Path) -> str:
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _matrix_lines(command: str, root: Path) -> str:
    """The output of a matrix command, run in the root as jobs are; raises OSError if it does not end well."""
    try:
        ended = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=root,
            env=base_environment(os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=MATRIX_COMMAND_SECONDS,
            check=False,
            text=True,
        )
    except subprocess.TimeoutExpired:
        raise OSError(f"no answer within {MATRIX_COMMAND_SECONDS:.0f} s") from None
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or [""])[-1]
        raise OSError(f"exit {ended.returncode}: {last}")
    return ended.stdout
