"""The same as `etl-run all` in the folder of this file, for a cron line that knows only Python."""

from etl_runner.__main__ import main

main("all", script=__file__)
