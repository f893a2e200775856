"""Being the first process of a container (PID 1): orphans become our children, signals without a handler are void."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import NoReturn

_WATCHED = {
    signal.SIGCHLD,
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
}


def go_on_as_second() -> None:
    """Return in a child of this process, which stays to bury orphans, to pass signals on, and to end as the child does.

    To be called first of all, where there is one thread. At its end the kernel kills whoever is left in the container.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    child = os.fork()
    if child:
        _look_after(child)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _look_after(child: int) -> NoReturn:
    while True:
        told = signal.sigwaitinfo(_WATCHED)
        if told.si_signo == signal.SIGCHLD:
            _bury(child)
        elif told.si_code <= 0:  # sent by somebody; what a terminal sends, it sends to the child as well
            with suppress(ProcessLookupError):
                os.kill(child, told.si_signo)


def _bury(child: int) -> None:
    """Reap who has ended; if it is the child, end with its status, as a shell says it (128+n for signal n)."""
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == child:
                code = os.waitstatus_to_exitcode(ended[1])
                os._exit(code if code >= 0 else 128 - code)
