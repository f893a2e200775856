"""The server's settings, written anew at every start; `ALTER SYSTEM` overrides them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

MIB = 1 << 20
LARGEST_BUFFERS = 256 * MIB
SMALLEST_BUFFERS = 16 * MIB
ROOMY_SHARED_MEMORY = 512 * MIB
CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def configuration(*, memory: int | None = None, shared_memory: int | None = None) -> str:
    """The text of postgresql.conf for a machine with so many bytes of memory, and in /dev/shm."""
    room = memory_limit() if memory is None else memory
    buffers = max(SMALLEST_BUFFERS, min(LARGEST_BUFFERS, room // 8)) // MIB
    # A container's /dev/shm is often 64 MB, and a parallel query would fail in it.
    roomy = (dev_shm() if shared_memory is None else shared_memory) >= ROOMY_SHARED_MEMORY
    settings = {
        "shared_buffers": f"{buffers}MB",
        "maintenance_work_mem": f"{max(32, buffers // 2)}MB",
        "dynamic_shared_memory_type": "posix" if roomy else "mmap",
        "wal_level": "minimal",  # nobody replicates this server, and a bulk load then writes little WAL
        "max_wal_senders": "0",
        "max_wal_size": "4GB",
        "checkpoint_timeout": "15min",
        "client_connection_check_interval": "1s" if sys.platform in ("linux", "darwin") else "0",
        "timezone": "'UTC'",
        "log_timezone": "'UTC'",
        "log_line_prefix": "'%m [%p] %a '",
        "log_checkpoints": "off",
        "cluster_name": "'etl-run'",
    }
    head = "# Written by etl-run at every start. Change a setting with ALTER SYSTEM in `etl-run db psql`.\n"
    return head + "".join(f"{name} = {value}\n" for name, value in settings.items())


def memory_limit() -> int:
    """Bytes of memory we may use: the machine's, or the container's if that is less."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in CGROUP_LIMITS:
        try:
            limits.append(int(path.read_text(encoding="ascii")))
        except (OSError, ValueError):
            continue
    return min(limits)


def dev_shm() -> int:
    """Bytes of /dev/shm; 'roomy' where there is no such place, as on macOS."""
    try:
        found = os.statvfs("/dev/shm")
    except OSError:
        return ROOMY_SHARED_MEMORY if sys.platform == "darwin" else 0
    return found.f_blocks * found.f_frsize
