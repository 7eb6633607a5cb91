"""Train for bytes: a term of the loss that stands for the size of the coded weights.

An element that is pruned costs next to nothing; one that is kept costs its gap and its code, the more the further its
centroid lies from the common ones. That is concave in |w|, and its smooth stand-in is

    rate(W) = sum over elements of log2(1 + |w| / s),    s = SCALE x RMS(W)

the logarithmic penalty whose minimum moves small weights to zero and leaves large ones alone (the idea of an entropy penalty:
arXiv 1906.06624; of variational bits: 1702.04008, 1810.00440). It is in bits, so that `train.rate` is the loss that a
kilobyte of weights may cost.
"""

import math
from collections.abc import Mapping

from onnx import GraphProto, ModelProto, TensorProto, helper

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
    graph = model.graph

    def constant(name: str, value: float) -> str:
        graph.initializer.append(helper.make_tensor(name, TensorProto.FLOAT, [], [value]))
        return name

    def node(op: str, inputs: list[str], output: str) -> str:
        made = helper.make_node(op, inputs, [output], name=output)
        if op == "ReduceSum":
            made.attribute.append(helper.make_attribute("keepdims", 0))
        graph.node.append(made)
        return output

    total = _rename_loss(graph)
    one = constant("rate.one", 1.0)
    weight = constant("rate.weight", rate / (_BITS_OF_A_KILOBYTE * math.log(2)))
    for number, (value, rms) in enumerate(values.items()):
        at = f"rate.{number}"
        scale = constant(f"{at}.scale", 1.0 / (SCALE * max(rms, _LEAST_RMS)))
        scaled = node("Mul", [node("Abs", [value], f"{at}.abs"), scale], f"{at}.scaled")
        bits = node("Log", [node("Add", [scaled, one], f"{at}.more")], f"{at}.log")
        summed = node("ReduceSum", [bits], f"{at}.sum")
        total = node("Add", [total, node("Mul", [summed, weight], f"{at}.rate")], f"{at}.loss")
    node("Identity", [total], LOSS)


def _rename_loss(graph: GraphProto) -> str:
    """Give the loss of the data another name, so that the sum can be the output."""
    renamed = f"{LOSS}.data"
    producer = next(node for node in graph.node if LOSS in node.output)
    producer.output[list(producer.output).index(LOSS)] = renamed
    return renamed
