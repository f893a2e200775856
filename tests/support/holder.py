"""A process that holds a server, told what to do line by line (run: python -m tests.support.holder FOLDER)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).parents[2]


class Holder:
    """The other side: starts such a process and talks to it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout
        return json.loads(self.process.stdout.readline())  # type: ignore[no-any-return]

    def tell(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def hold(self) -> dict[str, Any]:
        self.tell()
        return self.hear()

    def leave(self) -> dict[str, Any]:
        self.tell()
        said = self.hear()
        self.process.wait()
        return said

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def holder(folder: Path, *, prefix: tuple[str, ...] = (), env: Mapping[str, str] | None = None) -> Iterator[Holder]:
    """A process that is ready to hold the server of a folder."""
    with subprocess.Popen(
        [*prefix, sys.executable, "-m", "tests.support.holder", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, **(env or {})},
    ) as process:
        found = Holder(process)
        try:
            assert found.hear() == {"ready": True}
            yield found
        finally:
            process.kill()


def main() -> None:
    """Say ready; hold on the first line; leave on the second. As in etl-run, an interrupt that gets lost is not."""
    from etl_runner.errors import WarehouseError
    from etl_runner.postgres import EmbeddedPostgres

    def say(**words: object) -> None:
        print(json.dumps(words), flush=True)

    asked = []

    def interrupt(number: int, _: object) -> NoReturn:
        asked.append(number)
        raise KeyboardInterrupt  # which a finalizer may swallow

    signal.signal(signal.SIGINT, interrupt)
    folder = Path(sys.argv[1])
    say(ready=True)
    sys.stdin.readline()
    try:
        with EmbeddedPostgres(folder).hold() as server:
            if asked:
                raise KeyboardInterrupt
            say(url=server.url, postmaster=int((folder / "data/postmaster.pid").read_text().split()[0]))
            sys.stdin.readline()
    except WarehouseError as error:
        say(error=error.message, hint=error.hint)
    else:
        say(left=True)


if __name__ == "__main__":
    main()
