"""Where a project keeps things."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct


class Home(Struct, frozen=True):
    """The folder of everything etl-run remembers, usually `.etl` beside the pipeline."""

    folder: Path

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger.db"

    @property
    def postgres(self) -> Path:
        return self.folder / "pg"

    @property
    def trouble(self) -> Path:
        """What a supervisor says when it breaks."""
        return self.folder / "keeper.log"

    def lock(self, pipeline: str) -> Path:
        return self.folder / f"{pipeline}.lock"

    def run(self, run: int) -> Path:
        return self.folder.joinpath("runs", str(run))

    def run_lock(self, run: int) -> Path:
        """Held (flock) as long as the run is alive."""
        return self.run(run) / "lock"

    def log(self, run: int, job: str, attempt: int) -> Path:
        return self.folder.joinpath("runs", str(run), "logs", f"{job}.{attempt}.log")

    def output(self, run: int, job: str, attempt: int) -> Path:
        """The attempt's ETL_OUTPUT file."""
        return self.folder.joinpath("runs", str(run), "outputs", f"{job}.{attempt}.jsonl")

    def result(self, run: int, job: str, attempt: int) -> Path:
        """How the attempt ended, if the runner was not there to hear it."""
        return self.folder.joinpath("runs", str(run), "results", f"{job}.{attempt}.json")


def project_root(pipeline_file: Path) -> Path:
    """The folder jobs run in: the file's own, or its parent's where the file lies in `etl_jobs/`."""
    folder = pipeline_file.absolute().parent
    return folder.parent if folder.name == "etl_jobs" else folder


def home_for(pipeline_file: Path, *, env: Mapping[str, str]) -> Home:
    """The home of a pipeline: `$ETL_HOME` if set, else `.etl` in its project root."""
    moved = env.get("ETL_HOME")
    return Home(Path(moved).expanduser().absolute() if moved else project_root(pipeline_file) / ".etl")
