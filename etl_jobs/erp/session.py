"""The way to the ERP, by `$ERP_URL`, `$ERP_DATABASE`, `$ERP_USER`, `$ERP_PASSWORD`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from hashlib import md5

from etl_jobs.errors import DataRejectedError, JobError, MisconfiguredError, UnavailableError
from etl_jobs.sources.client import Client, without_secrets
from etl_jobs.sources.excerpts import Excerpts
from etl_jobs.sources.jsonrpc import Erp, login_secrets

_NEEDED = ("ERP_URL", "ERP_DATABASE", "ERP_USER", "ERP_PASSWORD")
_CURES = {
    UnavailableError: "is the ERP up, and is ERP_URL its address?",
    MisconfiguredError: "check ERP_URL (it ends in /jsonrpc), ERP_DATABASE, ERP_USER and ERP_PASSWORD",
    DataRejectedError: "does ERP_URL lead to JSON-RPC (it ends in /jsonrpc)? Has this ERP the fields that are read?",
}


@contextlib.contextmanager
def erp_session(env: Mapping[str, str] = os.environ) -> Iterator[Erp]:
    """One login over one connection. What fails on it says which of these variables may be the reason."""
    url, database, user, password = _settings(env)
    try:
        with Client(without_secrets(url), excerpts=Excerpts(login_secrets(url, password))) as client:
            yield Erp(client, url, database=database, user=user, password=password)
    except JobError as error:
        if error.message.startswith("the source"):  # not what the rows are, but what they come from
            error.hint = "; ".join(filter(None, (error.hint, _CURES.get(type(error)))))
        raise


def asked(question: str, env: Mapping[str, str] = os.environ) -> str:
    """A question to this ERP by this user, as a short text that tells it from others. The password is no part of it."""
    url, database, user, _ = _settings(env)
    return f"asked {md5(repr((without_secrets(url), database, user, question)).encode()).hexdigest()}"


def _settings(env: Mapping[str, str]) -> list[str]:
    missing = [name for name in _NEEDED if not env.get(name)]
    if missing:
        raise MisconfiguredError(f"no ERP: {', '.join(missing)} not set", hint="examples/erp/README.md shows them")
    return [env[name] for name in _NEEDED]
