"""The entry point of `etl-run` and `python -m etl_runner`."""

from etl_runner.cli.main import main

if __name__ == "__main__":
    main()
