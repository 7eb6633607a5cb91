"""Values rounded to what a weight's dtype can hold, so that decoding is exact in that dtype."""

import ml_dtypes
import numpy as np
import numpy.typing as npt
from onnx import TensorProto

F32 = npt.NDArray[np.float32]

_NARROW: dict[int, np.dtype[np.generic]] = {
    TensorProto.FLOAT16: np.dtype(np.float16),
    TensorProto.BFLOAT16: np.dtype(ml_dtypes.bfloat16),
}
_LARGEST: dict[int, float] = {
    TensorProto.FLOAT16: 65504.0,
    TensorProto.BFLOAT16: (2 - 2.0**-7) * 2.0**127,
}


def representable(values: F32, dtype: int) -> F32:
    """The nearest finite values of the dtype (an ONNX data type), as float32; float32 and float64 hold every float32.

    Training, which computes in float32, may go beyond what a float16 holds (65504): infinity would ruin the model.
    """
    narrow = _NARROW.get(dtype)
    if narrow is None:
        return values
    largest = np.float32(_LARGEST[dtype])
    return np.clip(values, -largest, largest).astype(narrow).astype(np.float32)
