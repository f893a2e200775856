"""How fast it is, next to named peers in the same run: `python -m benchmarks`."""
