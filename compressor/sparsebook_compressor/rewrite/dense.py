"""Output `dense`: plain floats of the weight's own dtype, for tools that know neither the operator nor its codes."""

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.graph.tensors import STORED
from sparsebook_compressor.graph.view import Weight
from sparsebook_compressor.payload import CodedWeight
from sparsebook_compressor.rewrite.surgery import Surgeon


def replace(surgeon: Surgeon, weight: Weight, coded: CodedWeight) -> int:
    """Put the decoded values in the place of a weight; their bytes are returned."""
    values = stored(coded)
    surgeon.replace_tensor(weight, weight.value, values)
    return values.nbytes


def stored(weight: CodedWeight) -> npt.NDArray[np.generic]:
    """The weight's values in its own dtype; exact, since a codebook holds only what that dtype represents."""
    dtype = STORED[weight.dtype]
    table = np.concatenate([np.zeros(1, np.float32), weight.codebook]).astype(dtype)
    return table[weight.codes].reshape(weight.shape)
