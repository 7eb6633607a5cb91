"""Outputs as arrays of numbers: what is comparable, and what can be learned from."""

import numpy as np
import pytest

from sparsebook_compressor.outputs import all_numbers, comparable, numbers


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int64, np.uint8, np.bool_])
def test_a_tensor_is_what_it_is(dtype: type) -> None:
    array = np.zeros((2, 3), dtype)
    assert numbers(array) is array
    assert comparable(array) is array


def test_maps_are_rows() -> None:
    found = numbers([{0: 0.25, 1: 0.75}, {0: 0.5, 1: 0.5}])
    assert found is not None
    np.testing.assert_array_equal(found, [[0.25, 0.75], [0.5, 0.5]])


@pytest.mark.parametrize(
    "value",
    [
        None,
        "text",
        np.array(["a", "b"]),
        np.array(["a", "b"], object),
        [],
        [{"a": 1.0}, {"b": 1.0}],
        [{"a": 1.0}, None],
        [{"a": "text"}],
        ["a"],
        [None, np.zeros(2)],
        [np.array(["a"])],
    ],
    ids=str,
)
def test_what_holds_no_numbers(value: object) -> None:
    assert numbers(value) is None
    assert comparable(value) is None


def test_a_sequence_can_be_compared_and_not_be_learned_from() -> None:
    sequence = [np.ones((1, 2), np.float32), np.zeros(1, np.float32)]
    lone, tensor = all_numbers([sequence, sequence[0]])
    assert lone is None
    assert tensor is sequence[0]
    found = comparable(sequence)
    assert found is not None
    np.testing.assert_array_equal(found, [1, 1, 0])
