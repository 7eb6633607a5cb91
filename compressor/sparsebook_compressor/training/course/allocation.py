"""Which weight is pruned how far, where all of them together may keep so many elements.

The plan of a size that is expected to hurt least minimises damage + price x elements over all weights; every price gives one
such plan (the Lagrangian relaxation), a higher one a smaller plan. Damage curves are taken piecewise linear between the
measured densities, in the logarithm of the density, and made convex in the density. Where a convex curve is straight, the
plan jumps from one end to the other at one price: all between the two plans is as good, and the size asked for lies there.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.plan import PlanRow
from sparsebook_compressor.training.course.sensitivity import LEAST_DENSITY, Sensitivity

F64 = npt.NDArray[np.float64]

_FINE = 200
_PRICES = 200


def allocate(
    rows: Sequence[PlanRow], sensitivity: Mapping[str, Sensitivity], density: float
) -> dict[str, float]:
    """Densities by weight name, whose mean over all elements is `density`; less where less does no more damage.

    Args:
        rows: the weights.
        sensitivity: of each.
        density: of all elements together, above 0; at 1 nothing is pruned, not even what does no damage.
    """
    if density >= 1:
        return {row.name: 1.0 for row in rows}
    curves = {row.name: _curve(sensitivity[row.name]) for row in rows}
    wanted = density * sum(row.elements for row in rows)

    def plan(price: float) -> dict[str, float]:
        chosen = {}
        for row in rows:
            densities, damage = curves[row.name]
            cost = damage + price * row.elements * densities
            chosen[row.name] = float(densities[int(np.argmin(cost))])
        return chosen

    def kept(chosen: Mapping[str, float]) -> float:
        return sum(chosen[row.name] * row.elements for row in rows)

    # Bisection over the price: what is kept never rises with it.
    low, high = -40.0, 20.0
    for _ in range(_PRICES):
        middle = (low + high) / 2
        if kept(plan(float(np.exp(middle)))) > wanted:
            low = middle
        else:
            high = middle
    larger, smaller = plan(float(np.exp(low))), plan(float(np.exp(high)))
    between = kept(larger) - kept(smaller)
    share = min(1.0, max(0.0, (wanted - kept(smaller)) / between)) if between > 0 else 0.0
    return {name: least + share * (larger[name] - least) for name, least in smaller.items()}


def _curve(found: Sensitivity) -> tuple[F64, F64]:
    """Damage on a fine grid of densities from 1 down, convex and falling in the density."""
    known = np.log(np.maximum(np.array(found.densities), LEAST_DENSITY))
    damage = np.array(found.damage)
    grid = np.linspace(known.min(), 0.0, _FINE)
    fine = np.interp(grid, known[::-1], damage[::-1])
    densities = np.exp(grid)
    return densities, _convex(densities, fine)


def _convex(x: F64, y: F64) -> F64:
    """The lower convex envelope of points with ascending x."""
    hull: list[int] = []
    for index in range(len(x)):
        while len(hull) >= 2:
            a, b = hull[-2], hull[-1]
            if (y[b] - y[a]) * (x[index] - x[a]) >= (y[index] - y[a]) * (x[b] - x[a]):
                hull.pop()
            else:
                break
        hull.append(index)
    envelope: F64 = np.interp(x, x[hull], y[hull])
    return envelope
