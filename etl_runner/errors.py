"""What can go wrong, as users meet it: a message, a hint and an exit status."""

from __future__ import annotations


class EtlError(Exception):
    """An error the user can act on.

    `code` is a stable short name (kebab-case) for JSON output, `hint` says what to do next,
    `exit_status` is what the command ends with.
    """

    code = "error"
    exit_status = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(EtlError):
    """Wrong use: an unknown job, an option out of range. Nothing ran."""

    code = "usage"
    exit_status = 2


class PipelineError(EtlError):
    """The pipeline file cannot be used. Nothing ran."""

    code = "pipeline"
    exit_status = 2


class RunLockedError(EtlError):
    """Another run of this pipeline is going on (EX_TEMPFAIL of sysexits.h)."""

    code = "locked"
    exit_status = 75


class LedgerError(EtlError):
    """The ledger cannot be read or written."""

    code = "ledger"


class WarehouseError(EtlError):
    """The warehouse's server cannot be started or reached."""

    code = "warehouse"
