"""Small models, one for every place where a weight can hide and for every role that it can have.

`HIDING` lists them; tests of the graph view, of the rewrites and of decompression all run over the list.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

FLOAT, HALF, DOUBLE, BRAIN, INT64 = (
    TensorProto.FLOAT,
    TensorProto.FLOAT16,
    TensorProto.DOUBLE,
    TensorProto.BFLOAT16,
    TensorProto.INT64,
)
NEWEST = 25
"""The newest opset that the pinned ONNX Runtime runs without a warning."""
K, N = 24, 32


def values(*shape: int, dtype: type = np.float32) -> np.ndarray:
    """Heavy-tailed weights, the same for the same shape."""
    rng = np.random.default_rng(zlib.crc32(str(shape).encode()))
    return (rng.standard_t(4, shape) / 8).astype(dtype)


def tensor(name: str, array: np.ndarray) -> TensorProto:
    return numpy_helper.from_array(array, name)


def value(name: str, shape: list[Any], dtype: int = FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, shape)


def free(name: str, rank: int) -> onnx.ValueInfoProto:
    """A float value whose dimensions are all free."""
    return value(name, [f"{name}{axis}" for axis in range(rank)])


def node(op: str, inputs: list[str], outputs: list[str], **attributes: Any) -> NodeProto:
    return helper.make_node(op, inputs, outputs, **attributes)


def constant(name: str, array: np.ndarray) -> NodeProto:
    return node("Constant", [], [name], value=tensor(f"{name}.value", array))


def graph_of(
    nodes: list[NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    initializers: dict[str, np.ndarray] | None = None,
    name: str = "graph",
    **more: Any,
) -> onnx.GraphProto:
    tensors = [tensor(key, array) for key, array in (initializers or {}).items()]
    return helper.make_graph(nodes, name, inputs, outputs, tensors, **more)


def model_of(graph: onnx.GraphProto, opset: int = 17, ir: int = 8, **more: Any) -> ModelProto:
    imports = more.pop("opset_imports", [helper.make_opsetid("", opset)])
    made = helper.make_model(graph, opset_imports=imports, ir_version=ir, **more)
    helper.set_model_props(made, {"author": "tests", "labels": "a,b"})
    made.doc_string = "a model of the tests"
    return made


def sparse(name: str, array: np.ndarray, *, coordinates: bool = False) -> onnx.SparseTensorProto:
    places = np.argwhere(array) if coordinates else np.flatnonzero(array)
    return helper.make_sparse_tensor(
        tensor(name, array[array != 0]),
        tensor(f"{name}.indices", places.astype(np.int64)),
        list(array.shape),
    )


def thinned(array: np.ndarray) -> np.ndarray:
    return np.where(np.abs(array) > 0.15, array, 0).astype(array.dtype)


@dataclass(frozen=True)
class Hiding:
    """A model with weights.

    Attributes:
        name: where the weight is.
        build: makes the model.
        weights: names, as the graph view gives them, and roles.
        kernels: domains' operators in the `operator` output, sorted.
        external: tensors whose data is moved to a file of its own beside the model.
    """

    name: str
    build: Callable[[], ModelProto]
    weights: dict[str, str]
    kernels: tuple[str, ...]
    external: tuple[str, ...] = ()

    def write(self, folder: Path) -> Path:
        """The model's file, and its external data."""
        model = self.build()
        for found in _all_tensors(model):
            if found.name in self.external:
                (folder / f"{found.name}.bin").write_bytes(b"\xee" * 16 + found.raw_data + b"\xdd")
                _refer(found, f"{found.name}.bin", 16, len(found.raw_data))
        path = folder / "model.onnx"
        path.write_bytes(model.SerializeToString())
        return path


def _refer(found: TensorProto, location: str, offset: int, length: int) -> None:
    found.ClearField("raw_data")
    found.data_location = TensorProto.EXTERNAL
    entries = {"location": location, "offset": offset, "length": length}
    for key, entry in entries.items():
        found.external_data.add(key=key, value=str(entry))


def _all_tensors(model: ModelProto) -> list[TensorProto]:
    def within(graph: onnx.GraphProto) -> list[TensorProto]:
        found = list(graph.initializer)
        for each in graph.node:
            for attribute in each.attribute:
                found += [attribute.t] if attribute.type == onnx.AttributeProto.TENSOR else []
                found += within(attribute.g) if attribute.type == onnx.AttributeProto.GRAPH else []
        return found

    return within(model.graph)


def feeds_of(model: ModelProto, batch: int = 3, seed: int = 0) -> dict[str, np.ndarray]:
    """An input of each kind; free dimensions are `batch`."""
    rng = np.random.default_rng(seed)
    constants = {found.name for found in model.graph.initializer}
    feeds = {}
    for each in model.graph.input:
        if each.name in constants:
            continue
        kind = each.type.tensor_type
        shape = [dim.dim_value or batch for dim in kind.shape.dim]
        dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type)
        if dtype.kind in "iu":
            feeds[each.name] = rng.integers(0, 8, shape).astype(dtype)
        elif dtype.kind == "b":
            feeds[each.name] = np.ones(shape, bool)
        else:
            feeds[each.name] = rng.standard_normal(shape).astype(dtype)
    return feeds


@dataclass
class _List:
    rows: list[Hiding] = field(default_factory=list)

    def add(
        self, name: str, weights: dict[str, str], *kernels: str, external: tuple[str, ...] = ()
    ) -> Callable[[Callable[[], ModelProto]], Callable[[], ModelProto]]:
        def keep(build: Callable[[], ModelProto]) -> Callable[[], ModelProto]:
            self.rows.append(Hiding(name, build, weights, tuple(sorted(kernels)), external))
            return build

        return keep


