"""The entry point of `etl-run` and `python -m etl_runner`."""

import os
import signal

if os.getpid() == 1:
    from etl_runner.first import go_on_as_second

    go_on_as_second()

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # an early Ctrl+C ends us quietly, not with a traceback of an import

from etl_runner.cli.main import main

if __name__ == "__main__":
    main()
