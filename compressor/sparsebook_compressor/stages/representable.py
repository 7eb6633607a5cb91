"""Centroids rounded to what a weight's dtype can hold, so that decoding is exact in that dtype."""

import ml_dtypes
import numpy as np
import numpy.typing as npt
from onnx import TensorProto

F32 = npt.NDArray[np.float32]

_NARROW: dict[int, np.dtype[np.generic]] = {
    TensorProto.FLOAT16: np.dtype(np.float16),
    TensorProto.BFLOAT16: np.dtype(ml_dtypes.bfloat16),
}


def representable(centroids: F32, dtype: int) -> F32:
    """The nearest values of the dtype (an ONNX data type), as float32; float32 and float64 hold every float32."""
    narrow = _NARROW.get(dtype)
    return centroids if narrow is None else centroids.astype(narrow).astype(np.float32)