_list = _List()
_X, _Y = value("x", ["batch", K]), value("y", ["batch", N])


def one_matmul(**more: Any) -> ModelProto:
    """Y = X W with W an initializer [24, 32]."""
    return model_of(
        graph_of([node("MatMul", ["x", "w"], ["y"])], [_X], [_Y], {"w": values(K, N)}), **more
    )


_list.add("initializer", {"w": "matmul"}, "MatMul")(one_matmul)


@_list.add("input of rank 1", {"w": "matmul"}, "MatMul")
def rank_1() -> ModelProto:
    matmul = node("MatMul", ["x", "w"], ["y"])
    return model_of(graph_of([matmul], [value("x", [K])], [value("y", [N])], {"w": values(K, N)}))


@_list.add("input of rank 4", {"w": "matmul"}, "MatMul")
def rank_4() -> ModelProto:
    matmul = node("MatMul", ["x", "w"], ["y"])
    x, y = value("x", ["a", 2, "b", K]), value("y", ["a", 2, "b", N])
    return model_of(graph_of([matmul], [x], [y], {"w": values(K, N)}))


@_list.add("weight of rank 3", {"w": "matmul"}, "Decode")
def batched_weight() -> ModelProto:
    matmul = node("MatMul", ["x", "w"], ["y"])
    x, y = value("x", [3, "b", K]), value("y", [3, "b", 8])
    return model_of(graph_of([matmul], [x], [y], {"w": values(3, K, 8)}))


@_list.add("left operand", {"w": "matmul"}, "Decode")
def left_operand() -> ModelProto:
    matmul = node("MatMul", ["w", "x"], ["y"])
    x, y = value("x", [N, "b"]), value("y", [K, "b"])
    return model_of(graph_of([matmul], [x], [y], {"w": values(K, N)}))


@_list.add("Gemm", {"w": "gemm", "v": "gemm"}, "Gemm", "Gemm")
def gemm() -> ModelProto:
    nodes = [
        node("Gemm", ["x", "w", "b"], ["h"], alpha=0.5, beta=2.0, name="first"),
        node("Relu", ["h"], ["r"]),
        node("Gemm", ["r", "v"], ["y"], transB=1),
    ]
    weights = {"w": values(K, N), "v": values(16, N), "b": values(N)}
    return model_of(graph_of(nodes, [_X], [value("y", ["batch", 16])], weights))


@_list.add("Gemm with transA", {"w": "gemm"}, "Gemm")
def gemm_transposed_input() -> ModelProto:
    product = node("Gemm", ["x", "w", "b"], ["y"], transA=1, transB=1)
    weights = {"w": values(N, K), "b": values(5, 1)}
    return model_of(graph_of([product], [value("x", [K, 5])], [value("y", [5, N])], weights))


@_list.add("left operand of Gemm", {"w": "gemm"}, "Decode")
def gemm_left() -> ModelProto:
    product = node("Gemm", ["w", "x"], ["y"])
    return model_of(
        graph_of([product], [value("x", [N, "b"])], [value("y", [K, "b"])], {"w": values(K, N)})
    )


@_list.add("both operands of Gemm", {"w": "gemm"}, "Decode", "Gemm")
def gemm_of_itself() -> ModelProto:
    nodes = [node("Gemm", ["w", "w"], ["g"], transB=1), node("MatMul", ["x", "g"], ["y"])]
    return model_of(graph_of(nodes, [_X], [value("y", ["batch", K])], {"w": values(K, N)}))


@_list.add("Conv", {"w": "conv"}, "Conv")
def conv() -> ModelProto:
    convolution = node(
        "Conv", ["x", "w", "b"], ["y"], pads=[1, 0, 2, 1], strides=[2, 1], dilations=[1, 2]
    )
    x, y = value("x", ["n", 3, 11, 12]), free("y", 4)
    return model_of(graph_of([convolution], [x], [y], {"w": values(16, 3, 3, 3), "b": values(16)}))


@_list.add("Conv with auto_pad", {"w": "conv"}, "Conv")
def conv_same() -> ModelProto:
    convolution = node(
        "Conv", ["x", "w"], ["y"], auto_pad="SAME_UPPER", strides=[2, 2], kernel_shape=[3, 3]
    )
    x, y = value("x", ["n", 4, "h", "w_"]), free("y", 4)
    return model_of(graph_of([convolution], [x], [y], {"w": values(8, 4, 3, 3)}))


@_list.add("grouped Conv", {"w": "conv"}, "Conv")
def grouped() -> ModelProto:
    convolution = node("Conv", ["x", "w"], ["y"], group=3)
    x, y = value("x", ["n", 12, 7, 7]), value("y", ["n", 24, 5, 5])
    return model_of(graph_of([convolution], [x], [y], {"w": values(24, 4, 3, 3)}))


@_list.add("depthwise Conv", {"w": "depthwise-conv"}, "Conv")
def depthwise() -> ModelProto:
    convolution = node("Conv", ["x", "w"], ["y"], group=16, pads=[1, 1, 1, 1])
    x, y = value("x", ["n", 16, 7, 7]), value("y", ["n", 32, 7, 7])
    return model_of(graph_of([convolution], [x], [y], {"w": values(32, 1, 3, 3)}))


@_list.add("Conv in one dimension", {"w": "conv"}, "Conv")
def conv_1d() -> ModelProto:
    convolution = node("Conv", ["x", "w"], ["y"], strides=[2])
    x, y = value("x", ["n", 8, "t"]), free("y", 3)
    return model_of(graph_of([convolution], [x], [y], {"w": values(16, 8, 3)}), opset=11)


