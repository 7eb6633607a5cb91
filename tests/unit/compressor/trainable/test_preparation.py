"""What `prepare` hands out: hollow weights wherever they were, reasons, vectors, and opsets."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto

from sparsebook_compressor.admit import load, opset
from sparsebook_compressor.errors import NotTrainable
from sparsebook_compressor.graph.view import survey
from sparsebook_compressor.trainable import Trainable, prepare
from sparsebook_compressor.trainable.table import documented
from tests.unit.compressor.kinds.families import FAMILIES
from tests.unit.compressor.models import (
    HIDING,
    Hiding,
    K,
    N,
    constant,
    feeds_of,
    graph_of,
    model_of,
    node,
    value,
    values,
)
from tests.unit.compressor.trainable.running import ROOT, Prepared, difference, run


def written(folder: Path, model: ModelProto) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def prepared(folder: Path, model: ModelProto, **how: object) -> Trainable:
    return Prepared.of(written(folder, model), **how).trainable


def simple(nodes: list[onnx.NodeProto], opset: int = 17, **constants: np.ndarray) -> ModelProto:
    """x [n, K] -> y."""
    return model_of(graph_of(nodes, [value("x", ["n", K])], [value("y", None)], constants), opset)


@pytest.mark.parametrize("hiding", HIDING, ids=lambda hiding: hiding.name)
def test_a_weight_is_found_wherever_it_hides(hiding: Hiding, tmp_path: Path) -> None:
    path = hiding.write(tmp_path)
    original = path.read_bytes()
    model = load(path)
    view = survey(model, path)
    light = model.SerializeToString()
    feeds = feeds_of(model)
    shapes = {name: array.shape for name, array in feeds.items()}
    if hiding.name in FROZEN:
        with pytest.raises(NotTrainable):
            prepare(model, view, shapes=shapes)
        return
    found = Prepared(path, view, prepare(model, view, shapes=shapes))
    assert model.SerializeToString() == light
    assert path.read_bytes() == original
    weights = {weight.name: weight for weight in view.weights}
    tensors = {tensor.name: tensor for tensor in found.trainable.model.graph.initializer}
    for weight, name in found.trainable.weights.items():
        tensor = tensors[name]
        assert tuple(tensor.dims) == weights[weight].shape
        assert tensor.data_type == TensorProto.FLOAT
        assert not tensor.raw_data
        assert not tensor.float_data
    frozen = {each.weight for each in found.trainable.frozen}
    assert frozen | set(found.trainable.weights) == set(weights)
    assert not found.trainable.model.functions
    assert 13 <= opset(found.trainable.model) <= 21
    assert found.trainable.model.ir_version <= 10
    wide = {k: v.astype(np.float32) if v.dtype.kind == "f" else v for k, v in feeds.items()}
    got = run(found.filled(), wide)
    narrow = any("float32 everywhere" in each for each in found.trainable.rewritten)
    assert difference(run(path, feeds), got) < (1e-2 if narrow else 1e-5)


# Their weights are used inside If, Loop or Scan.
FROZEN = frozenset(
    {
        "If",
        "LSTM in an If, its weights outside",
        "LSTM whose forget gate is coupled",
        "LSTM with a clip",
        "LSTM with other activations",
        "LSTM with peepholes",
        "external data in If",
        "outer weight used in If",
        "outer weight decoded for If",
        "transposed outside If, used inside",
        "Loop",
        "Scan",
        "passed to a function from an If",
        "If in Loop in If",
        "subgraph of a local function",
    }
)


def test_what_lies_before_an_op_without_gradient_is_frozen_and_says_so(tmp_path: Path) -> None:
    nodes = [
        node("MatMul", ["x", "first"], ["a"], name="early"),
        node("Hardmax", ["a"], ["b"], name="hard"),
        node("MatMul", ["b", "second"], ["y"]),
    ]
    model = simple(nodes, first=values(K, N), second=values(N, K))
    found = prepared(tmp_path, model)
    (frozen,) = found.frozen
    assert frozen == ("first", "its gradient would pass Hardmax 'hard', which has none")


def test_a_weight_with_a_good_and_a_bad_way_is_frozen(tmp_path: Path) -> None:
    nodes = [
        node("MatMul", ["x", "first"], ["a"]),
        node("Hardmax", ["a"], ["b"], name="hard"),
        node("Add", ["a", "b"], ["c"]),
        node("MatMul", ["c", "second"], ["y"]),
    ]
    found = prepared(tmp_path, simple(nodes, first=values(K, N), second=values(N, K)))
    assert [each.weight for each in found.frozen] == ["first"]


def test_a_way_through_integers_ends_the_gradient_and_freezes_nothing_else(tmp_path: Path) -> None:
    nodes = [
        node("MatMul", ["x", "first"], ["a"]),
        node("ArgMax", ["a"], ["places"], axis=1),
        node("Cast", ["places"], ["b"], to=TensorProto.FLOAT),
        node("Add", ["a", "b"], ["c"]),
        node("MatMul", ["c", "second"], ["y"]),
    ]
    found = prepared(tmp_path, simple(nodes, first=values(K, N), second=values(N, K)))
    assert found.frozen == ()


def test_outputs_that_the_loss_does_not_look_at_freeze_nothing(tmp_path: Path) -> None:
    nodes = [
        node("MatMul", ["x", "w"], ["y"]),
        node("Hardmax", ["y"], ["hard"], name="hard"),
    ]
    graph = graph_of(
        nodes, [value("x", ["n", K])], [value("y", None), value("hard", None)], {"w": values(K, N)}
    )
    with pytest.raises(NotTrainable, match="Hardmax 'hard'"):
        prepared(tmp_path, model_of(graph))
    assert prepared(tmp_path, model_of(graph), outputs=["y"]).frozen == ()


def test_a_graph_without_any_gradient_is_refused(tmp_path: Path) -> None:
    nodes = [node("MatMul", ["x", "w"], ["a"]), node("ArgMax", ["a"], ["y"], axis=1)]
    graph = graph_of(
        nodes, [value("x", ["n", K])], [value("y", None, TensorProto.INT64)], {"w": values(K, N)}
    )
    with pytest.raises(NotTrainable, match="no float output of the graph depends on it"):
        prepared(tmp_path, model_of(graph))


def test_vectors_are_named_as_the_original_names_them(tmp_path: Path) -> None:
    nodes = [
        node("Gemm", ["x", "w", "bias"], ["a"]),
        constant("offset", values(N)),
        node("MatMul", ["a", "v"], ["b"]),
        node("Add", ["b", "offset"], ["c"]),
        node("Add", ["c", "scalar"], ["y"]),
    ]
    scalar = np.array(2, np.float32)
    model = simple(nodes, w=values(K, N), v=values(N, N), bias=values(N), scalar=scalar)
    found = prepared(tmp_path, model)
    assert {vector.name for vector in found.vectors} == {"bias", "offset"}


def test_shapes_of_the_data_make_more_trainable(tmp_path: Path) -> None:
    nodes = [
        node("MatMul", ["x", "w"], ["a"]),
        node("CumSum", ["a", "axis"], ["y"], name="sums"),
    ]
    graph = graph_of(
        nodes,
        [value("x", ["n", "m", K])],
        [value("y", None)],
        {"w": values(K, N), "axis": np.array(1)},
    )
    with pytest.raises(NotTrainable, match="the length of its axis is free"):
        prepared(tmp_path, model_of(graph))
    assert prepared(tmp_path, model_of(graph), shapes={"x": (None, 7, K)}).frozen == ()


@pytest.mark.parametrize("version", [22, 23, 24, 25])
def test_newer_opsets_are_brought_down(version: int, tmp_path: Path) -> None:
    nodes = [
        node("MatMul", ["x", "w"], ["a"]),
        node(
            "RMSNormalization" if version > 22 else "HardSwish",
            ["a", *(["gain"] if version > 22 else [])],
            ["b"],
        ),
        node("Swish" if version == 24 else "Mish", ["b"], ["y"]),
    ]
    model = simple(nodes, version, w=values(K, N), **({"gain": values(N)} if version > 22 else {}))
    model.ir_version = 10
    path = written(tmp_path, model)
    found = Prepared.of(path)
    assert opset(found.trainable.model) == 21
    feeds = feeds_of(model)
    assert difference(run(path, feeds), run(found.filled(), feeds)) < 1e-5


def test_old_opsets_are_brought_up(tmp_path: Path) -> None:
    nodes = [node("MatMul", ["x", "w"], ["a"]), node("Dropout", ["a"], ["y"], ratio=0.5)]
    model = simple(nodes, 9, w=values(K, N))
    model.ir_version = 4
    found = prepared(tmp_path, model)
    assert opset(found.model) == 13
    assert found.rewritten[0] == "opset 9: converted to opset 13"


def test_an_op_that_training_opsets_lack_is_named(tmp_path: Path) -> None:
    nodes = [node("MatMul", ["x", "w"], ["a"]), node("CumProd", ["a", "axis"], ["y"])]
    model = simple(nodes, 26, w=values(K, N), axis=np.array(1))
    model.ir_version = 13
    with pytest.raises(NotTrainable, match=r"from opset 26 to 21.*CumProd"):
        prepared(tmp_path, model)


def test_the_documentation_shows_the_table() -> None:
    assert documented() in (ROOT / "docs/trainable.md").read_text()


def test_a_classifier_that_ends_in_maps_ends_in_their_matrix(tmp_path: Path) -> None:
    (family,) = (each for each in FAMILIES if each.name == "ZipMap")
    found = prepared(tmp_path, family.build())
    assert found.frozen == ()
    assert "maps: the matrix in the place of its maps" in found.rewritten
    assert not any(each.op_type == "ZipMap" for each in found.model.graph.node)
    (output,) = (each for each in found.model.graph.output if each.name == "maps")
    assert output.type.tensor_type.elem_type == TensorProto.FLOAT
