"""A coded weight as an artifact holds it, whatever the output."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from sparsebook_compressor.graph.view import GraphView
from sparsebook_compressor.payload import CodedWeight
from sparsebook_compressor.trainable.lift import hollow

F32 = npt.NDArray[np.float32]

# A tensor without data that stands for a coded weight carries its number in its description.
_MARK = "sparsebook coded: "


@dataclass(frozen=True, eq=False)
class Held:
    """A coded weight.

    Attributes:
        name: for messages.
        shape: of the weight.
        dtype: of the weight, a number of ONNX's `TensorProto.DataType`.
        decode: reads its codes and codebook.
        put: puts other centroids, float32[centroids], exact in the weight's dtype, in the place of those that are there.
    """

    name: str
    shape: tuple[int, ...]
    dtype: int
    decode: Callable[[], CodedWeight]
    put: Callable[[F32], None]


def mark(tensor: TensorProto, number: int, name: str, shape: tuple[int, ...], dtype: int) -> None:
    """Make a tensor stand for the coded weight of this number, without data."""
    hollow(tensor, name, shape, dtype)
    tensor.doc_string = f"{_MARK}{number}"


def marked(view: GraphView) -> dict[str, int]:
    """The weights of a graph that stand for coded ones, to their numbers."""
    return {
        weight.name: int(weight.holder.doc_string.removeprefix(_MARK))
        for weight in view.weights
        if isinstance(weight.holder, TensorProto) and weight.holder.doc_string.startswith(_MARK)
    }
