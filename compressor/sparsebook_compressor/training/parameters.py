"""How a weight enters a training graph.

Retraining under a mask: W -> Mul(W, mask). The gradient of a pruned element is zero, so it stays pruned
(arXiv 1510.00149, section 2).

Tuning centroids: codebook -> Pad([1, 0]) -> Gather(codes) -> Reshape. Pad puts the zero of the pruned elements at code 0,
and the gradient of Gather is the paper's sum over the members of a cluster (section 3.3, equation 3).
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper

U8 = npt.NDArray[np.uint8]

MASK = ".mask"
CODEBOOK = ".codebook"
CODES = ".codes"


def mask(model: ModelProto, name: str) -> None:
    """Multiply a weight by its mask wherever it is consumed.

    Args:
        model: changed in place; the weight is an initializer of its main graph.
        name: of the weight. Its mask is another initializer, `name` + `MASK`, float32 of the same shape, without data.
    """
    graph = model.graph
    shape = list(_initializer(graph, name).dims)
    graph.initializer.append(_hollow(name + MASK, TensorProto.FLOAT, shape))
    masked = masked_name(name)
    _redirect(graph, name, masked)
    _prepend(graph, [helper.make_node("Mul", [name, name + MASK], [masked], name=masked)])


def masked_name(name: str) -> str:
    """The value that consumers of a masked weight take."""
    return f"{name}.masked"


def share(model: ModelProto, name: str, centroids: int) -> None:
    """Make a weight of its codebook and codes wherever it is consumed.

    Args:
        model: changed in place; the weight is an initializer of its main graph, which is taken out.
        name: of the weight. `name` + `CODEBOOK` float32[centroids] and `name` + `CODES` uint8[elements] are new
            initializers without data; code 0 is zero, code k the k-th centroid.
        centroids: of the codebook.
    """
    graph = model.graph
    tensor = _initializer(graph, name)
    shape = list(tensor.dims)
    graph.initializer.remove(tensor)
    elements = int(np.prod(shape, dtype=np.int64))
    graph.initializer.append(_hollow(name + CODEBOOK, TensorProto.FLOAT, [centroids]))
    graph.initializer.append(_hollow(name + CODES, TensorProto.UINT8, [elements]))
    pads, dims = f"{name}.pads", f"{name}.dims"
    graph.initializer.append(helper.make_tensor(pads, TensorProto.INT64, [2], [1, 0]))
    graph.initializer.append(helper.make_tensor(dims, TensorProto.INT64, [len(shape)], shape))
    table, flat, whole = f"{name}.table", f"{name}.flat", f"{name}.shared"
    # One byte a code in the file and in memory; Gather wants wider ones, and makes them anew in every run.
    wide = f"{name}.indices"
    _redirect(graph, name, whole)
    _prepend(
        graph,
        [
            helper.make_node("Pad", [name + CODEBOOK, pads], [table], name=table),
            helper.make_node("Cast", [name + CODES], [wide], name=wide, to=TensorProto.INT32),
            helper.make_node("Gather", [table, wide], [flat], name=flat, axis=0),
            helper.make_node("Reshape", [flat, dims], [whole], name=whole),
        ],
    )


def _initializer(graph: GraphProto, name: str) -> TensorProto:
    return next(tensor for tensor in graph.initializer if tensor.name == name)


def _hollow(name: str, dtype: int, shape: list[int]) -> TensorProto:
    return TensorProto(name=name, data_type=dtype, dims=shape)


def _prepend(graph: GraphProto, nodes: list[NodeProto]) -> None:
    rest = list(graph.node)
    copies = [NodeProto.FromString(node.SerializeToString()) for node in (*nodes, *rest)]
    del graph.node[:]
    graph.node.extend(copies)


def _redirect(graph: GraphProto, old: str, new: str) -> None:
    """Have every consumer take another value, those in nested graphs too."""
    for inner in _graphs(graph):
        for node in inner.node:
            for index, value in enumerate(node.input):
                if value == old:
                    node.input[index] = new


def _graphs(graph: GraphProto) -> Iterator[GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                yield from _graphs(attribute.g)
            elif attribute.type == AttributeProto.GRAPHS:
                for inner in attribute.graphs:
                    yield from _graphs(inner)
