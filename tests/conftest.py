"""How thorough the properties are: HYPOTHESIS_PROFILE, else `ci` where CI is set, else `default`."""

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.faults.summary import pytest_terminal_summary  # noqa: F401 - pytest finds it here

_SLOW_MACHINES = [HealthCheck.too_slow]
settings.register_profile(
    "quick",  # says only whether there is a counterexample
    max_examples=100,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=_SLOW_MACHINES,
)
settings.register_profile("default", max_examples=300, deadline=None, suppress_health_check=_SLOW_MACHINES)
settings.register_profile("ci", max_examples=1500, deadline=None, print_blob=True, suppress_health_check=_SLOW_MACHINES)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "default"))

# Started by a shell's `&` or by `nohup`: what tests start would ignore these, too.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def signals_arrive_again() -> Iterator[None]:
    """A command run in this process ends with the signals held; what later tests start would inherit that."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