@_list.add("Conv in three dimensions", {"w": "conv"}, "Conv")
def conv_3d() -> ModelProto:
    convolution = node("Conv", ["x", "w"], ["y"])
    x, y = value("x", ["n", 2, 5, 6, 7]), free("y", 5)
    return model_of(graph_of([convolution], [x], [y], {"w": values(8, 2, 3, 2, 3)}))


@_list.add("ConvTranspose", {"w": "conv-transpose"}, "Decode")
def conv_transpose() -> ModelProto:
    convolution = node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2])
    x, y = value("x", ["n", 8, 5, 5]), free("y", 4)
    return model_of(graph_of([convolution], [x], [y], {"w": values(8, 6, 3, 3)}))


def recurrent(op: str, gates: int, outputs: int, opset: int = 17, **attributes: Any) -> ModelProto:
    hidden = 12
    names = ["all", "last", "cell"][:outputs]
    settings = {"hidden_size": hidden, "direction": "bidirectional", **attributes}
    cell = node(op, ["x", "w", "r", "b"], names, **settings)
    weights = {
        "w": values(2, gates * hidden, 8),
        "r": values(2, gates * hidden, hidden),
        "b": values(2, 2 * gates * hidden),
    }
    declared = [free(name, 4 - (name != "all")) for name in names]
    graph = graph_of([cell], [value("x", ["t", "batch", 8])], declared, weights)
    return model_of(graph, opset=opset)


_RECURRENT = {"w": "recurrent", "r": "recurrent"}
for _op, _gates, _outputs, _kernels in (
    ("LSTM", 4, 3, ("LSTM",)),
    ("GRU", 3, 2, ("GRU",)),
    ("RNN", 1, 2, ("Decode", "Decode")),
):
    _list.add(_op, _RECURRENT, *_kernels)(
        lambda op=_op, gates=_gates, outputs=_outputs: recurrent(op, gates, outputs)
    )


@_list.add("LSTM with its activations named", _RECURRENT, "LSTM")
def lstm_activations() -> ModelProto:
    return recurrent("LSTM", 4, 3, activations=["Sigmoid", "tanh", "Tanh"] * 2)


@_list.add("LSTM with other activations", _RECURRENT, "Decode", "Decode")
def lstm_other_activations() -> ModelProto:
    return recurrent("LSTM", 4, 3, activations=["HardSigmoid", "Tanh", "Tanh"] * 2)


@_list.add("LSTM with a clip", _RECURRENT, "Decode", "Decode")
def lstm_clip() -> ModelProto:
    return recurrent("LSTM", 4, 3, clip=0.5)


@_list.add("LSTM whose forget gate is coupled", _RECURRENT, "Decode", "Decode")
def lstm_input_forget() -> ModelProto:
    return recurrent("LSTM", 4, 3, input_forget=1)


@_list.add("GRU whose reset comes behind", _RECURRENT, "GRU")
def gru_reset_behind() -> ModelProto:
    return recurrent("GRU", 3, 2, linear_before_reset=1)


@_list.add("GRU of an older opset", _RECURRENT, "GRU")
def gru_old() -> ModelProto:
    return recurrent("GRU", 3, 2, opset=7)


@_list.add("LSTM with peepholes", _RECURRENT, "Decode", "Decode")
def lstm_peepholes() -> ModelProto:
    made = recurrent("LSTM", 4, 3)
    made.graph.node[0].input.extend(["", "", "", "p"])
    made.graph.initializer.append(tensor("p", values(2, 36)))
    return made


@_list.add("LSTM with its peepholes left out", _RECURRENT, "LSTM")
def lstm_no_peepholes() -> ModelProto:
    made = recurrent("LSTM", 4, 3)
    made.graph.node[0].input.extend(["", "", "", ""])
    return made


@_list.add("LSTM of whose weights one is not constant", {"w": "recurrent"}, "Decode")
def lstm_half() -> ModelProto:
    made = recurrent("LSTM", 4, 3)
    (r,) = (each for each in made.graph.initializer if each.name == "r")
    made.graph.initializer.remove(r)
    made.graph.input.append(value("r", [2, 48, 12]))
    return made


@_list.add("LSTM of one weight", {"w": "recurrent"}, "LSTM")
def lstm_one_weight() -> ModelProto:
    cell = node("LSTM", ["x", "w", "w"], ["y"], hidden_size=16)
    x, y = value("x", ["t", "batch", 16]), free("y", 4)
    return model_of(graph_of([cell], [x], [y], {"w": values(1, 64, 16)}))


@_list.add("weight of an LSTM and of a product", _RECURRENT, "Decode", "LSTM")
def lstm_and_product() -> ModelProto:
    nodes = [
        node("LSTM", ["x", "w", "r"], ["h"], hidden_size=16),
        node("MatMul", ["r", "turned"], ["s"]),
        node("Transpose", ["x"], ["turned"], perm=[1, 2, 0]),
        node("ReduceMean", ["s"], ["m"], keepdims=0),
        node("Add", ["h", "m"], ["y"]),
    ]
    nodes[1], nodes[2] = nodes[2], nodes[1]
    x, y = value("x", ["t", 1, 16]), free("y", 4)
    weights = {"w": values(1, 64, 16), "r": values(1, 64, 16)[:, ::-1].copy()}
    return model_of(graph_of(nodes, [x], [y], weights))


