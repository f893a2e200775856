"""The entry point of `etl-run` and `python -m etl_runner`."""

import _signal  # type: ignore[import-not-found]  # built in: `signal` would take a millisecond to import
import os

if os.getpid() == 1:
    from etl_runner.first import go_on_as_second

    go_on_as_second()

if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)  # an early Ctrl+C ends us quietly: no traceback of an import

if hasattr(_signal, "SIGCHLD"):
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)  # where our parent ignored it, no child's exit status is known

from etl_runner.cli.main import main

if __name__ == "__main__":
    main()
