import numpy as np
import pytest

from tests.unit.runtime.models import node, run, weight
from tests.unit.runtime.payload_writer import Options


def gather(payload, indices):
    return run(node("Gather", ["w", "i"]), {"i": indices}, {"w": payload})


@pytest.mark.parametrize("layout", ["gaps", "dense"])
@pytest.mark.parametrize("codec", ["huffman", "fixed"])
@pytest.mark.parametrize("density", [0.0, 0.003, 0.4, 1.0])
@pytest.mark.parametrize("shape", [(300, 40), (5, 9000), (9000, 1), (50, 3, 7), (64,)])
def test_every_row(shape, density, codec, layout):
    payload, dense = weight(shape, density, options=Options(layout=layout, codec=codec))
    rows = np.arange(shape[0])
    np.testing.assert_array_equal(gather(payload, rows), dense)
    np.random.default_rng(0).shuffle(rows)
    np.testing.assert_array_equal(gather(payload, rows), dense[rows])


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 3), (2, 0, 3)])
def test_index_shapes(shape, dtype):
    payload, dense = weight((20, 6))
    indices = np.random.default_rng(4).integers(-20, 20, size=shape).astype(dtype)
    found = gather(payload, np.asarray(indices, dtype))
    assert found.shape == (*shape, 6)
    np.testing.assert_array_equal(found, dense[indices])


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("index", [20, -21, 2**31 - 1, -(2**31)])
def test_out_of_range(index, dtype):
    payload, _ = weight((20, 6))
    with pytest.raises(Exception, match=rf"weight 'w': index {index} is out of range \[-20, 19\]"):
        gather(payload, np.array([0, index], dtype))


def test_indices_of_another_type():
    payload, _ = weight((20, 6))
    with pytest.raises(Exception, match="indices must be int32 or int64"):
        gather(payload, np.array([1], np.uint8))


def test_another_axis():
    payload, _ = weight((20, 6))
    with pytest.raises(Exception, match="axis is 1, which must be 0"):
        run(node("Gather", ["w", "i"], axis=1), {"i": np.array([0])}, {"w": payload})