@_list.add("LSTM in an If, its weights outside", _RECURRENT, "LSTM")
def lstm_in_if() -> ModelProto:
    cell = node("LSTM", ["x", "w", "r"], ["", "then.y"], hidden_size=16)
    then = graph_of([cell], [], [free("then.y", 3)])
    other = graph_of([node("ReduceMax", ["x"], ["else.y"], axes=[0])], [], [free("else.y", 3)])
    choose = node("If", ["yes"], ["y"], then_branch=then, else_branch=other)
    nodes = [constant("yes", np.array(True)), choose]
    x, y = value("x", ["t", "batch", 16]), free("y", 3)
    weights = {"w": values(1, 64, 16), "r": values(1, 64, 16)[:, ::-1].copy()}
    return model_of(graph_of(nodes, [x], [y], weights))


@_list.add("embedding", {"table": "embedding"}, "Gather")
def embedding() -> ModelProto:
    gather = node("Gather", ["table", "ids"], ["y"])
    ids, y = value("ids", ["batch", "t"], INT64), value("y", ["batch", "t", 16])
    return model_of(graph_of([gather], [ids], [y], {"table": values(40, 16)}))


@_list.add("embedding along axis 1", {"table": "embedding"}, "Decode")
def embedding_axis_1() -> ModelProto:
    gather = node("Gather", ["table", "ids"], ["y"], axis=1)
    ids, y = value("ids", ["t"], TensorProto.INT32), value("y", [16, "t"])
    return model_of(graph_of([gather], [ids], [y], {"table": values(16, 40)}))


@_list.add("Einsum", {"w": "other"}, "Decode")
def einsum() -> ModelProto:
    product = node("Einsum", ["x", "w"], ["y"], equation="bk,nk->bn")
    return model_of(graph_of([product], [_X], [_Y], {"w": values(N, K)}))


@_list.add("Constant node", {"w": "matmul"}, "MatMul")
def constant_node() -> ModelProto:
    nodes = [constant("w", values(K, N)), node("MatMul", ["x", "w"], ["y"])]
    return model_of(graph_of(nodes, [_X], [_Y]))


@_list.add("Constant node before a Decode", {"w": "conv-transpose"}, "Decode")
def constant_node_decoded() -> ModelProto:
    nodes = [
        node("Relu", ["x"], ["r"]),
        constant("w", values(8, 6, 3, 3)),
        node("ConvTranspose", ["r", "w"], ["y"]),
    ]
    return model_of(graph_of(nodes, [value("x", ["n", 8, 5, 5])], [free("y", 4)]))


@_list.add("sparse initializer", {"w": "matmul"}, "MatMul")
def sparse_initializer() -> ModelProto:
    graph = graph_of([node("MatMul", ["x", "w"], ["y"])], [_X], [_Y])
    graph.sparse_initializer.append(sparse("w", thinned(values(K, N))))
    return model_of(graph)


@_list.add("sparse initializer by coordinates", {"w": "gemm"}, "Gemm")
def sparse_by_coordinates() -> ModelProto:
    graph = graph_of([node("Gemm", ["x", "w"], ["y"])], [_X], [_Y])
    graph.sparse_initializer.append(sparse("w", thinned(values(K, N)), coordinates=True))
    return model_of(graph)


@_list.add("sparse Constant node", {"w": "matmul"}, "MatMul")
def sparse_constant() -> ModelProto:
    nodes = [
        node("Constant", [], ["w"], sparse_value=sparse("w", thinned(values(K, N)))),
        node("MatMul", ["x", "w"], ["y"]),
    ]
    return model_of(graph_of(nodes, [_X], [_Y]))


_list.add("external data", {"w": "matmul"}, "MatMul", external=("w",))(one_matmul)


@_list.add("external data that stays beside", {"w": "gemm"}, "Gemm", external=("w", "b"))
def external_bias() -> ModelProto:
    product = node("Gemm", ["x", "w", "b"], ["y"])
    return model_of(graph_of([product], [_X], [_Y], {"w": values(K, N), "b": values(N)}))


@_list.add("external data of a Constant node", {"w": "matmul"}, "MatMul", external=("w.value",))
def external_constant() -> ModelProto:
    return constant_node()


def _branches(then: onnx.GraphProto, other: onnx.GraphProto, **more: Any) -> ModelProto:
    choice = node("If", ["flag"], ["y"], then_branch=then, else_branch=other, name="choice")
    inputs = [_X, value("flag", [], TensorProto.BOOL)]
    return model_of(graph_of([choice], inputs, [_Y], **more))


@_list.add("If", {"w": "matmul", "choice.then_branch/w": "matmul"}, "MatMul", "MatMul")
def branches() -> ModelProto:
    then = graph_of(
        [node("MatMul", ["x", "w"], ["a"])], [], [value("a", None)], {"w": values(K, N)}
    )
    inner = [constant("w", values(N, K).T.copy()), node("MatMul", ["x", "w"], ["b"])]
    return _branches(then, graph_of(inner, [], [value("b", None)]))


@_list.add("external data in If", {"w": "matmul"}, "MatMul", external=("w",))
def external_in_branch() -> ModelProto:
    then = graph_of(
        [node("MatMul", ["x", "w"], ["a"])], [], [value("a", None)], {"w": values(K, N)}
    )
    inner = [node("Shape", ["x"], ["s"]), node("Expand", ["zero", "to"], ["b"])]
    other = graph_of(
        inner,
        [],
        [value("b", None)],
        {"zero": np.zeros((1, N), np.float32), "to": np.array([3, N])},
    )
    return _branches(then, other)


@_list.add("outer weight used in If", {"w": "matmul"}, "MatMul", "MatMul")
def outer_weight() -> ModelProto:
    then = graph_of([node("MatMul", ["x", "w"], ["a"])], [], [value("a", None)])
    inner = [node("MatMul", ["x", "w"], ["p"]), node("Neg", ["p"], ["b"])]
    other = graph_of(inner, [], [value("b", None)])
    return _branches(then, other, initializers={"w": values(K, N)})


