"""What the end of an attempt means: its outcome, whether another is worth it, and why, in words."""

from __future__ import annotations

from etl_runner.events import AttemptExited, StopReason
from etl_runner.model import Outcome, Retry

_NEVER_CURED = (65, 78)  # sysexits.h: data rejected, configuration error
_LONGEST_DELAY = 365 * 86400.0


def outcome_of(exited: AttemptExited, stop: StopReason | None) -> Outcome:
    """The outcome of an attempt that was being stopped for `stop`: the reason wins over the exit status.

    One that ended well and reported `cached` found nothing to do.
    """
    if stop in (StopReason.TIMEOUT, StopReason.RUN_TIMEOUT):
        return Outcome.TIMED_OUT
    if stop is not None:
        return Outcome.CANCELLED
    if exited.lost:
        return Outcome.LOST
    if exited.exit != 0:
        return Outcome.FAILED
    return Outcome.CACHED if exited.metrics.get("cached") else Outcome.SUCCEEDED


def is_worth_a_retry(retry: Retry, exited: AttemptExited, *, stop: StopReason | None) -> bool:
    """Whether a failure that ended like this is one that `retry` wants to try again."""
    if exited.error and not exited.lost:
        return False
    if stop is not None:
        return stop is StopReason.TIMEOUT and (retry.on is None or "timeout" in retry.on)
    if exited.lost:
        return retry.on is None
    if exited.signal is not None:
        return retry.on is None or "signal" in retry.on
    return exited.exit not in _NEVER_CURED if retry.on is None else exited.exit in retry.on


def retry_delay(retry: Retry, attempt: int, chance: float) -> float:
    """Seconds between the end of attempt `attempt` and the next; `chance` in [0, 1) is the jitter's dice."""
    cap = _LONGEST_DELAY if retry.cap is None else retry.cap
    try:
        delay = min(retry.delay * retry.factor ** (attempt - 1), cap)
    except OverflowError:
        delay = cap
    return delay * (1 + retry.jitter * chance)


def reason_of(
    outcome: Outcome,
    exited: AttemptExited | None,
    *,
    stop: StopReason | None,
    timeout: float | None,
    culprit: str,
) -> str:
    """Why a job ended so, where its outcome, exit status and `because` do not say it.

    `exited` is the end of its last attempt, `stop` why that or the run was stopped, `timeout` the job's,
    `culprit` the job that failed first.
    """
    if outcome is Outcome.FAILED and exited is not None:
        return "killed by the system (out of memory?)" if exited.signal == 9 else exited.error
    if outcome is Outcome.LOST and exited is not None:
        return exited.error
    if outcome in (Outcome.TIMED_OUT, Outcome.CANCELLED):
        return _stopped_because(stop, timeout=timeout, culprit=culprit)
    return ""


def _stopped_because(stop: StopReason | None, *, timeout: float | None, culprit: str) -> str:
    match stop:
        case StopReason.TIMEOUT:
            return f"over its timeout of {timeout:g}s"
        case StopReason.RUN_TIMEOUT:
            return "over the run's timeout"
        case StopReason.FAIL_FAST:
            return f"stopped because {culprit} failed"
        case _:
            return "the run was stopped"
