"""Shapes of process trees that real jobs grow. Each touches `up` when it has its final shape."""

from __future__ import annotations

import sys
from typing import NamedTuple

PYTHON = sys.executable


class Shape(NamedTuple):
    """A job's shell script. `ends`: its leader exits 0 at once and leaves others behind. `heeds`: exits 0 on TERM."""

    script: str
    ends: bool = False
    heeds: bool = False


_FORKER = (
    "import os, time\n"
    "if os.fork() == 0:\n"
    "    while True:\n"
    "        if os.fork(): os._exit(0)\n"
    "        time.sleep(0.001)\n"
    "open('up', 'w'); time.sleep(1000)"
)
_POOL = (
    "import multiprocessing as m, time\n"
    "def wait(n): time.sleep(1000)\n"
    "if __name__ == '__main__':\n"
    "    pool = m.Pool(3); pool.map_async(wait, range(9)); open('up', 'w'); time.sleep(1000)"
)

SHAPES = {
    "exec": Shape("touch up; exec sleep 1000"),
    "shell": Shape("sh -c 'touch up; sleep 1000; true'"),
    "pipeline": Shape("touch up; sleep 1000 | cat | cat"),
    "setsid": Shape("setsid sleep 1000 & touch up; wait"),
    "daemon": Shape("(setsid sh -c 'sleep 1000 & sleep 1000' &); touch up; sleep 1000"),
    "daemon, leader gone": Shape("(setsid sleep 1000 &); touch up; exit 0", ends=True),
    "daemon without environment": Shape(
        "(env -i setsid /bin/sleep 1000 </dev/null >/dev/null 2>&1 &); touch up; sleep 1000"
    ),
    "ignores signals": Shape("trap '' TERM INT HUP; touch up; while :; do sleep 1; done"),
    "stopped": Shape("touch up; kill -STOP $$; sleep 1000"),
    "new pid every millisecond": Shape(f'exec {PYTHON} -c "{_FORKER}"'),
    "background, exit 0": Shape("sleep 1000 & touch up; exit 0", ends=True),
    "nohup": Shape("nohup sleep 1000 >/dev/null 2>&1 & touch up; wait"),
    "exit 0 on TERM": Shape("trap 'exit 0' TERM; touch up; sleep 1000 & wait", heeds=True),
    "multiprocessing": Shape(f'exec {PYTHON} -c "{_POOL}"'),
}

_CROWD = (
    "import os, signal, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "first = os.getpid()\n"
    "for n in range(8):\n"
    "    if os.fork() == 0 and n % 2: os.setsid()\n"
    "if os.getpid() == first: open('up', 'w')\n"
    "time.sleep(1000)"
)
_BOMB = (
    "import os, time\n"
    "for n in range(24):\n"
    "    if os.fork() == 0:\n"
    "        while True:\n"
    "            if os.fork(): os._exit(0)\n"
    "            if n % 2: os.setsid()\n"
    "            time.sleep(0.001)\n"
    "open('up', 'w'); time.sleep(1000)"
)

# Trees of many: 256 processes that stand still, and 24 that are others a millisecond later.
CROWDS = {
    "crowd": Shape(f'exec {PYTHON} -c "{_CROWD}"'),
    "fork bomb": Shape(f'exec {PYTHON} -c "{_BOMB}"'),
}
