"""Coded weights for tests of payloads: drawn by hypothesis, or made by a seed."""

import math

import ml_dtypes
import numpy as np
from hypothesis import strategies as st
from onnx import TensorProto

from sparsebook_compressor.payload import CodedWeight

DTYPES = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)
_NARROW = {TensorProto.FLOAT16: np.float16, TensorProto.BFLOAT16: ml_dtypes.bfloat16}


def made(
    shape: tuple[int, ...],
    density: float = 1.0,
    centroids: int = 15,
    dtype: int = TensorProto.FLOAT,
    *,
    bits: int | None = None,
    skew: float = 0.0,
    seed: int = 0,
) -> CodedWeight:
    """A weight of round(density x elements) non-zeros; the higher `skew`, the more its codes favour the first ones."""
    rng = np.random.default_rng(seed)
    elements = math.prod(shape)
    codes = np.zeros(elements, np.uint8)
    kept = rng.permutation(elements)[: round(density * elements)]
    shares = np.exp(-skew * np.arange(centroids))
    codes[kept] = rng.choice(centroids, len(kept), p=shares / shares.sum()) + 1
    codebook = rng.standard_normal(centroids).astype(np.float32)
    return CodedWeight(
        shape, dtype, bits or max(1, centroids.bit_length()), narrowed(codebook, dtype), codes
    )


def narrowed(values: np.ndarray, dtype: int) -> np.ndarray:
    """Values that the dtype represents, as float32."""
    return values.astype(_NARROW.get(dtype, np.float32)).astype(np.float32)


def float32s(dtype: int) -> st.SearchStrategy[float]:
    """Finite values of a weight's dtype that float32 holds too."""
    if dtype == TensorProto.FLOAT16:
        return st.floats(width=16, allow_nan=False, allow_infinity=False)
    if dtype == TensorProto.BFLOAT16:
        patterns = st.integers(0, 0xFFFF).map(lambda bits: np.uint16(bits).view(ml_dtypes.bfloat16))
        return patterns.filter(np.isfinite).map(float)
    return st.floats(width=32, allow_nan=False, allow_infinity=False)


@st.composite
def coded_weights(draw: st.DrawFn, most_elements: int = 3000) -> CodedWeight:
    """Weights of any rank, dtype, density and bits; codes in patterns that make every layout and codec worth while."""
    dims = st.one_of(st.integers(0, 3), st.integers(1, 40))
    shape = tuple(draw(st.lists(dims, max_size=8)))
    while math.prod(shape) > most_elements:
        shape = shape[:-1]
    dtype = draw(st.sampled_from(DTYPES))
    bits = draw(st.integers(1, 8))
    centroids = draw(st.integers(0, (1 << bits) - 1))
    values = draw(st.lists(float32s(dtype), min_size=centroids, max_size=centroids))
    density = draw(st.one_of(st.sampled_from([0.0, 0.01, 1.0]), st.floats(0, 1)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    elements = math.prod(shape)
    codes = np.zeros(elements, np.uint8)
    if centroids:
        spread = draw(st.sampled_from(["one", "few", "even"]))
        low = {"one": np.full(elements, centroids), "few": rng.geometric(0.6, elements)}
        drawn = np.minimum(low.get(spread, rng.integers(1, centroids + 1, elements)), centroids)
        codes = np.where(rng.random(elements) < density, drawn, 0).astype(np.uint8)
    return CodedWeight(shape, dtype, bits, np.array(values, np.float32), codes)