@_list.add("outer weight decoded for If", {"w": "other"}, "Decode")
def outer_weight_decoded() -> ModelProto:
    product = node("Einsum", ["x", "w"], ["a"], equation="bk,nk->bn")
    then = graph_of([product], [], [value("a", None)])
    again = node("Einsum", ["x", "w"], ["b"], equation="bk,nk->bn")
    other = graph_of([again], [], [value("b", None)])
    return _branches(then, other, initializers={"w": values(N, K)})


@_list.add("transposed outside If, used inside", {"w": "matmul"}, "MatMul", "MatMul")
def transposed_outside() -> ModelProto:
    then = graph_of([node("MatMul", ["x", "t"], ["a"])], [], [value("a", None)])
    inner = [node("MatMul", ["x", "t"], ["p"]), node("Neg", ["p"], ["b"])]
    other = graph_of(inner, [], [value("b", None)])
    choice = node("If", ["flag"], ["y"], then_branch=then, else_branch=other)
    nodes = [node("Transpose", ["w"], ["t"], perm=[1, 0]), choice]
    inputs = [_X, value("flag", [], TensorProto.BOOL)]
    return model_of(graph_of(nodes, inputs, [_Y], {"w": values(N, K)}))


@_list.add("Loop", {"w": "matmul"}, "MatMul")
def loop() -> ModelProto:
    body = graph_of(
        [
            node("MatMul", ["h", "w"], ["p"]),
            node("Tanh", ["p"], ["next"]),
            node("Identity", ["go"], ["on"]),
        ],
        [value("i", [], INT64), value("go", [], TensorProto.BOOL), value("h", ["batch", K])],
        [value("on", [], TensorProto.BOOL), value("next", ["batch", K])],
        {"w": values(K, K)},
    )
    run = node("Loop", ["count", "", "x"], ["y"], body=body, name="steps")
    graph = graph_of([run], [_X], [value("y", ["batch", K])], {"count": np.array(3)})
    return model_of(graph)


@_list.add("Scan", {"w": "matmul"}, "MatMul")
def scan() -> ModelProto:
    body = graph_of(
        [
            constant("w", values(K, K)),
            node("MatMul", ["row", "w"], ["p"]),
            node("Add", ["h", "p"], ["next"]),
            node("Identity", ["next"], ["each"]),
        ],
        [value("h", [K]), value("row", [K])],
        [value("next", [K]), value("each", [K])],
    )
    run = node("Scan", ["start", "x"], ["last", "y"], body=body, num_scan_inputs=1)
    graph = graph_of(
        [run],
        [_X],
        [value("last", [K]), value("y", ["batch", K])],
        {"start": np.zeros(K, np.float32)},
    )
    return model_of(graph)


def _function(nodes: list[NodeProto], opset: int = 17, name: str = "Block") -> Any:
    imports = [helper.make_opsetid("", opset)]
    return helper.make_function("local", name, ["a"], ["c"], nodes, imports)


def with_functions(functions: list[Any], nodes: list[NodeProto], opset: int = 17) -> ModelProto:
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("local", 1)]
    return model_of(
        graph_of(nodes, [_X], [free("y", 2)]), functions=functions, opset_imports=imports
    )


@_list.add("local function", {"w": "matmul"}, "Decode")
def local_function() -> ModelProto:
    block = _function(
        [constant("w", values(K, K)), node("MatMul", ["a", "w"], ["p"]), node("Tanh", ["p"], ["c"])]
    )
    calls = [
        node("Block", ["x"], ["h"], domain="local"),
        node("Block", ["h"], ["y"], domain="local"),
    ]
    return with_functions([block], calls)


@_list.add("local function before a Decode", {"w": "other"}, "Decode")
def local_function_decoded() -> ModelProto:
    block = _function(
        [constant("w", values(N, K)), node("Einsum", ["a", "w"], ["c"], equation="bk,nk->bn")]
    )
    return with_functions([block], [node("Block", ["x"], ["y"], domain="local")])


@_list.add(
    "two local functions",
    {"w": "matmul", "function local::Other/w": "matmul"},
    "Decode",
    "Decode",
)
def two_local_functions() -> ModelProto:
    first = _function([constant("w", values(K, K)), node("MatMul", ["a", "w"], ["c"])])
    second = _function(
        [constant("w", values(K, N)), node("MatMul", ["a", "w"], ["c"])], name="Other"
    )
    calls = [
        node("Block", ["x"], ["h"], domain="local"),
        node("Other", ["h"], ["y"], domain="local"),
    ]
    return with_functions([first, second], calls)


@_list.add("embedding in a function, its output inside the graph", {"w": "embedding"}, "Decode")
def embedding_in_function() -> ModelProto:
    look_up = _function([constant("w", values(40, K)), node("Gather", ["w", "a"], ["c"])])
    calls = [
        node("Cast", ["x"], ["i"], to=INT64),
        node("Block", ["i"], ["h"], domain="local"),
        node("Neg", ["h"], ["y"]),
    ]
    model = with_functions([look_up], calls)
    model.graph.output[0].CopyFrom(free("y", 3))
    return model


@_list.add("function in a function", {"w": "matmul"}, "Decode")
def nested_functions() -> ModelProto:
    inner = _function([constant("w", values(K, K)), node("MatMul", ["a", "w"], ["c"])], name="In")
    calls = [node("In", ["a"], ["m"], domain="local"), node("In", ["m"], ["c"], domain="local")]
    outer = _function(calls, name="Out")
    outer.opset_import.append(helper.make_opsetid("local", 1))
    nodes = [
        node("Out", ["x"], ["h"], domain="local"),
        node("Out", ["h"], ["y"], domain="local"),
    ]
    return with_functions([inner, outer], nodes)


