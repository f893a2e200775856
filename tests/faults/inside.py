"""Runs one scene inside a PID namespace of its own, and prints what was seen as JSON.

usage: python -m tests.faults.inside FOLDER SCENE [ARGUMENTS as a JSON object]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.faults.place import Place, wait_for_nobody
from tests.faults.scenes import SCENES


def main(folder: str, scene: str, arguments: str = "{}") -> None:
    seen = SCENES[scene](Place(Path(folder)), **json.loads(arguments))
    print(json.dumps({**seen, "survivors": wait_for_nobody()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
