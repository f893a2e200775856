"""The last line of a test run that played faults: how many of them were survived."""

from __future__ import annotations

import pytest

FOLDER = "tests/faults/"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say `faults survived N/M`, where fault tests ran (also on the workers of xdist)."""
    seen: dict[str, bool] = {}
    for kind, reports in terminalreporter.stats.items():
        for report in reports:
            name = getattr(report, "nodeid", "")
            if name.startswith(FOLDER) and kind in ("passed", "failed", "error", "skipped"):
                seen[name] = seen.get(name, True) and kind == "passed"
    if seen:
        terminalreporter.write_line(f"faults survived {sum(seen.values())}/{len(seen)}")