@_list.add("function of an older opset than the model", {"w": "matmul"}, "Decode")
def older_function() -> ModelProto:
    block = _function([constant("w", values(K, K)), node("MatMul", ["a", "w"], ["c"])], opset=16)
    calls = [node("Block", ["x"], ["h"], domain="local"), node("Relu", ["h"], ["y"])]
    return with_functions([block], calls, opset=17)


def _callee(nodes: list[NodeProto], inputs: list[str], output: str, **more: Any) -> Any:
    imports = [helper.make_opsetid("", more.get("opset", 17)), helper.make_opsetid("local", 1)]
    return helper.make_function(
        "local", more.get("name", "Block"), inputs, [output], nodes, imports
    )


def _calling(functions: list[Any], nodes: list[NodeProto], **weights: np.ndarray) -> ModelProto:
    model = with_functions(functions, nodes)
    model.graph.initializer.extend(tensor(name, array) for name, array in weights.items())
    return model


@_list.add("passed to a local function", {"w": "matmul"}, "Decode")
def passed_to_function() -> ModelProto:
    block = _callee([node("MatMul", ["a", "v"], ["c"])], ["a", "v"], "c")
    call = node("Block", ["x", "w"], ["y"], domain="local")
    return _calling([block], [call], w=values(K, N))


@_list.add("passed to a function with a name of its own inside", {"w": "matmul"}, "Decode")
def passed_under_its_name() -> ModelProto:
    block = _callee([node("MatMul", ["x", "w"], ["y"])], ["x", "w"], "y")
    call = node("Block", ["x", "w"], ["y"], domain="local")
    return _calling([block], [call], w=values(K, N))


@_list.add("function called with two weights", {"w": "gemm", "v": "gemm"}, "Decode", "Decode")
def two_calls() -> ModelProto:
    body = [node("Gemm", ["a", "m"], ["g"], transB=1), node("Tanh", ["g"], ["c"])]
    calls = [
        node("Block", ["x", "w"], ["h"], domain="local"),
        node("Block", ["h", "v"], ["y"], domain="local"),
    ]
    return _calling([_callee(body, ["a", "m"], "c")], calls, w=values(N, K), v=values(16, N))


@_list.add("passed to a function in a function of another opset", {"w": "matmul"}, "Decode")
def passed_on_to_function() -> ModelProto:
    inner = _callee([node("MatMul", ["a", "m"], ["c"])], ["m", "a"], "c", name="In", opset=13)
    call = node("In", ["v", "a"], ["c"], domain="local")
    outer = _callee([call], ["a", "v"], "c", name="Out", opset=16)
    return _calling(
        [inner, outer], [node("Out", ["x", "w"], ["y"], domain="local")], w=values(K, N)
    )


@_list.add("a function's Constant passed to another function", {"w": "matmul"}, "Decode")
def passed_from_function() -> ModelProto:
    inner = _callee([node("MatMul", ["a", "m"], ["c"])], ["m", "a"], "c", name="In", opset=13)
    body = [constant("w", values(K, N)), node("In", ["w", "a"], ["c"], domain="local")]
    outer = _callee(body, ["a"], "c", name="Out", opset=16)
    return _calling([inner, outer], [node("Out", ["x"], ["y"], domain="local")])


@_list.add("turned by a function", {"w": "matmul"}, "Decode")
def turned_by_function() -> ModelProto:
    turn = _callee([node("Transpose", ["m"], ["t"], perm=[1, 0])], ["m"], "t", name="Turn")
    nodes = [node("Turn", ["w"], ["t"], domain="local"), node("MatMul", ["x", "t"], ["y"])]
    return _calling([turn], nodes, w=values(N, K))


@_list.add("kernel and local function of one weight", {"w": "matmul"}, "Decode", "MatMul")
def used_and_passed() -> ModelProto:
    block = _callee([node("MatMul", ["a", "v"], ["c"])], ["a", "v"], "c")
    nodes = [
        node("Block", ["x", "w"], ["a"], domain="local"),
        node("MatMul", ["x", "w"], ["b"]),
        node("Mul", ["a", "b"], ["y"]),
    ]
    return _calling([block], nodes, w=values(K, N))


@_list.add("float16 turned before a local function", {"w": "matmul"}, "Decode")
def half_before_function() -> ModelProto:
    block = _callee([node("MatMul", ["a", "v"], ["c"])], ["a", "v"], "c")
    nodes = [
        node("Cast", ["w"], ["f"], to=FLOAT),
        node("Transpose", ["f"], ["t"]),
        node("Block", ["x", "t"], ["y"], domain="local"),
    ]
    return _calling([block], nodes, w=values(N, K, dtype=np.float16))


@_list.add(
    "passed to a function from an If",
    {"choice.then_branch/w": "matmul", "w": "matmul"},
    "Decode",
    "Decode",
)
def passed_from_if() -> ModelProto:
    block = _callee([node("MatMul", ["a", "v"], ["c"])], ["a", "v"], "c")
    call = node("Block", ["x", "w"], ["a"], domain="local")
    then = graph_of([call], [], [value("a", None)], {"w": values(K, N)})
    again = node("Block", ["x", "w"], ["b"], domain="local")
    other = graph_of([again], [], [value("b", None)], {"w": values(K, N) * 2})
    choice = node("If", ["flag"], ["y"], then_branch=then, else_branch=other, name="choice")
    model = _calling([block], [choice])
    model.graph.input.append(value("flag", [], TensorProto.BOOL))
    return model


