"""Which value an element takes when values cost bits: thresholds between levels of different prices.

An element w that may become the level l_k at the price p_k takes the one that minimises `(w - l_k)^2 / 2 + p_k`. As a function of w
each of these is a parabola of the same curvature, so that they differ by lines: the least of them is a lower envelope,
whose pieces are intervals in the order of the levels (entropy-constrained scalar quantisation: Chou, Lookabaugh, Gray, IEEE Trans. ASSP
37(1), 1989). A level that is too dear for what it saves is nowhere the least, and drops out.
"""

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


def intervals(levels: F64, prices: F64) -> tuple[F64, I64]:
    """Where each level is the best choice.

    Args:
        levels: float64[k], ascending, all different.
        prices: float64[k], in units of half a squared difference.

    Returns:
        Thresholds, float64[m - 1], ascending, and the indices of the levels between them, int64[m], ascending: an element
        w takes the level `used[searchsorted(thresholds, w)]`.
    """
    # l_k^2 / 2 + p_k - w l_k: lines in w of slope -l_k, the envelope's order is that of the levels.
    heights = levels * levels / 2 + prices
    used: list[int] = []
    thresholds: list[float] = []
    position, height = levels.tolist(), heights.tolist()
    for k in range(len(position)):
        while used:
            last = used[-1]
            crossing = (height[k] - height[last]) / (position[k] - position[last])
            if not thresholds or crossing > thresholds[-1]:
                thresholds.append(crossing)
                break
            # The last level is the best nowhere: its interval would end before it begins.
            used.pop()
            thresholds.pop()
        used.append(k)
    return np.array(thresholds), np.array(used, np.int64)
