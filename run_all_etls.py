from etl_runner.__main__ import main  # the same as `etl-run all`, for a cron line that knows only Python

main("all")
