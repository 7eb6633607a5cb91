import numpy as np
import pytest

from tests.unit.runtime.models import node, run, u8, weight
from tests.unit.runtime.payload_writer import FLOAT16, Options, write


@pytest.mark.parametrize("layout", ["gaps", "dense"])
@pytest.mark.parametrize("codec", ["huffman", "fixed"])
@pytest.mark.parametrize("density", [0.0, 0.02, 0.5, 1.0])
@pytest.mark.parametrize("shape", [(1,), (61, 67), (3, 5, 7), (130, 129)])
def test_gives_the_weight(shape, density, codec, layout):
    options = Options(layout=layout, codec=codec)
    payload, dense = weight(shape, density, options=options)
    found = run(node("Decode", ["w"], shape=list(shape)), {}, {"w": payload})
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, dense)


@pytest.mark.parametrize("gap_bits", range(1, 9))
@pytest.mark.parametrize("centroids", [1, 2, 3, 7, 15, 63, 255])
def test_every_width(gap_bits, centroids):
    payload, dense = weight((40, 50), 0.05, centroids, options=Options(gap_bits=gap_bits))
    found = run(node("Decode", ["w"], shape=[40, 50]), {}, {"w": payload})
    np.testing.assert_array_equal(found, dense)


def test_half_precision_codebook():
    payload, dense = weight((20, 30), options=Options(codebook_dtype=FLOAT16, dtype=FLOAT16))
    found = run(node("Decode", ["w"], shape=[20, 30]), {}, {"w": payload})
    np.testing.assert_array_equal(found, dense)


@pytest.mark.parametrize("shape", [(), (0,), (4, 0, 3)])
def test_scalar_and_empty(shape):
    codes = np.ones(shape, np.uint8)
    payload = u8(write(codes, np.array([2.5], np.float32), Options()))
    found = run(node("Decode", ["w"], shape=list(shape)), {}, {"w": payload})
    np.testing.assert_array_equal(found, np.full(shape, 2.5, np.float32))
