"""How a weight enters a training graph, and how it comes back.

Pruned elements are zero and get no gradient (arXiv 1510.00149, section 2), in one of two ways: W -> Mul(W, mask), or, where
few are left, the survivors alone are the parameter and ScatterND puts them in their places. On LeNet-300-100 at a density of
6% a step takes 2.7 ms in place of 11.1 while centroids are tuned, and the optimizer keeps its state for the survivors alone.

Centroids are tuned by codebook -> Gather(codes): the gradient of Gather is the paper's sum over the members of a cluster
(section 3.3, equation 3). Dense codes get the zero of the pruned elements by Pad at code 0; scattered ones need none.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper

from sparsebook_compressor.training.nodes import free_prefix, redirect

Array = npt.NDArray[np.generic]
F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]
Fill = dict[str, Callable[[], Array]]
_Scalar = TypeVar("_Scalar", bound=np.generic)

# Above it the positions of the survivors, 8 bytes each, take more than a mask and the optimizer's state of the others.
MOST_SCATTERED = 0.5


@dataclass(frozen=True, eq=False)
class Parameter:
    """A weight in the form in which it is trained.

    Attributes:
        name: of the initializer that is trained.
        value: of the value in the graph that holds the weight's elements, or its survivors.
        fill: where the data of the new initializers and constants comes from.
        constants: new inputs that are the same in every run.
    """

    name: str
    value: str
    fill: Fill
    constants: tuple[str, ...] = ()


Sharing: TypeAlias = Callable[[ModelProto, str, F32, Callable[[], U8]], Parameter]
"""Lets the centroids of a weight be trained, as `share` does."""


def prune(model: ModelProto, name: str, read: Callable[[], F32]) -> Parameter:
    """Let what is not zero of a weight be trained.

    Args:
        model: changed in place; the weight is an initializer of its main graph.
        name: of the weight.
        read: gives its values, float32[elements].
    """
    graph, prefix = model.graph, free_prefix(model, name)
    shape = list(_initializer(graph, name).dims)
    survivors = int(np.count_nonzero(read()))
    if survivors > MOST_SCATTERED * _elements(shape):
        mask, masked = f"{prefix}.mask", f"{prefix}.masked"
        graph.initializer.append(_hollow(mask, TensorProto.FLOAT, shape))
        redirect(model, name, masked)
        _prepend(graph, [helper.make_node("Mul", [name, mask], [masked], name=masked)])
        return Parameter(name, masked, {name: read, mask: lambda: _mask(read())})
    parameter = f"{prefix}.survivors"
    _remove(graph, name)
    graph.initializer.append(_hollow(parameter, TensorProto.FLOAT, [survivors]))
    positions = _scatter(model, name, prefix, shape, survivors, parameter, [])
    fill: Fill = {
        parameter: lambda: _survivors(read()),
        positions: lambda: _positions(read()),
    }
    return Parameter(parameter, parameter, fill)


def restore(before: F32, trained: F32) -> F32:
    """A weight with its trained elements, float32[elements].

    Args:
        before: the weight as it was when it entered the graph.
        trained: the parameter, all elements or the survivors.
    """
    alive = before != 0
    values = np.zeros_like(before)
    values[alive] = trained.reshape(-1)[alive] if trained.size == before.size else trained
    return values


def share(model: ModelProto, name: str, codebook: F32, read: Callable[[], U8]) -> Parameter:
    """Let the centroids of a weight be trained.

    Args:
        model: changed in place; the weight is an initializer of its main graph.
        name: of the weight.
        codebook: its centroids, float32[centroids].
        read: gives its codes, uint8[elements]; 0 is zero, k the k-th centroid.
    """
    graph, prefix = model.graph, free_prefix(model, name)
    shape = list(_initializer(graph, name).dims)
    elements = _elements(shape)
    survivors = int(np.count_nonzero(read()))
    parameter, codes = f"{prefix}.codebook", f"{prefix}.codes"
    _remove(graph, name)
    graph.initializer.append(_hollow(parameter, TensorProto.FLOAT, [len(codebook)]))
    # One byte a code in the file and in memory; Gather wants wider ones, and has them made anew in every run.
    wide, picked = f"{prefix}.indices", f"{prefix}.picked"
    cast = helper.make_node("Cast", [codes], [wide], name=wide, to=TensorProto.INT32)
    if survivors <= MOST_SCATTERED * elements:
        graph.initializer.append(_hollow(codes, TensorProto.UINT8, [survivors]))
        pick = helper.make_node("Gather", [parameter, wide], [picked], name=picked, axis=0)
        positions = _scatter(model, name, prefix, shape, survivors, picked, [cast, pick])
        fill: Fill = {
            parameter: lambda: codebook,
            codes: lambda: codes_of_survivors(read()),
            positions: lambda: _positions(read()),
        }
        return Parameter(parameter, picked, fill)
    graph.initializer.append(_hollow(codes, TensorProto.UINT8, [elements]))
    pads, table = _constant(graph, f"{prefix}.pads", [1, 0]), f"{prefix}.table"
    pad = helper.make_node("Pad", [parameter, pads], [table], name=table)
    pick = helper.make_node("Gather", [table, wide], [picked], name=picked, axis=0)
    _shape(model, name, prefix, shape, picked, [pad, cast, pick])
    return Parameter(parameter, picked, {parameter: lambda: codebook, codes: read})


def codes_of_survivors(codes: U8) -> U8:
    """Codes that are not zero, counted from 0: the centroids' places in the codebook."""
    return _survivors(codes) - np.uint8(1)


