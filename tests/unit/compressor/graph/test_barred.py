"""Weights that a rewrite would take from whom they belong to are left alone, with the reason."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
from onnx import GraphProto, ModelProto, TensorProto

from sparsebook_compressor.graph.view import GraphView, survey
from tests.unit.compressor.models import K, graph_of, model_of, node, value, values

SHADOWED = "its name is defined in a graph around it or inside it too, which ONNX forbids"
X, Y = value("x", ["batch", K]), value("y", ["batch", K])


def view_of(model: ModelProto) -> GraphView:
    return survey(model, Path("model.onnx"))


def names(view: GraphView) -> set[str]:
    return {weight.name for weight in view.weights}


def reasons(view: GraphView) -> dict[str, str]:
    return {kept.name: kept.reason for kept in view.kept}


def branch(name: str, **constants: np.ndarray) -> GraphProto:
    return graph_of([node("MatMul", ["x", "w"], [name])], [], [value(name, None)], constants)


def choice(then: GraphProto, other: GraphProto, **constants: np.ndarray) -> ModelProto:
    nodes = [node("If", ["flag"], ["y"], then_branch=then, else_branch=other, name="choice")]
    inputs = [X, value("flag", [], TensorProto.BOOL)]
    return model_of(graph_of(nodes, inputs, [Y], constants))


def test_a_name_of_two_scopes_one_in_the_other_is_left_alone() -> None:
    """ONNX Runtime gives the outer one to both branches here, though the inner one is nearer to its consumer."""
    outer, inner = values(K, K) * 2, values(K, K)
    model = choice(branch("a", w=inner), branch("b"), w=outer)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    x = np.eye(K, dtype=np.float32)
    np.testing.assert_array_equal(session.run(None, {"x": x, "flag": np.array(True)})[0], outer)
    view = view_of(model)
    assert names(view) == set()
    assert reasons(view) == {"w": SHADOWED, "choice.then_branch/w": SHADOWED}


def test_one_name_in_branches_side_by_side_is_fine() -> None:
    view = view_of(choice(branch("a", w=values(K, K)), branch("b", w=values(K, K) * 2)))
    assert len(names(view)) == len(view.weights) == 2
    assert view.kept == ()


def test_a_weight_that_is_handed_on_under_such_a_name_is_left_alone() -> None:
    then = graph_of(
        [node("MatMul", ["x", "t"], ["a"])], [], [value("a", None)], {"t": values(K, K)}
    )
    other = graph_of([node("MatMul", ["x", "t"], ["b"])], [], [value("b", None)])
    model = choice(then, other, w=values(K, K))
    model.graph.node.insert(0, node("Transpose", ["w"], ["t"]))
    view = view_of(model)
    assert names(view) == set()
    assert reasons(view) == {"w": SHADOWED, "t": SHADOWED}