@_list.add("used by two nodes", {"w": "matmul"}, "Gemm", "MatMul")
def used_twice() -> ModelProto:
    nodes = [
        node("MatMul", ["x", "w"], ["a"]),
        node("Gemm", ["x", "w"], ["b"]),
        node("Sub", ["a", "b"], ["d"]),
        node("Add", ["a", "d"], ["y"]),
    ]
    return model_of(graph_of(nodes, [_X], [_Y], {"w": values(K, N)}))


@_list.add("kernel and Decode of one weight", {"w": "matmul"}, "Decode", "MatMul")
def used_both_ways() -> ModelProto:
    nodes = [
        node("MatMul", ["x", "w"], ["a"]),
        node("Einsum", ["x", "w"], ["b"], equation="bk,kn->bn"),
        node("Mul", ["a", "b"], ["y"]),
    ]
    return model_of(graph_of(nodes, [_X], [_Y], {"w": values(K, N)}))


@_list.add("tied embedding", {"table": "embedding"}, "Gather", "MatMul")
def tied_embedding() -> ModelProto:
    nodes = [
        node("Gather", ["table", "ids"], ["e"]),
        node("Transpose", ["table"], ["turned"], perm=[1, 0]),
        node("MatMul", ["e", "turned"], ["y"]),
    ]
    ids, y = value("ids", ["batch", "t"], INT64), value("y", ["batch", "t", 40])
    return model_of(graph_of(nodes, [ids], [y], {"table": values(40, 16)}))


@_list.add("transposed", {"w": "matmul"}, "MatMul")
def transposed() -> ModelProto:
    nodes = [node("Transpose", ["w"], ["t"]), node("MatMul", ["x", "t"], ["y"])]
    return model_of(graph_of(nodes, [_X], [_Y], {"w": values(N, K)}))


@_list.add("transposed for Gemm", {"w": "gemm"}, "Gemm")
def transposed_gemm() -> ModelProto:
    nodes = [
        node("Transpose", ["w"], ["t"], perm=[1, 0]),
        node("Gemm", ["x", "t"], ["y"], transB=1),
    ]
    return model_of(graph_of(nodes, [_X], [_Y], {"w": values(K, N)}))


@_list.add("transposed by no change", {"w": "matmul"}, "Decode")
def transposed_not() -> ModelProto:
    nodes = [
        node("Transpose", ["w"], ["t"], perm=[0, 1]),
        node("MatMul", ["x", "t"], ["y"]),
    ]
    return model_of(graph_of(nodes, [_X], [_Y], {"w": values(K, N)}))


@_list.add("transposed twice", {"w": "matmul"}, "Decode")
def transposed_twice() -> ModelProto:
    nodes = [
        node("Transpose", ["w"], ["t"]),
        node("Transpose", ["t"], ["u"]),
        node("MatMul", ["x", "u"], ["y"]),
    ]
    return model_of(graph_of(nodes, [_X], [_Y], {"w": values(K, N)}))


@_list.add("transposed for two, one of them without a kernel", {"w": "matmul"}, "Decode", "MatMul")
def transposed_for_two() -> ModelProto:
    nodes = [
        node("Transpose", ["w"], ["t"], perm=[1, 0]),
        node("MatMul", ["x", "t"], ["a"]),
        node("Einsum", ["x", "t"], ["b"], equation="bk,kn->bn"),
        node("Add", ["a", "b"], ["y"]),
    ]
    return model_of(graph_of(nodes, [_X], [_Y], {"w": values(N, K)}))


