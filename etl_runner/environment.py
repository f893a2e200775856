"""What a job finds in its environment, and who started a run."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from etl_runner.model import Job, Order
from etl_runner.paths import Home

_NOTICE_SOON = "-c client_connection_check_interval=1000"
_CI_VARIABLES = ("CI", "GITHUB_ACTIONS", "GITLAB_CI", "BUILDKITE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """Writes the orders of one run, which began at `started`; `base` comes from `base_environment`."""

    run: int
    profile: str
    home: Home
    base: Mapping[str, str]
    started: datetime

    def order(self, job: Job, attempt: int, *, now: datetime) -> Order:
        """The order for one attempt of a job; `now` is an aware UTC instant, as `started` is."""
        return Order(
            run=self.run,
            job=job.name,
            attempt=attempt,
            argv=job.argv,
            cwd=job.cwd,
            env={**self.base, **job.env, **self._contract(job, attempt, now)},
            log=str(self.home.log(self.run, job.name, attempt)),
            output=str(self.home.output(self.run, job.name, attempt)),
            result=str(self.home.result(self.run, job.name, attempt)),
            grace=job.grace,
            memory=job.memory,
            pids=job.pids,
            log_limit=job.log_limit,
        )

    def _contract(self, job: Job, attempt: int, now: datetime) -> dict[str, str]:
        return {
            "ETL_RUN_ID": str(self.run),
            "ETL_RUN_STARTED": self.started.isoformat(),
            "ETL_JOB": job.name,
            "ETL_PHASE": job.phase,
            "ETL_ATTEMPT": str(attempt),
            "ETL_PROFILE": self.profile,
            "ETL_DEADLINE": (now + timedelta(seconds=job.timeout)).isoformat() if job.timeout else "",
            "ETL_OUTPUT": str(self.home.output(self.run, job.name, attempt)),
            "ETL_RUN_DIR": str(self.home.run(self.run)),
            "PGAPPNAME": application_name(self.run, job.name, attempt),
        }


def application_name(run: int, job: str, attempt: int) -> str:
    """What an attempt's sessions are called in pg_stat_activity: at most 63 bytes (NAMEDATALEN), the attempt kept."""
    tail = f"/{attempt}"
    return f"etl-run/{run}/{job}"[: 63 - len(tail)] + tail


def base_environment(base: Mapping[str, str]) -> dict[str, str]:
    """The runner's environment with its own Python first on PATH, and output that is not held back."""
    own = str(Path(sys.executable).parent)
    path = base.get("PATH") or os.defpath
    return {"PYTHONUNBUFFERED": "1", **base, "PATH": path if path.split(":")[0] == own else f"{own}:{path}"}


def warehouse_environment(base: Mapping[str, str]) -> dict[str, str]:
    """`base` with what makes a server notice soon that a job is gone, instead of finishing its statement for nobody.

    client_connection_check_interval is of PostgreSQL 14 (chapter 20.3). A pooler that takes no options needs
    `env = { PGOPTIONS = "" }` in the pipeline file: a job's own environment goes over this one.
    """
    if "client_connection_check_interval" in base.get("PGOPTIONS", ""):
        return dict(base)
    return {**base, "PGOPTIONS": f"{base.get('PGOPTIONS', '')} {_NOTICE_SOON}".strip()}


def started_by(env: Mapping[str, str], *, terminal: bool) -> str:
    """Who started this run: "ci", "systemd", "cron", or the user's name."""
    if any(env.get(name) for name in _CI_VARIABLES):
        return "ci"
    if "INVOCATION_ID" in env and not terminal:  # systemd.exec(5)
        return "systemd"
    if not terminal and "TERM" not in env:  # crontab(5): cron sets few variables, TERM not among them
        return "cron"
    return user_name()


def user_name() -> str:
    """The user's name, or their number where it has none (a container)."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
