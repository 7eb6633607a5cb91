"""Centroids become values that a weight's dtype holds, the nearest ones."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto

from sparsebook_compressor.stages.representable import representable

NARROW = {TensorProto.FLOAT16: np.float16, TensorProto.BFLOAT16: ml_dtypes.bfloat16}


@given(st.lists(st.floats(-65_000, 65_000, width=32), max_size=20), st.sampled_from(sorted(NARROW)))
def test_narrow_dtypes_hold_what_comes_out(values: list[float], dtype: int) -> None:
    given_values = np.array(values, np.float32)
    found = representable(given_values, dtype)
    assert found.dtype == np.float32
    assert (found.astype(NARROW[dtype]).astype(np.float32) == found).all()
    step = {TensorProto.FLOAT16: 2.0**-11, TensorProto.BFLOAT16: 2.0**-8}[dtype]
    assert (np.abs(found - given_values) <= step * np.abs(given_values) + 2.0**-25).all()


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT, TensorProto.DOUBLE])
def test_wide_dtypes_change_nothing(dtype: int) -> None:
    values = np.array([1e-45, 1 / 3, -3.4e38], np.float32)
    assert representable(values, dtype).tobytes() == values.tobytes()


@pytest.mark.parametrize("dtype", sorted(NARROW))
def test_what_is_beyond_a_narrow_dtype_becomes_its_largest(dtype: int) -> None:
    """Infinity would make every output NaN."""
    largest = float(ml_dtypes.finfo(NARROW[dtype]).max)
    beyond = np.array([3.4e38, -3.4e38, 1.0], np.float32)
    np.testing.assert_array_equal(representable(beyond, dtype), [largest, -largest, 1])
