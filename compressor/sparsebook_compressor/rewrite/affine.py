"""Constant scales and shifts of channels, as nodes behind a convolution spell them: BatchNormalization, Mul, Add.

Everything is composed in float64 and rounded once a fold.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, TensorProto, numpy_helper

from sparsebook_compressor.graph.attributes import float_attribute, int_attribute
from sparsebook_compressor.graph.constants import Constant

# Its default in ONNX.
_EPSILON = 1e-5

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Affine:
    """`scale x + shift` for every channel; where it has no finite value, it is not representable.

    Attributes:
        scale: float64 [channels].
        shift: float64 [channels].
        taken: the constants that say so.
    """

    scale: Values
    shift: Values
    taken: tuple[Constant, ...] = ()

    @property
    def is_representable(self) -> bool:
        """Whether float32 holds all of it."""
        with np.errstate(over="ignore"):
            both = np.concatenate([self.scale, self.shift]).astype(np.float32)
        return bool(np.isfinite(both).all())

    def behind(self, first: "Affine") -> "Affine":
        """This map of what another one gives."""
        with np.errstate(all="ignore"):
            scale, shift = self.scale * first.scale, self.scale * first.shift + self.shift
        return Affine(scale, shift, first.taken + self.taken)


def affine_of(
    node: NodeProto, source: str, shape: Sequence[int], find: Callable[[str], Constant | None]
) -> Affine | None:
    """What a node does to the channels of a convolution's result; None where it does anything else.

    Args:
        node: of opset 7 or newer; consumes the result once or more.
        source: the result's name.
        shape: the convolution's weight, output channels first.
        find: the constant that a name means at the node.
    """
    if node.op_type == "BatchNormalization":
        return _normalisation(node, source, shape[0], find)
    if node.op_type not in ("Mul", "Add") or len(node.input) != 2:
        return None
    others = [name for name in node.input if name != source]
    constant = find(others[0]) if len(others) == 1 else None
    values = None if constant is None else _channels(constant.tensor, shape)
    if constant is None or values is None:
        return None
    if node.op_type == "Mul":
        return Affine(values, np.zeros(shape[0]), (constant,))
    return Affine(np.ones(shape[0]), values, (constant,))


def _normalisation(
    node: NodeProto, source: str, channels: int, find: Callable[[str], Constant | None]
) -> Affine | None:
    """At inference: gamma (x - mean) / sqrt(variance + epsilon) + beta (Ioffe and Szegedy 2015, algorithm 2)."""
    trains = int_attribute(node, "training_mode") or not int_attribute(node, "spatial", 1)
    if trains or len(node.input) != 5 or node.input[0] != source:
        return None
    constants = [constant for name in node.input[1:] if (constant := find(name)) is not None]
    vectors = [vector_of(constant.tensor, channels) for constant in constants]
    known = [vector for vector in vectors if vector is not None]
    if len(known) != 4:
        return None
    gamma, beta, mean, variance = known
    given = float_attribute(node, "epsilon")
    with np.errstate(all="ignore"):
        scale = gamma / np.sqrt(variance + (_EPSILON if given is None else given))
        return Affine(scale, beta - mean * scale, tuple(constants))


def _channels(tensor: TensorProto, shape: Sequence[int]) -> Values | None:
    """A constant that a result of the convolution is met with channel by channel, as a value a channel."""
    channels, ones = shape[0], (1,) * (len(shape) - 2)
    dims = tuple(tensor.dims)
    if dims in ((channels, *ones), (1, channels, *ones)):
        return _values(tensor)
    if len(dims) <= len(shape) and set(dims) <= {1}:
        one = _values(tensor)
        return None if one is None else np.repeat(one, channels)
    return None


def vector_of(tensor: TensorProto, channels: int) -> Values | None:
    """A float32 constant of a value a channel, float64; None where it is another one, or is not in the file."""
    return _values(tensor) if list(tensor.dims) == [channels] else None


def _values(tensor: TensorProto) -> Values | None:
    if tensor.data_type != TensorProto.FLOAT or tensor.data_location == TensorProto.EXTERNAL:
        return None
    return numpy_helper.to_array(tensor).astype(np.float64).reshape(-1)
