"""No signal gets lost, wherever it finds the program."""

from __future__ import annotations

import subprocess
import sys

# The exception of a signal that arrives while an object is being finalized goes nowhere (see sys.unraisablehook).
SWALLOWED = """
import os, signal, sys
from etl_runner.signals import Interrupted, interrupting_signals, noted_signals

class Finalized:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)

sys.unraisablehook = lambda _: print("swallowed")
"""


def said(script: str) -> list[str]:
    run = [sys.executable, "-c", SWALLOWED + script]
    return subprocess.run(run, capture_output=True, text=True, timeout=30, check=True).stdout.splitlines()


def test_a_signal_that_a_finalizer_swallowed_is_raised_at_the_end() -> None:
    assert said("""
try:
    with interrupting_signals():
        Finalized()
        print("goes on")
except Interrupted as asked:
    print(asked.number)
""") == ["swallowed", "goes on", "15"]


def test_a_signal_is_noted_and_interrupts_nothing() -> None:
    assert said("""
with noted_signals() as asked:
    Finalized()
    print(asked)
print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
""") == ["[15]", "True"]
