"""Folders of killed tests are removed by the next, those of living tests are not."""

import subprocess
import sys
from pathlib import Path

from tests.support.folders import entered_by_all, sweep

HOLDS = """
import sys
from tests.support.folders import entered_by_all
with entered_by_all() as folder:
    (folder / "file").write_text("x")
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_a_killed_test_leaves_its_folder_to_the_next() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        sweep(folder.parent)
        kept = (folder / "file").read_text(encoding="ascii")
        process.kill()
        process.wait()
    assert kept == "x"
    assert folder.exists()

    with entered_by_all():
        assert not folder.exists()