def _scatter(
    model: ModelProto,
    name: str,
    prefix: str,
    shape: list[int],
    survivors: int,
    values: str,
    before: list[NodeProto],
) -> str:
    """Values, float32[survivors], into their places, the rest being zero; the name of the places."""
    graph, positions = model.graph, f"{prefix}.positions"
    graph.initializer.append(_hollow(positions, TensorProto.INT64, [survivors, 1]))
    length = _constant(graph, f"{prefix}.elements", [_elements(shape)])
    zeros, flat = f"{prefix}.zeros", f"{prefix}.flat"
    nodes = [
        helper.make_node("ConstantOfShape", [length], [zeros], name=zeros),
        helper.make_node("ScatterND", [zeros, positions, values], [flat], name=flat),
    ]
    _shape(model, name, prefix, shape, flat, [*before, *nodes])
    return positions


def _shape(
    model: ModelProto, name: str, prefix: str, shape: list[int], flat: str, before: list[NodeProto]
) -> None:
    """The flat elements in the weight's shape, for all its consumers."""
    graph = model.graph
    dims, whole = _constant(graph, f"{prefix}.dims", shape), f"{prefix}.whole"
    redirect(model, name, whole)
    _prepend(graph, [*before, helper.make_node("Reshape", [flat, dims], [whole], name=whole)])


def _mask(values: F32) -> F32:
    mask: F32 = (values != 0).astype(np.float32)
    return mask


def _survivors(values: npt.NDArray[_Scalar]) -> npt.NDArray[_Scalar]:
    """The elements that are not zero."""
    return values[np.flatnonzero(values)]


def _positions(values: Array) -> Array:
    return np.flatnonzero(values).astype(np.int64)


def _elements(shape: list[int]) -> int:
    return int(np.prod(shape, dtype=np.int64))


def _constant(graph: GraphProto, name: str, values: list[int]) -> str:
    graph.initializer.append(helper.make_tensor(name, TensorProto.INT64, [len(values)], values))
    return name


def _remove(graph: GraphProto, name: str) -> None:
    graph.initializer.remove(_initializer(graph, name))


def _initializer(graph: GraphProto, name: str) -> TensorProto:
    return next(tensor for tensor in graph.initializer if tensor.name == name)


def _hollow(name: str, dtype: int, shape: list[int]) -> TensorProto:
    return TensorProto(name=name, data_type=dtype, dims=shape)


def _prepend(graph: GraphProto, nodes: list[NodeProto]) -> None:
    for node in reversed(nodes):
        graph.node.insert(0, node)
