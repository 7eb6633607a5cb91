"""What this machine, or the container on it, may use."""

import os
from pathlib import Path

_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def processors() -> int:
    """Those that this process may run on."""
    return len(os.sched_getaffinity(0))


def memory_bytes() -> int:
    """Memory, within the limit of the container where there is one."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = _CGROUP_LIMIT.read_text().strip()
    except OSError:
        return physical
    return min(physical, int(limit)) if limit.isdigit() else physical
