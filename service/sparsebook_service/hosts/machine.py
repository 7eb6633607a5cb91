"""What this machine, or the container on it, may use."""

import os
from pathlib import Path

_COUNTERS = Path("/proc/vmstat")
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


def memory_kills() -> int | None:
    """How many processes the kernel has killed for want of memory since it was started; None where it does not say."""
    try:
        counters = dict(line.split() for line in _COUNTERS.read_text().splitlines())
        return int(counters["oom_kill"])
    except (OSError, KeyError):
        return None
