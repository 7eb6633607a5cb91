"""A weight as 16-bit floats behind a Cast: between a codebook, whose 255 values may be too few, and all of its bits.

ONNX Runtime casts constants once, when a session is made, so that a call computes with the same floats and takes as long as before.
"""

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper

from sparsebook_compressor.graph.view import Weight
from sparsebook_compressor.rewrite.surgery import Surgeon

F32 = npt.NDArray[np.float32]
F16 = npt.NDArray[np.float16]

HALF_SUFFIX = ".half"
# Squared relative error of rounding to 11 significant bits: steps of 2^-10 on a significand from 1 to 2, of mean square 7/3 if evenly spread; a
# normal distribution gives a quarter more.
ROUNDING = 2.0**-20 / 12 / (7 / 3)
# Many values below 6e-5, the smallest normal half, lose bits: a weight of such does not become one.
_MOST_LOST = 4 * ROUNDING


def halved(weight: Weight, values: F32) -> F16 | None:
    """A weight's floats as halves, float16[shape]; None where these would be no closer than a codebook's values.

    Args:
        weight: of any dtype; only float32 is halved.
        values: float32[elements].
    """
    if weight.dtype != TensorProto.FLOAT:
        return None
    with np.errstate(over="ignore"):
        halves = values.reshape(weight.shape).astype(np.float16)
    lost = np.square(values - halves.reshape(-1).astype(np.float32), dtype=np.float64).sum()
    whole = np.square(values, dtype=np.float64).sum()
    return halves if lost <= _MOST_LOST * whole else None


def replace(surgeon: Surgeon, weight: Weight, halves: F16) -> int:
    """Put halves, float16[shape], in the place of a weight, and a Cast behind them; their bytes are returned."""
    name = surgeon.fresh(weight.value + HALF_SUFFIX)
    given = surgeon.stand_in(weight)
    surgeon.replace_tensor(weight, name, halves)
    surgeon.insert(weight, [helper.make_node("Cast", [name], [given], to=TensorProto.FLOAT)])
    return halves.nbytes
