"""The way to the ERP, by `$ERP_URL`, `$ERP_DATABASE`, `$ERP_USER`, `$ERP_PASSWORD`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping

from etl_jobs.errors import MisconfiguredError
from etl_jobs.sources.client import Client, without_secrets
from etl_jobs.sources.jsonrpc import Erp

_NEEDED = ("ERP_URL", "ERP_DATABASE", "ERP_USER", "ERP_PASSWORD")


@contextlib.contextmanager
def erp_session(env: Mapping[str, str] = os.environ) -> Iterator[Erp]:
    """One login over one connection."""
    missing = [name for name in _NEEDED if not env.get(name)]
    if missing:
        raise MisconfiguredError(f"no ERP: {', '.join(missing)} not set", hint="examples/erp/README.md shows them")
    url, database, user, password = (env[name] for name in _NEEDED)
    with Client(without_secrets(url)) as client:
        yield Erp(client, url, database=database, user=user, password=password)
