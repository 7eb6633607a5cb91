"""Tensors are read as they are declared, or refused before anything is allocated for them."""

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from onnx import SparseTensorProto, TensorProto

from sparsebook_compressor.errors import InvalidGraph, NotFinite, TooLarge
from sparsebook_compressor.graph import tensors
from sparsebook_compressor.graph.tensors import check_finite, read, read_sparse, read_stored
from tests.unit.compressor.models import BRAIN, DOUBLE, HALF, tensor

NOWHERE = Path("nowhere.onnx")


def sparse(dims: list[int]) -> SparseTensorProto:
    """Two values, at the first two places."""
    made = SparseTensorProto(dims=dims)
    made.values.CopyFrom(tensor("w", np.array([1, 2], np.float32)))
    made.indices.CopyFrom(tensor("i", np.array([0, 1])))
    return made


def test_a_few_bytes_do_not_claim_256_gibibytes() -> None:
    with pytest.raises(TooLarge, match=r"'w': 274877906944 bytes .* 8 bytes .*skip"):
        read_sparse(sparse([1 << 18, 1 << 18]), NOWHERE)


def test_the_bound_grows_with_the_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensors, "_MOST_DENSE_BYTES", 1 << 10)
    most = 4096 * 2  # elements: as many for a value
    assert read_sparse(sparse([2, most // 2]), NOWHERE).sum() == 3
    with pytest.raises(TooLarge):
        read_sparse(sparse([most + 1]), NOWHERE)


def test_small_sparse_tensors_may_be_as_sparse_as_they_like() -> None:
    assert len(read_sparse(sparse([1 << 12, 1 << 12]), NOWHERE)) == 1 << 24


@pytest.mark.parametrize(("dtype", "kind"), [(HALF, np.float16), (BRAIN, ml_dtypes.bfloat16)])
def test_halves_are_bit_patterns(dtype: int, kind: type) -> None:
    """From 0 to 65535, one a number: a larger one would wrap to another value."""
    patterns = [0, 0x3C00, 0x8000, 0xFBFF, 0xFFFF]
    found = read_stored(TensorProto(data_type=dtype, dims=[5], int32_data=patterns), NOWHERE)
    assert found.dtype == kind
    assert found.view(np.uint16).tolist() == patterns
    for bad in (-1, 0x10000, 0x13C00, -(1 << 31), (1 << 31) - 1):
        hostile = TensorProto(name="w", data_type=dtype, dims=[2], int32_data=[1, bad])
        with pytest.raises(InvalidGraph, match=r"'w': .*float16 .*65535"):
            read_stored(hostile, NOWHERE)


@pytest.mark.parametrize("bad", [1e300, -1e300, 3.5e38])
def test_values_beyond_float32_are_called_so(bad: float) -> None:
    values = read(TensorProto(data_type=DOUBLE, dims=[2], double_data=[1.0, bad]), NOWHERE)
    with pytest.raises(NotFinite, match=r"'w': element 1 .*float32's range .*3\.4e\+38.*skip"):
        check_finite(values, "w")


def test_not_a_number_has_nothing_to_do_with_the_range() -> None:
    with pytest.raises(NotFinite) as caught:
        check_finite(np.array([np.nan], np.float32), "w")
    assert "range" not in str(caught.value)
