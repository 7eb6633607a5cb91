"""The cuts that a plan asks for, weight by weight in its order: by threshold, by density, or by the rank among all weights."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.plan import Plan, PlanRow
from sparsebook_compressor.stages.prune import (
    Cut,
    behind,
    cut_by_density,
    cut_by_rank,
    survivors_of,
)

F32 = npt.NDArray[np.float32]


def _whole_way(density: float) -> float:
    return density


class Cuts:
    """Gives every weight its cut; under the scope `global` weights share one, at the mean of their densities."""

    def __init__(
        self,
        plan: Plan,
        read: Callable[[str], F32],
        reach: Callable[[float], float] = _whole_way,
    ) -> None:
        """Look at all weights, where they share a cut.

        Args:
            plan: densities or thresholds.
            read: gives a weight's values by its name, float32[elements].
            reach: how far a planned density is to be reached now.
        """
        self._reach = reach
        self._shared = _shared(plan, read, reach) if plan.scope == "global" else None

    def next(self, row: PlanRow, values: F32) -> Cut:
        """The cut of a weight, float32[elements]; weights come in the plan's order."""
        if row.threshold is not None:
            # A threshold says nothing of the way to it: all of it is cut at once, and what training moves below it again.
            return Cut(row.threshold)
        if self._shared is None:
            return cut_by_density(values, self._reach(_density(row)))
        cut, self._shared = self._shared, behind(self._shared, values)
        return cut


def _shared(plan: Plan, read: Callable[[str], F32], reach: Callable[[float], float]) -> Cut:
    rows = [row for row in plan.rows if row.threshold is None]
    keep = sum(survivors_of(reach(_density(row)), row.elements) for row in rows)
    return cut_by_rank(lambda: (read(row.name) for row in rows), keep)


def _density(row: PlanRow) -> float:
    return 1.0 if row.density is None else row.density