@_list.add("behind Identity and Reshape", {"w": "matmul"}, "Decode")
def behind_a_chain() -> ModelProto:
    nodes = [
        node("Identity", ["w"], ["i"]),
        node("Reshape", ["i", "shape"], ["r"]),
        node("MatMul", ["x", "r"], ["y"]),
    ]
    weights = {"w": values(K * 4, N // 4), "shape": np.array([K, N])}
    return model_of(graph_of(nodes, [_X], [_Y], weights))


@_list.add("float16", {"w": "matmul"}, "MatMul")
def half() -> ModelProto:
    x, y = value("x", ["batch", K], HALF), value("y", ["batch", N], HALF)
    matmul = node("MatMul", ["x", "w"], ["y"])
    return model_of(graph_of([matmul], [x], [y], {"w": values(K, N, dtype=np.float16)}))


@_list.add("float16 in a Constant node", {"w": "matmul"}, "MatMul")
def half_constant() -> ModelProto:
    x, y = value("x", ["batch", K], HALF), value("y", ["batch", N], HALF)
    nodes = [constant("w", values(K, N, dtype=np.float16)), node("MatMul", ["x", "w"], ["y"])]
    return model_of(graph_of(nodes, [x], [y]))


@_list.add("float16 behind Cast", {"w": "matmul"}, "MatMul")
def half_cast() -> ModelProto:
    nodes = [node("Cast", ["w"], ["f"], to=FLOAT), node("MatMul", ["x", "f"], ["y"])]
    return model_of(graph_of(nodes, [_X], [_Y], {"w": values(K, N, dtype=np.float16)}))


@_list.add("float16 Gemm", {"w": "gemm"}, "Gemm")
def half_gemm() -> ModelProto:
    x, y = value("x", ["batch", K], HALF), value("y", ["batch", N], HALF)
    gemm = node("Gemm", ["x", "w", "b"], ["y"], transB=1, alpha=0.5)
    weights = {"w": values(N, K, dtype=np.float16), "b": values(N, dtype=np.float16)}
    return model_of(graph_of([gemm], [x], [y], weights))


@_list.add("float16 Conv", {"w": "conv"}, "Conv")
def half_conv() -> ModelProto:
    x, y = value("x", ["batch", 4, 9, 9], HALF), value("y", ["batch", 64, 9, 9], HALF)
    conv = node("Conv", ["x", "w", "b"], ["h"], pads=[1, 1, 1, 1])
    weights = {"w": values(64, 4, 3, 3, dtype=np.float16), "b": values(64, dtype=np.float16)}
    return model_of(graph_of([conv, node("Relu", ["h"], ["y"])], [x], [y], weights))


@_list.add("bfloat16", {"w": "matmul"}, "MatMul")
def brain() -> ModelProto:
    nodes = [node("Cast", ["w"], ["f"], to=FLOAT), node("MatMul", ["x", "f"], ["y"])]
    return model_of(graph_of(nodes, [_X], [_Y], {"w": values(K, N, dtype=ml_dtypes.bfloat16)}))


@_list.add("float64", {"w": "matmul"}, "Decode")
def double() -> ModelProto:
    x, y = value("x", ["batch", K], DOUBLE), value("y", ["batch", N], DOUBLE)
    matmul = node("MatMul", ["x", "w"], ["y"])
    return model_of(graph_of([matmul], [x], [y], {"w": values(K, N, dtype=np.float64)}))


@_list.add("a float32 weight called .float32, cast by its user", {"w.float32": "matmul"}, "Decode")
def misleading_name() -> ModelProto:
    x, y = value("x", ["batch", K], DOUBLE), value("y", ["batch", N], DOUBLE)
    nodes = [node("Cast", ["w.float32"], ["d"], to=DOUBLE), node("MatMul", ["x", "d"], ["y"])]
    return model_of(graph_of(nodes, [x], [y], {"w.float32": values(K, N)}))


@_list.add("IR 3", {"w": "gemm"}, "Gemm")
def ir_3() -> ModelProto:
    product = node("Gemm", ["x", "w", "b"], ["y"])
    inputs = [_X, value("w", [K, N]), value("b", [N])]
    weights = {"w": values(K, N), "b": values(N)}
    return model_of(graph_of([product], inputs, [_Y], weights), opset=8, ir=3)


@_list.add("IR 3 with a Constant node", {"w": "gemm"}, "Gemm")
def ir_3_constant() -> ModelProto:
    nodes = [constant("w", values(K, N)), node("Gemm", ["x", "w", "b"], ["y"])]
    return model_of(graph_of(nodes, [_X, value("b", [N])], [_Y], {"b": values(N)}), opset=8, ir=3)


@_list.add("overridable initializer", {"w": "matmul"}, "MatMul")
def overridable() -> ModelProto:
    matmul = node("MatMul", ["x", "w"], ["y"])
    return model_of(graph_of([matmul], [_X, value("w", [K, N])], [_Y], {"w": values(K, N)}))


@_list.add("names that are taken", {"w": "matmul"}, "MatMul")
def taken_names() -> ModelProto:
    nodes = [
        node("Relu", ["x"], ["w.payload"]),
        node("Neg", ["w.payload"], ["w.codes0"]),
        node("MatMul", ["w.codes0", "w"], ["w.codebook"]),
        node("Abs", ["w.codebook"], ["y"]),
    ]
    return model_of(graph_of(nodes, [_X], [_Y], {"w": values(K, N)}))


@_list.add("If in Loop in If", {"w": "matmul"}, "MatMul")
def nested() -> ModelProto:
    deep = graph_of(
        [node("MatMul", ["h", "w"], ["d"])], [], [value("d", None)], {"w": values(K, K)}
    )
    flat = graph_of([node("Neg", ["h"], ["e"])], [], [value("e", None)])
    body = graph_of(
        [
            node("If", ["go"], ["next"], then_branch=deep, else_branch=flat),
            node("Identity", ["go"], ["on"]),
        ],
        [value("i", [], INT64), value("go", [], TensorProto.BOOL), value("h", None)],
        [value("on", [], TensorProto.BOOL), value("next", None)],
    )
    then = graph_of(
        [node("Loop", ["count", "flag", "x"], ["a"], body=body)],
        [],
        [value("a", None)],
        {"count": np.array(2)},
    )
    other = graph_of([node("Neg", ["x"], ["b"])], [], [value("b", None)])
    choice = node("If", ["flag"], ["y"], then_branch=then, else_branch=other)
    inputs = [_X, value("flag", [], TensorProto.BOOL)]
    return model_of(graph_of([choice], inputs, [value("y", ["batch", K])]))


@_list.add("subgraph of a local function", {"w": "matmul"}, "Decode")
def subgraph_of_function() -> ModelProto:
    then = graph_of(
        [constant("w", values(K, K)), node("MatMul", ["a", "w"], ["t"])], [], [value("t", None)]
    )
    other = graph_of([node("Neg", ["a"], ["e"])], [], [value("e", None)])
    block = _function(
        [
            constant("yes", np.array(True)),
            node("If", ["yes"], ["c"], then_branch=then, else_branch=other),
        ]
    )
    return with_functions([block], [node("Block", ["x"], ["y"], domain="local")])


@_list.add("an output without a shape", {"w": "matmul"}, "MatMul")
def shapeless() -> ModelProto:
    nodes = [node("MatMul", ["x", "w"], ["y"])]
    return model_of(graph_of(nodes, [_X], [value("y", None)], {"w": values(K, N)}))


HIDING: tuple[Hiding, ...] = tuple(_list.rows)
