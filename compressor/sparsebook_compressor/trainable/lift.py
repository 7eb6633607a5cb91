"""A light copy of a model, in which every weight is a hollow initializer of the main graph.

Weights' data is never read: initializers of at least 64 KiB are references into the original's file (see wire.py), and
hollow tensors take their place here.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from onnx import (
    AttributeProto,
    GraphProto,
    ModelProto,
    NodeProto,
    SparseTensorProto,
    TensorProto,
    numpy_helper,
)

from sparsebook_compressor.graph import tensors
from sparsebook_compressor.graph.roles import domain_of
from sparsebook_compressor.graph.scopes import Scope, scopes, within
from sparsebook_compressor.graph.view import (
    IR_WITH_OWN_INITIALIZERS,
    Holder,
    Weight,
    survey,
)
from sparsebook_compressor.trainable.names import Names
from sparsebook_compressor.wire import LARGE

# Begins the name of a hollow tensor in a local function until the function is inlined; its weight's name follows.
_MARK = "sparsebook weight: "


@dataclass(frozen=True, eq=False)
class Lifted:
    """A copy of the model and where its constants come from; see `Trainable` for the fields."""

    model: ModelProto
    weights: dict[str, str]
    constants: dict[str, Holder]


def lift(model: ModelProto, source: Path) -> Lifted:
    """Copy a model without its large tensors; its weights become hollow initializers of the main graph.

    Args:
        model: as `admit.load` gives it; not modified.
        source: its file; small external data is read from its folder.

    Raises:
        InvalidGraph, ExternalDataMissing, ExternalDataOutside: see `tensors.external_file`.
    """
    own = ModelProto()
    own.CopyFrom(model)
    own.ir_version = max(own.ir_version, IR_WITH_OWN_INITIALIZERS)
    _drop_defaults(own.graph)
    weights = _lift_weights(own, source)
    constants: dict[str, Holder] = {}
    for tensor in own.graph.initializer:
        if not _is_hollow(tensor):
            _lighten(tensor, source, constants)
    return Lifted(own, weights, constants)


def land_marked(lifted: Lifted) -> None:
    """Make the weights of local functions, once inlined, initializers of the main graph, each once however often called."""
    graph, names = lifted.model.graph, Names(lifted.model)
    for scope in _inner_first(lifted.model):
        kept: list[bool] = []
        renamed: dict[str, str] = {}
        for node in scope.body.node:
            tensor = _tensor_of(node)
            kept.append(tensor is None or not tensor.name.startswith(_MARK))
            if tensor is None or kept[-1]:
                continue
            weight = tensor.name.removeprefix(_MARK)
            if weight not in lifted.weights:
                lifted.weights[weight] = names.fresh(weight)
                hollow(graph.initializer.add(), lifted.weights[weight], tensor.dims)
            renamed[node.output[0]] = lifted.weights[weight]
        _rename(scope, renamed)
        _keep_nodes(scope, kept)


def hollow(
    tensor: TensorProto, name: str, dims: Iterable[int], data_type: int = TensorProto.FLOAT
) -> None:
    """Make a tensor one of these dimensions and without data."""
    shape = list(dims)
    tensor.Clear()
    tensor.name, tensor.data_type = name, data_type
    tensor.dims.extend(shape)


def has_data(tensor: TensorProto) -> bool:
    """Whether the elements are there."""
    return not _is_hollow(tensor) and tensor.data_location != TensorProto.EXTERNAL


def _is_hollow(tensor: TensorProto) -> bool:
    fields = {descriptor.name for descriptor, _ in tensor.ListFields()}
    return not fields - {"name", "dims", "data_type", "doc_string"} and 0 not in tensor.dims


def _drop_defaults(graph: GraphProto) -> None:
    """Initializers that are inputs as well (as IR 3 demands) are what they are by default."""
    held = {tensor.name for tensor in graph.initializer}
    held.update(sparse.values.name for sparse in graph.sparse_initializer)
    for index in reversed(range(len(graph.input))):
        if graph.input[index].name in held:
            del graph.input[index]


def _lift_weights(own: ModelProto, source: Path) -> dict[str, str]:
    """Weight -> hollow initializer; those of functions are marked, to be landed once the functions are inlined."""
    taken = Counter(name for scope in scopes(own) for name in scope.defined)
    names = Names(own)
    weights: dict[str, str] = {}
    added: list[tuple[str, tuple[int, ...]]] = []
    dead: dict[int, set[int]] = {}
    # Held to the end: `id` says which node or graph an object stands for only while the object lives.
    found = survey(own, source).weights
    for weight in found:
        if weight.scope.graph is None:
            _mark(weight)
            continue
        name = weight.value
        if weight.scope.parent is not None and taken[name] > 1:
            name = names.fresh(weight.name)
            _rename(weight.scope, {weight.value: name})
        weights[weight.name] = name
        if weight.node is not None:
            dead.setdefault(id(weight.scope.body), set()).add(id(weight.node))
            added.append((name, weight.shape))
        elif weight.scope.parent is None and isinstance(weight.holder, TensorProto):
            hollow(weight.holder, name, weight.shape)
        else:
            _remove_holder(weight.scope.graph, weight.holder)
            added.append((name, weight.shape))
    for scope in _inner_first(own):
        nodes = dead.get(id(scope.body), set())
        _keep_nodes(scope, [id(node) not in nodes for node in scope.body.node])
    for name, shape in added:
        hollow(own.graph.initializer.add(), name, shape)
    return weights


def _mark(weight: Weight) -> None:
    assert weight.node is not None
    attribute = weight.node.attribute[0]
    attribute.Clear()
    attribute.name, attribute.type = "value", AttributeProto.TENSOR
    hollow(attribute.t, _MARK + weight.name, weight.shape)


def _remove_holder(graph: GraphProto, holder: Holder) -> None:
    if isinstance(holder, SparseTensorProto):
        index = next(i for i, each in enumerate(graph.sparse_initializer) if each is holder)
        del graph.sparse_initializer[index]
    else:
        index = next(i for i, each in enumerate(graph.initializer) if each is holder)
        del graph.initializer[index]


def _lighten(tensor: TensorProto, source: Path, constants: dict[str, Holder]) -> None:
    """Read what is small; what is large goes hollow, and `constants` remembers where its data is."""
    external = tensor.data_location == TensorProto.EXTERNAL
    size = tensors.external_length(tensor, source) if external else tensor.ByteSize()
    if size < LARGE:
        if external:
            data = tensors.external_bytes(tensor, source).tobytes()
            for name in ("data_location", "external_data"):
                tensor.ClearField(name)
            tensor.raw_data = data
        return
    original = TensorProto()
    original.CopyFrom(tensor)
    constants[tensor.name] = original
    hollow(tensor, tensor.name, original.dims, original.data_type)


def raise_constants(own: ModelProto, source: Path, constants: dict[str, Holder]) -> None:
    """Make the Constant nodes and sparse initializers of the main graph dense initializers; large ones go hollow."""
    main = scopes(own)[0]
    kept: list[bool] = []
    for sparse in own.graph.sparse_initializer:
        _densify(own.graph.initializer.add(), sparse.values.name, sparse, constants)
    del own.graph.sparse_initializer[:]
    for node in own.graph.node:
        kept.append(node.op_type != "Constant" or domain_of(node) != "")
        if kept[-1]:
            continue
        attribute = node.attribute[0]
        added = own.graph.initializer.add()
        if attribute.type == AttributeProto.SPARSE_TENSOR:
            _densify(added, node.output[0], attribute.sparse_tensor, constants)
            continue
        added.CopyFrom(_dense(attribute))
        added.name = node.output[0]
        _lighten(added, source, constants)
    _keep_nodes(main, kept)


def _densify(
    tensor: TensorProto, name: str, sparse: SparseTensorProto, constants: dict[str, Holder]
) -> None:
    original = SparseTensorProto()
    original.CopyFrom(sparse)
    constants[name] = original
    hollow(tensor, name, original.dims, original.values.data_type)


def _dense(attribute: AttributeProto) -> TensorProto:
    if attribute.type == AttributeProto.TENSOR:
        return attribute.t
    value: float | list[float] | int | list[int] | bytes | list[bytes]
    match attribute.name:
        case "value_float":
            return numpy_helper.from_array(np.array(attribute.f, np.float32))
        case "value_floats":
            return numpy_helper.from_array(np.array(attribute.floats, np.float32))
        case "value_int":
            return numpy_helper.from_array(np.array(attribute.i, np.int64))
        case "value_ints":
            return numpy_helper.from_array(np.array(attribute.ints, np.int64))
        case "value_string":
            value, dims = [attribute.s], []
        case _:
            value, dims = list(attribute.strings), [len(attribute.strings)]
    return TensorProto(data_type=TensorProto.STRING, dims=dims, string_data=value)


def _tensor_of(node: NodeProto) -> TensorProto | None:
    if node.op_type != "Constant" or domain_of(node) or not node.attribute:
        return None
    return node.attribute[0].t if node.attribute[0].type == AttributeProto.TENSOR else None


def _inner_first(model: ModelProto) -> list[Scope]:
    """Rebuilding the nodes of a scope detaches what was found inside it: the inner ones have to be done by then."""
    return list(reversed(scopes(model)))


def _rename(scope: Scope, renamed: dict[str, str]) -> None:
    """Other names for values that the scope no longer defines, wherever they are consumed."""
    if not renamed:
        return
    for inner in within(scope):
        for node in inner.body.node:
            for index, name in enumerate(node.input):
                node.input[index] = renamed.get(name, name)


def _keep_nodes(scope: Scope, kept: list[bool]) -> None:
    if not all(kept):
        nodes = [node for node, keep in zip(scope.body.node, kept, strict=True) if keep]
        copies = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del scope.body.node[:]
        scope.body.node.extend(copies)
