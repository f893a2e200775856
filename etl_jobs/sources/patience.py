"""How long a client waits, and for what."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

_LONGEST_DELAY = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How a client behaves: seconds per request with its whole answer (more for one that is large and keeps coming),
    tries in all, requests per second (0: no limit), and the longest wait the other side may ask for.
    """

    timeout: float = 30.0
    tries: int = 6
    rate: float = 0.0
    longest_wait: float = 300.0
    first_delay: float = 0.5

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Patience:
        """As the options say that a catalogue may have."""
        return cls(**{key: options[key] for key in ("timeout", "tries", "rate", "longest_wait") if key in options})

    def delay(self, number: int) -> float:
        """Seconds after so many tries that failed before this one."""
        longest = min(_LONGEST_DELAY, self.first_delay * 2.0**number)
        return longest * random.uniform(0.5, 1)


def wait_asked_for(headers: Mapping[str, str]) -> float | None:
    """Seconds by Retry-After, which says a number or an instant."""
    asked = headers.get("retry-after", "").strip()
    if not asked:
        return None
    if asked.isascii() and asked.isdecimal():
        return float(asked)
    try:
        until = parsedate_to_datetime(asked)
        until = until if until.tzinfo else until.replace(tzinfo=UTC)
        return max(0.0, (until - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError):
        return None
