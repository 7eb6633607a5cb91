"""Energy by the processor's own counters (RAPL), where the system lets this user read them."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/class/powercap")


@dataclass(frozen=True)
class Meter:
    """The counters of all processor packages, in microjoules, and the values after which each starts again."""

    counters: tuple[Path, ...]
    ranges: tuple[int, ...]

    @classmethod
    def find(cls, root: Path = ROOT) -> "Meter | None":
        """The machine's counters; None where there are none, or they are not to be read."""
        found = []
        for zone in sorted(root.glob("*")):
            try:
                name = (zone / "name").read_text()
                counter, limit = zone / "energy_uj", int((zone / "max_energy_range_uj").read_text())
                int(counter.read_text())
            except (OSError, ValueError):
                continue
            if name.startswith("package"):
                found.append((counter, limit))
        if not found:
            return None
        return cls(*(tuple(column) for column in zip(*found, strict=True)))

    def read(self) -> tuple[int, ...]:
        """Microjoules, package by package."""
        return tuple(int(counter.read_text()) for counter in self.counters)

    def joules(self, before: tuple[int, ...], after: tuple[int, ...]) -> float:
        """What was spent between two readings, of which no counter went round twice."""
        rows = zip(before, after, self.ranges, strict=True)
        return sum((now - then) % (limit + 1) for then, now, limit in rows) / 1e6

    def per_call(self, run: Callable[[], object], seconds: float) -> float:
        """Joules of one call: the whole package's, what else works on it included, over calls that fill the time."""
        before, began, calls = self.read(), time.monotonic(), 0
        while calls == 0 or time.monotonic() - began < seconds:
            run()
            calls += 1
        return self.joules(before, self.read()) / calls
