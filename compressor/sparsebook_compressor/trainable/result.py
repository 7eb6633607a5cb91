"""What graph preparation hands out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from onnx import ModelProto

from sparsebook_compressor.graph.view import Holder


class Vector(NamedTuple):
    """A bias or a normalisation's gain or offset.

    Attributes:
        initializer: its name in the trainable model.
        name: the initializer or Constant of the original's main graph, to which the trained value can be written back.
    """

    initializer: str
    name: str


class Frozen(NamedTuple):
    """A weight that gets no gradient, and a sentence that says why."""

    weight: str
    reason: str


@dataclass(frozen=True, eq=False)
class Trainable:
    """A graph that ONNX Runtime training 1.19 can differentiate.

    Attributes:
        model: opset 13-21, IR at most 10, no local functions; inputs and outputs are those of the original by name and
            order (an input that is also an initializer keeps its default and is none), every float is float32.
        weights: the graph view's name of a weight -> initializer of the main graph. Hollow tensors: name, dimensions and
            FLOAT, but no data.
        constants: other initializers that are hollow -> the original's tensor with the data, of any dtype; a float one is
            to be filled in as float32.
        vectors: what else is worth training.
        frozen: weights without a gradient.
        rewritten: sentences about what was rebuilt.
    """

    model: ModelProto = field(repr=False)
    weights: Mapping[str, str]
    constants: Mapping[str, Holder]
    vectors: tuple[Vector, ...]
    frozen: tuple[Frozen, ...]
    rewritten: tuple[str, ...]
