"""The command line as users have it: a real process in a project folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ETL_RUN = (sys.executable, "-m", "etl_runner")
_OURS = ("ETL_", "NO_COLOR", "CI", "GITHUB_", "COLUMNS", "JOURNAL_STREAM", "PG", "DATABASE_URL", "INVOCATION_ID")


def clean_env(**extra: str) -> dict[str, str]:
    """This environment without what would change how etl-run behaves."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return {**kept, **extra}


class Project:
    """A folder with an etl.toml."""

    def __init__(self, folder: Path, text: str) -> None:
        self.folder = folder
        (folder / "etl.toml").write_text(text, encoding="utf-8")

    def run(self, *args: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """etl-run with these words, to its end."""
        return subprocess.run(
            [*ETL_RUN, *args],
            cwd=self.folder,
            env=dict(env) if env is not None else clean_env(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def start(self, *args: str, **settings: Any) -> subprocess.Popen[str]:
        """etl-run in the background, in a process group of its own, as a shell would start it."""
        return subprocess.Popen(
            [*ETL_RUN, *args],
            cwd=self.folder,
            env=settings.pop("env", clean_env()),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
            **settings,
        )

    def events(self, *args: str) -> list[dict[str, Any]]:
        """The event lines of `etl-run ARGS -o json`."""
        return [json.loads(line) for line in self.run(*args, "-o", "json").stdout.splitlines()]
