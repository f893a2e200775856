"""What can go wrong in a job: a message, a hint and the exit status the runner decides retries by."""

from __future__ import annotations


class JobError(Exception):
    """A failure a person can act on. `hint` says what to do next."""

    exit_status = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class DataRejectedError(JobError):
    """The source is not as the catalogue declares it: another attempt cannot help (EX_DATAERR)."""

    exit_status = 65


class UnavailableError(JobError):
    """Something is busy or down: another attempt may succeed (EX_TEMPFAIL)."""

    exit_status = 75


class MisconfiguredError(JobError):
    """The catalogue, the environment or the warehouse's tables need a person (EX_CONFIG)."""

    exit_status = 78


class NotBinaryError(Exception):
    """A value is not of the type that is wanted; the text leaves it to the server to say so, or to read it."""
