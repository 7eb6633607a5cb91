"""Train for bytes: a term of the loss that stands for the size of the coded weights.

An element that is pruned costs next to nothing; one that is kept costs its gap and its code, the more the further its
centroid lies from the common ones. That is concave in |w|, and its smooth stand-in is

    rate(W) = sum over elements of log2(1 + |w| / s),    s = SCALE x RMS(W)

the logarithmic penalty whose minimum moves small weights to zero and leaves large ones alone (the idea of an entropy penalty:
arXiv 1906.06624; of variational bits: 1702.04008, 1810.00440). `train.rate` is what the rate of the user's own weights adds
to the loss, so that the same value suits small models and large ones.
"""

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from onnx import GraphProto, ModelProto

from sparsebook_compressor.training.nodes import Nodes

# At a tenth of the RMS the term tells elements that magnitude pruning will take from those that it will leave.
SCALE = 0.1
_BITS_OF_A_KILOBYTE = 8_000
_LEAST_RMS = 1e-12
LOSS = "loss"


def add_rate(model: ModelProto, values: Mapping[str, float], rate: float) -> None:
    """Add the rate of some weights to the output `loss`.

    Args:
        model: the training graph, changed in place.
        values: the RMS before training, by the name of the value in the graph that stands for the weight.
        rate: loss a kilobyte.
    """
    nodes = Nodes(model)
    total = nodes.fresh(LOSS)
    _rename_loss(model.graph, total)
    one = nodes.constant(1.0)
    weight = nodes.constant(rate / (_BITS_OF_A_KILOBYTE * math.log(2)))
    for value, rms in values.items():
        scale = nodes.constant(1.0 / (SCALE * max(rms, _LEAST_RMS)))
        scaled = nodes.add("Mul", nodes.add("Abs", value), scale)
        bits = nodes.add("Log", nodes.add("Add", scaled, one))
        total = nodes.add("Add", total, nodes.add("Mul", nodes.total(bits), weight))
    nodes.add("Identity", total, out=LOSS)


def kilobytes(values: npt.NDArray[np.float32], rms: float) -> float:
    """The rate of a weight in thousands of bytes, by the formula above."""
    scaled = np.abs(values) / np.float32(SCALE * max(rms, _LEAST_RMS))
    return float(np.log2(scaled + np.float32(1), dtype=np.float64).sum()) / _BITS_OF_A_KILOBYTE


def _rename_loss(graph: GraphProto, name: str) -> None:
    """Give the loss of the data another name, so that the sum can be the output."""
    producer = next(node for node in graph.node if LOSS in node.output)
    producer.output[list(producer.output).index(LOSS)] = name
