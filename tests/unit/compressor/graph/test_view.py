"""The graph view finds every weight once, with its role, and leaves alone what must be left alone."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper

from sparsebook_compressor import admit
from sparsebook_compressor.errors import InputError, InvalidGraph, NotFinite
from sparsebook_compressor.graph.tensors import check_finite
from sparsebook_compressor.graph.view import GraphView, survey
from tests.unit.compressor import models
from tests.unit.compressor.models import (
    FLOAT,
    HIDING,
    INT64,
    Hiding,
    K,
    N,
    constant,
    graph_of,
    model_of,
    node,
    tensor,
    thinned,
    value,
    values,
)

X, Y = value("x", ["batch", K]), value("y", ["batch", N])


def view_of(model: ModelProto, folder: Path) -> GraphView:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return survey(admit.load(path), path)


def names_and_roles(view: GraphView) -> dict[str, str]:
    assert len({weight.name for weight in view.weights}) == len(view.weights)
    return {weight.name: weight.role for weight in view.weights}


def reasons(view: GraphView) -> dict[str, str]:
    return {kept.name: kept.reason for kept in view.kept}


@pytest.mark.parametrize("hiding", HIDING, ids=lambda hiding: hiding.name)
def test_every_weight_is_found_with_its_role(hiding: Hiding, tmp_path: Path) -> None:
    path = hiding.write(tmp_path)
    view = survey(admit.load(path), path)
    assert names_and_roles(view) == hiding.weights
    for weight in view.weights:
        found = weight.read()
        assert found.dtype == np.float32
        assert found.shape == (weight.elements,) == (int(np.prod(weight.shape)),)
        assert np.isfinite(found).all()
        assert weight.uses
        assert 0 <= weight.channel_axis < len(weight.shape)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("initializer", values(K, N)),
        ("Constant node", values(K, N)),
        ("sparse initializer", thinned(values(K, N))),
        ("sparse initializer by coordinates", thinned(values(K, N))),
        ("sparse Constant node", thinned(values(K, N))),
        ("external data", values(K, N)),
        ("external data of a Constant node", values(K, N)),
        ("external data in If", values(K, N)),
        ("float16", values(K, N, dtype=np.float16).astype(np.float32)),
        ("float64", values(K, N, dtype=np.float64).astype(np.float32)),
        ("bfloat16", values(K, N, dtype=models.ml_dtypes.bfloat16).astype(np.float32)),
        ("Loop", values(K, K)),
        ("local function", values(K, K)),
    ],
)
def test_values_are_read_from_wherever_they_are(
    name: str, expected: np.ndarray, tmp_path: Path
) -> None:
    hiding = next(hiding for hiding in HIDING if hiding.name == name)
    path = hiding.write(tmp_path)
    weight = survey(admit.load(path), path).weights[0]
    assert weight.shape == expected.shape
    assert weight.read().tobytes() == expected.tobytes()
    assert weight.stored_bytes == weight.elements * {10: 2, 16: 2, 11: 8}.get(weight.dtype, 4)


@pytest.mark.parametrize(
    ("dtype", "field"),
    [
        (np.float32, "float_data"),
        (np.float64, "double_data"),
        (np.float16, "int32_data"),
        (models.ml_dtypes.bfloat16, "int32_data"),
    ],
)
def test_elements_in_typed_fields_are_read_too(dtype: type, field: str, tmp_path: Path) -> None:
    array = values(K, N, dtype=dtype)
    typed = TensorProto(name="w", data_type=helper.np_dtype_to_tensor_dtype(array.dtype))
    typed.dims.extend(array.shape)
    flat = array.reshape(-1)
    getattr(typed, field).extend(
        flat.view(np.uint16).tolist() if field == "int32_data" else flat.tolist()
    )
    graph = graph_of([node("MatMul", ["x", "w"], ["y"])], [X], [Y])
    graph.initializer.append(typed)
    if dtype is not np.float32:
        graph.node.insert(0, node("Cast", ["w"], ["f"], to=FLOAT))
        graph.node[1].input[1] = "f"
    weight = view_of(model_of(graph), tmp_path).weights[0]
    assert weight.read().tobytes() == array.astype(np.float32).tobytes()


def test_a_weight_of_64_kib_and_more_stays_in_the_file(tmp_path: Path) -> None:
    array = values(256, 128)
    graph = graph_of([node("MatMul", ["x", "w"], ["y"])], [X], [Y], {"w": array})
    graph.input[0].CopyFrom(value("x", ["b", 256]))
    graph.output[0].CopyFrom(value("y", ["b", 128]))
    path = tmp_path / "model.onnx"
    path.write_bytes(model_of(graph).SerializeToString())
    model = admit.load(path)
    assert model.ByteSize() < 1000
    assert survey(model, path).weights[0].read().tobytes() == array.tobytes()


def test_uses_say_how_the_weight_arrives(tmp_path: Path) -> None:
    hiding = {hiding.name: hiding for hiding in HIDING}
    path = hiding["tied embedding"].write(tmp_path)
    (weight,) = survey(admit.load(path), path).weights
    uses = {use.node.op_type: use for use in weight.uses}
    assert set(uses) == {"Gather", "MatMul"}
    assert (uses["Gather"].index, uses["Gather"].transposed) == (0, False)
    assert (uses["MatMul"].index, uses["MatMul"].transposed) == (1, True)
    path = hiding["transposed twice"].write(tmp_path)
    (weight,) = survey(admit.load(path), path).weights
    assert [step.node.op_type for step in weight.uses[0].via] == ["Transpose", "Transpose"]
    assert not weight.uses[0].transposed
    path = hiding["outer weight used in If"].write(tmp_path)
    (weight,) = survey(admit.load(path), path).weights
    assert weight.scope.path == ""
    assert {use.scope.path.rsplit(".", 1)[1] for use in weight.uses} == {
        "then_branch",
        "else_branch",
    }


@pytest.mark.parametrize(
    ("name", "axis"),
    [
        ("initializer", 1),
        ("left operand", 0),
        ("transposed", 0),
        ("Conv", 0),
        ("ConvTranspose", 1),
        ("LSTM", 1),
        ("embedding", 0),
        ("weight of rank 3", 2),
    ],
)
def test_the_channel_axis_runs_over_the_outputs(name: str, axis: int, tmp_path: Path) -> None:
    hiding = next(hiding for hiding in HIDING if hiding.name == name)
    path = hiding.write(tmp_path)
    assert survey(admit.load(path), path).weights[0].channel_axis == axis


def test_the_channel_axis_of_gemm_turns_with_its_transposes(tmp_path: Path) -> None:
    path = next(hiding for hiding in HIDING if hiding.name == "Gemm").write(tmp_path)
    axes = {weight.name: weight.channel_axis for weight in survey(admit.load(path), path).weights}
    assert axes == {"w": 1, "v": 0}


def left_alone(**constants: np.ndarray) -> tuple[list[Any], dict[str, np.ndarray]]:
    return [node("MatMul", ["x", "w"], ["m"])], {"w": values(K, N), **constants}


def test_what_is_no_weight_is_left_alone_with_a_reason(tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["image", "kernel", "bias"], ["c"]),
        node("BatchNormalization", ["c", "scale", "shift", "mean", "variance"], ["normed"]),
        node("MatMul", ["x", "w"], ["m"]),
        node("Add", ["m", "offset"], ["a"]),
        node("LayerNormalization", ["a", "gain"], ["y"], axis=-1),
        node("MatMul", ["x", "few"], ["z"]),
        node("Gather", ["vector", "ids"], ["v"]),
    ]
    constants = {
        "kernel": values(16, 3, 3, 3),
        "bias": values(16),
        "scale": values(16),
        "shift": values(16),
        "mean": values(16),
        "variance": np.abs(values(16)),
        "w": values(K, N),
        "offset": values(8, N),
        "gain": values(N),
        "few": values(K, 5),
        "vector": values(500),
        "ids": np.array([1, 2]),
        "nobody": values(K, N),
        "integers": np.arange(1000).reshape(10, 100),
    }
    inputs = [value("x", [8, K]), value("image", [1, 3, 8, 8])]
    outputs = [value(name, None) for name in ("normed", "y", "z", "v")]
    view = view_of(model_of(graph_of(nodes, inputs, outputs, constants)), tmp_path)
    assert names_and_roles(view) == {"kernel": "conv", "w": "matmul"}
    found = reasons(view)
    assert set(found) == set(constants) - {"kernel", "w", "ids", "integers"}
    assert found["bias"] == "operand of Conv (input 2), not a weight"
    assert found["scale"] == "operand of BatchNormalization (input 1), not a weight"
    assert found["offset"] == "operand of Add (input 1), not a weight"
    assert found["gain"].startswith("operand of LayerNormalization")
    assert found["few"].startswith("tiny: 120 elements")
    assert found["vector"] == "a vector"
    assert found["nobody"] == "no node consumes it"
    kept = next(kept for kept in view.kept if kept.name == "offset")
    assert (kept.shape, kept.bytes) == ((8, N), 8 * N * 4)


def test_a_weight_that_is_an_output_is_left_alone(tmp_path: Path) -> None:
    graph = graph_of(
        [node("MatMul", ["x", "w"], ["y"])], [X], [Y, value("w", [K, N])], {"w": values(K, N)}
    )
    view = view_of(model_of(graph), tmp_path)
    assert view.weights == ()
    assert reasons(view) == {"w": "is an output of its graph"}


def test_a_weight_whose_transpose_is_an_output_is_left_alone(tmp_path: Path) -> None:
    nodes = [node("Transpose", ["w"], ["t"]), node("MatMul", ["x", "t"], ["y"])]
    graph = graph_of(nodes, [X], [Y, value("t", [K, N])], {"w": values(N, K)})
    view = view_of(model_of(graph), tmp_path)
    assert "Transpose" in reasons(view)["w"]


@pytest.mark.parametrize("first", ["matmul", "quantised", "operand"])
def test_a_weight_that_a_quantised_node_consumes_is_left_alone(first: str, tmp_path: Path) -> None:
    """Whatever else consumes it, and in whatever order."""
    uses = {
        "matmul": [node("MatMul", ["x", "w"], ["y"])],
        "quantised": [node("DynamicQuantizeLinear", ["w"], ["q", "s", "z"])],
        "operand": [node("Add", ["w", "one"], ["sum"])],
    }
    ordered = uses.pop(first) + [each for nodes in uses.values() for each in nodes]
    outputs = [Y, value("q", None, TensorProto.UINT8), value("sum", None)]
    constants = {"w": values(K, N), "one": np.ones(1, np.float32)}
    view = view_of(model_of(graph_of(ordered, [X], outputs, constants)), tmp_path)
    assert view.weights == ()
    assert reasons(view)["w"] == "belongs to a quantised node (DynamicQuantizeLinear)"


def test_a_weight_with_an_operand_beside_it_is_still_a_weight(tmp_path: Path) -> None:
    nodes = [node("Add", ["w", "one"], ["sum"]), node("MatMul", ["x", "w"], ["y"])]
    constants = {"w": values(K, N), "one": np.ones(1, np.float32)}
    view = view_of(model_of(graph_of(nodes, [X], [Y, value("sum", None)], constants)), tmp_path)
    assert names_and_roles(view) == {"w": "matmul"}
    assert {use.node.op_type for use in view.weights[0].uses} == {"Add", "MatMul"}


def test_weights_of_nodes_of_one_name_have_names_of_their_own(tmp_path: Path) -> None:
    def choice(source: str, target: str) -> onnx.NodeProto:
        matmul = node("MatMul", [source, "w"], ["t"])
        then = graph_of([matmul], [], [value("t", None)], {"w": values(K, K) * len(target)})
        other = graph_of([node("Neg", [source], ["e"])], [], [value("e", None)])
        return node("If", ["flag"], [target], then_branch=then, else_branch=other, name="same")

    nodes = [choice("x", "a"), choice("a", "bb"), choice("bb", "ccc")]
    inputs = [X, value("flag", [], TensorProto.BOOL)]
    view = view_of(model_of(graph_of(nodes, inputs, [value("ccc", None)])), tmp_path)
    assert list(names_and_roles(view)) == ["w", "same.then_branch/w", "same.then_branch/w#2"]
    scales = [weight.read()[0] for weight in view.weights]
    np.testing.assert_allclose(scales, np.array([1, 2, 3]) * scales[0])


def test_a_long_chain_is_followed_only_so_far(tmp_path: Path) -> None:
    names = ["w", *(f"i{number}" for number in range(12))]
    nodes = [node("Identity", [a], [b]) for a, b in itertools.pairwise(names)]
    nodes.append(node("MatMul", ["x", names[-1]], ["y"]))
    view = view_of(model_of(graph_of(nodes, [X], [Y], {"w": values(K, N)})), tmp_path)
    assert reasons(view)["w"] == "operand of Identity (input 0), not a weight"


def nested(depth: int) -> bytes:
    """A graph with an If in an If, and so on, put together as bytes: protobuf refuses to build it."""

    def field(number: int, body: bytes) -> bytes:
        size, head = len(body), bytearray([number << 3 | 2])
        while size >= 0x80:
            head.append(size & 0x7F | 0x80)
            size >>= 7
        return bytes([*head, size]) + body

    flat = graph_of([node("Neg", ["x"], ["e"])], [], [value("e", None)]).SerializeToString()
    graph = graph_of([node("Neg", ["x"], ["o"])], [], [value("o", None)]).SerializeToString()
    for level in range(depth):
        choice = node("If", ["flag"], [f"o{level}"]).SerializeToString()
        for name, branch in (("then_branch", graph), ("else_branch", flat)):
            choice += field(5, field(1, name.encode()) + field(6, branch) + b"\xa0\x01\x05")
        rest = graph_of([], [], [value(f"o{level}", None)]).SerializeToString()
        graph = field(1, choice) + rest
    inputs = graph_of([], [X, value("flag", [], TensorProto.BOOL)], [])
    model = model_of(graph_of([], [], []))
    model.ClearField("graph")
    return model.SerializeToString() + field(7, graph + inputs.SerializeToString())


@pytest.mark.parametrize("depth", [5, 31, 32, 33, 50, 1000])
def test_nesting_deeper_than_any_model_is_refused(depth: int, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(nested(depth))
    if depth <= 32:
        assert survey(admit.load(path), path).weights == ()
    else:
        with pytest.raises(InputError, match=r"model\.onnx"):
            survey(admit.load(path), path)


def test_a_weight_that_the_format_cannot_hold_is_left_alone(tmp_path: Path) -> None:
    nodes = [
        node("Reshape", ["w", "to"], ["r"]),
        node("MatMul", ["x", "r"], ["y"]),
        node("MatMul", ["x", "v"], ["z"]),
    ]
    constants = {
        "w": values(K, N).reshape(2, 3, 2, 2, 2, 2, 2, 2, 2),
        "to": np.array([K, N]),
        "v": values(K, N),
    }
    graph = graph_of(nodes, [X], [Y, value("z", ["batch", N])], constants)
    view = view_of(model_of(graph), tmp_path)
    assert names_and_roles(view) == {"v": "matmul"}
    assert "8" in reasons(view)["w"]
    assert "dimensions" in reasons(view)["w"]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_named_with_its_place(bad: float) -> None:
    array = values(100_000)
    check_finite(array, "w")
    array[77_777] = bad
    with pytest.raises(NotFinite, match=r"'w'.*77777.*skip"):
        check_finite(array, "w")


def test_a_float64_weight_beyond_float32_is_refused_by_name(tmp_path: Path) -> None:
    array = values(K, N, dtype=np.float64)
    array[3, 4] = 1e300
    graph = graph_of(
        [node("MatMul", ["x", "w"], ["y"])],
        [value("x", ["b", K], TensorProto.DOUBLE)],
        [value("y", ["b", N], TensorProto.DOUBLE)],
        {"w": array},
    )
    weight = view_of(model_of(graph), tmp_path).weights[0]
    with pytest.raises(NotFinite, match="'w'"):
        check_finite(weight.read(), weight.name)


def test_a_sparse_tensor_of_absurd_size_is_left_alone(tmp_path: Path) -> None:
    made = models.sparse("w", thinned(values(K, N)))
    made.dims[:] = [1 << 30, 1 << 30]
    graph = graph_of([node("Gather", ["w", "ids"], ["y"])], [value("ids", [1], INT64)], [Y])
    graph.sparse_initializer.append(made)
    assert "elements" in reasons(view_of(model_of(graph), tmp_path))["w"]


def hostile_sparse(indices: TensorProto) -> onnx.SparseTensorProto:
    made = models.sparse("w", thinned(values(K, N)))
    made.indices.CopyFrom(indices)
    return made


count = int(np.count_nonzero(thinned(values(K, N))))
linear = np.flatnonzero(thinned(values(K, N)))
SPARSE = {
    "outside": tensor("i", np.append(linear[:-1], K * N)),
    "negative": tensor("i", np.append(linear[:-1], -1)),
    "too few": tensor("i", linear[:-1]),
    "odd bytes": TensorProto(data_type=INT64, dims=[count], raw_data=b"abc"),
    "floats": tensor("i", linear.astype(np.float32)),
    "coordinates outside": tensor("i", np.stack([linear, linear], 1)),
    "external": TensorProto(
        data_type=INT64,
        dims=[count],
        data_location=TensorProto.EXTERNAL,
        external_data=[onnx.StringStringEntryProto(key="location", value="/etc/passwd")],
    ),
}


@pytest.mark.parametrize("kind", SPARSE)
def test_sparse_tensors_that_lie_are_refused(kind: str, tmp_path: Path) -> None:
    made = hostile_sparse(SPARSE[kind])
    graph = graph_of([node("Gather", ["w", "ids"], ["y"])], [value("ids", [1], INT64)], [Y])
    graph.sparse_initializer.append(made)
    with pytest.raises(InvalidGraph):
        view_of(model_of(graph), tmp_path).weights[0].read()
    constant_graph = graph_of(
        [node("Constant", [], ["w"], sparse_value=made), *graph.node], [graph.input[0]], [Y]
    )
    with pytest.raises(InvalidGraph):
        view_of(model_of(constant_graph), tmp_path).weights[0].read()


@pytest.mark.parametrize("where", ["initializer", "Constant"])
def test_data_of_another_size_than_the_dimensions_is_refused(where: str, tmp_path: Path) -> None:
    for raw in (b"", bytes(K * N * 4 - 4), bytes(K * N * 4 + 4), bytes(7)):
        lying = TensorProto(name="w", data_type=FLOAT, dims=[K, N], raw_data=raw)
        graph = graph_of([node("MatMul", ["x", "w"], ["y"])], [X], [Y])
        if where == "Constant":
            graph.node.insert(0, node("Constant", [], ["w"], value=lying))
        else:
            graph.initializer.append(lying)
        with pytest.raises(InvalidGraph):
            view_of(model_of(graph), tmp_path).weights[0].read()


def test_negative_dimensions_are_refused(tmp_path: Path) -> None:
    lying = TensorProto(name="w", data_type=FLOAT, dims=[-1, N])
    graph = graph_of([node("MatMul", ["x", "w"], ["y"])], [X], [Y])
    graph.initializer.append(lying)
    with pytest.raises(InvalidGraph):
        view_of(model_of(graph), tmp_path)


def test_constants_of_other_kinds_are_no_weights(tmp_path: Path) -> None:
    nodes = [
        node("Constant", [], ["f"], value_float=1.5),
        node("Constant", [], ["fs"], value_floats=[1.0, 2.0] * 100),
        node("Constant", [], ["i"], value_ints=[0, 1]),
        constant("w", values(K, N)),
        node("MatMul", ["x", "w"], ["m"]),
        node("Mul", ["m", "f"], ["y"]),
    ]
    view = view_of(model_of(graph_of(nodes, [X], [Y])), tmp_path)
    assert names_and_roles(view) == {"w": "matmul"}
    assert view.kept == ()
