"""The machine that a measurement is of: its processor and its caches."""

import os
import platform
from pathlib import Path

CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
CPUINFO = Path("/proc/cpuinfo")
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def caches(root: Path = CACHES) -> dict[int, int]:
    """Level -> bytes of the caches that hold data, as the first core sees them; empty where the system does not say."""
    found: dict[int, int] = {}
    for folder in root.glob("index*"):
        try:
            kind = (folder / "type").read_text().strip()
            level, size = int((folder / "level").read_text()), (folder / "size").read_text().strip()
            count = int(size.rstrip("KMG")) * _UNITS.get(size[-1], 1)
        except (OSError, ValueError, IndexError):
            continue
        if kind != "Instruction":
            found[level] = count
    return found


def processor(cpuinfo: Path = CPUINFO) -> str:
    """The processor's name."""
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
