"""Optional libraries: imported by the source that needs one; a missing one is said in one line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from etl_jobs.errors import MisconfiguredError


@contextlib.contextmanager
def needed(extra: str, what: str) -> Iterator[None]:
    """Imports in this block belong to the `extra` of etl-run; `what` says who wants them."""
    try:
        yield
    except ImportError as error:
        raise MisconfiguredError(
            f"{what} needs {error.name or 'a library'}, which is not installed",
            hint=f"pip install 'etl-run[{extra}]'",
        ) from error
