"""Weights that a rewrite would take from whom they belong to are left alone, with the reason."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
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


def product(inputs: set[str], ir: int) -> ModelProto:
    nodes = [node("MatMul", ["x", "w"], ["m"]), node("Add", ["m", "b"], ["y"])]
    listed = [value("w", [K, K]), value("b", [K])]
    graph = graph_of(
        nodes,
        [X, *(each for each in listed if each.name in inputs)],
        [Y],
        {"w": values(K, K), "b": values(K)},
    )
    return model_of(graph, ir=ir)


@pytest.mark.parametrize(
    ("inputs", "ir", "found"),
    [
        (set(), 8, {"w"}),
        ({"b"}, 8, {"w"}),
        ({"w"}, 8, set()),
        ({"w"}, 4, set()),
        ({"w", "b"}, 8, {"w"}),
        ({"w", "b"}, 3, {"w"}),
    ],
)
def test_a_weight_that_a_caller_may_override_is_left_alone(
    inputs: set[str], ir: int, found: set[str]
) -> None:
    """Unless all constants are inputs: that is how older exporters write every model."""
    view = view_of(product(inputs, ir))
    assert names(view) == found
    if not found:
        assert reasons(view)["w"] == "may be overridden by the caller (it is also an input)"


def test_an_initial_value_of_a_subgraphs_input_is_left_alone() -> None:
    """Loop gives its body every input, so the initializer of that name is never read."""
    body = graph_of(
        [
            node("MatMul", ["h", "w"], ["next"]),
            node("Identity", ["go"], ["on"]),
            node("Mul", ["w", "h"], ["same"]),
        ],
        [
            value("i", [], TensorProto.INT64),
            value("go", [], TensorProto.BOOL),
            value("h", [K, K]),
            value("w", [K, K]),
        ],
        [value("on", [], TensorProto.BOOL), value("next", None), value("same", None)],
        {"w": values(K, K)},
    )
    run = node("Loop", ["count", "", "x", "x"], ["y", "last"], body=body)
    view = view_of(model_of(graph_of([run], [X], [Y], {"count": np.array(3)})))
    assert names(view) == set()
    assert reasons(view)["w"] == "may be overridden by the caller (it is also an input)"
