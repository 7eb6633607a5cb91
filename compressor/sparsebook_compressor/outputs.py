"""What ONNX Runtime gives for an output, as one array of numbers.

Classifiers of scikit-learn end in a ZipMap unless whoever exports them asks for none: a map a sample, from class to probability. Its
numbers are those of the matrix that it was made of.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]


def numbers(value: object) -> Array | None:
    """A tensor of numbers as it is; maps with the same keys as rows of a matrix; None of anything else.

    >>> numbers([{"a": 0.25, "b": 0.75}, {"a": 1.0, "b": 0.0}])
    array([[0.25, 0.75],
           [1.  , 0.  ]])
    """
    if isinstance(value, np.ndarray):
        return value if value.dtype.kind in "fiub" else None
    if not isinstance(value, list) or not value or not isinstance(value[0], dict):
        return None
    keys = list(value[0])
    if any(not isinstance(each, dict) or list(each) != keys for each in value):
        return None
    return numbers(np.array([list(each.values()) for each in value]))


def all_numbers(values: Sequence[object]) -> list[Array | None]:
    """`numbers` of every output of a run."""
    return [numbers(value) for value in values]


def comparable(value: object) -> Array | None:
    """`numbers`, or a sequence's tensors one behind the other.

    What is no tensor in the graph can be compared, and not be learned from.

    >>> comparable([np.zeros((1, 2)), np.ones((1, 1))])
    array([0., 0., 1.])
    """
    known = numbers(value)
    if known is not None or not isinstance(value, list):
        return known
    entries = [numbers(each) for each in value if isinstance(each, np.ndarray)]
    found = [entry.reshape(-1) for entry in entries if entry is not None]
    return np.concatenate(found) if found and len(found) == len(value) else None
