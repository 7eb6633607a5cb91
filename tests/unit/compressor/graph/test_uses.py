"""Uses are found through local functions, and the channel axis through whatever stands on the way."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import FunctionProto, NodeProto, helper

from sparsebook_compressor.graph.view import GraphView, Weight, survey
from tests.unit.compressor.models import (
    FLOAT,
    HIDING,
    free,
    graph_of,
    model_of,
    node,
    value,
    values,
)


def function(name: str, inputs: list[str], outputs: list[str], *nodes: NodeProto) -> FunctionProto:
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    return helper.make_function("local", name, inputs, outputs, list(nodes), imports)


def call(name: str, inputs: list[str], outputs: list[str]) -> NodeProto:
    return node(name, inputs, outputs, domain="local")


def view_of(
    nodes: list[NodeProto], *functions: FunctionProto, **constants: np.ndarray
) -> GraphView:
    graph = graph_of(nodes, [value("x", None)], [free("y", 2)], constants)
    return survey(model_of(graph, functions=list(functions)), Path("model.onnx"))


def only_weight(*args: Any, **constants: np.ndarray) -> Weight:
    (weight,) = view_of(*args, **constants).weights
    return weight


def hiding(name: str) -> dict[str, Weight]:
    model = next(hiding for hiding in HIDING if hiding.name == name).build()
    return {weight.name: weight for weight in survey(model, Path("model.onnx")).weights}


@pytest.mark.parametrize(
    ("name", "axes"),
    [
        ("passed to a local function", {"w": 1}),
        ("function called with two weights", {"w": 0, "v": 0}),
        ("passed to a function in a function of another opset", {"w": 1}),
        ("turned by a function", {"w": 0}),
        ("float16 turned before a local function", {"w": 0}),
    ],
)
def test_a_weight_is_followed_through_calls(name: str, axes: dict[str, int]) -> None:
    weights = hiding(name)
    assert {name: weight.channel_axis for name, weight in weights.items()} == axes
    for weight in weights.values():
        assert all(use.crosses_call for use in weight.uses)


def test_a_use_beside_a_call_does_not_cross_it() -> None:
    uses = hiding("kernel and local function of one weight")["w"].uses
    assert sorted(use.crosses_call for use in uses) == [False, True]


def test_each_call_leads_back_to_its_own_caller() -> None:
    """Two weights through one function: what it returns goes where its call's output goes."""
    turn = function("Turn", ["m"], ["t"], node("Transpose", ["m"], ["t"]))
    nodes = [
        call("Turn", ["w"], ["a"]),
        call("Turn", ["v"], ["b"]),
        node("MatMul", ["x", "a"], ["p"]),
        node("MatMul", ["b", "p"], ["y"]),
    ]
    weights = view_of(nodes, turn, w=values(16, 24), v=values(16, 40)).weights
    found = {weight.name: (weight.role_use.index, weight.channel_axis) for weight in weights}
    assert found == {"w": (1, 0), "v": (0, 1)}


def test_an_operand_inside_a_function_is_no_weight() -> None:
    shift = function("Shift", ["a", "b"], ["c"], node("Add", ["a", "b"], ["c"]))
    view = view_of([call("Shift", ["x", "w"], ["y"])], shift, w=values(16, 24))
    assert [kept.reason for kept in view.kept] == ["operand of Add (input 1), not a weight"]


def test_a_call_of_a_function_that_is_not_there_is_the_consumer() -> None:
    view = view_of([call("Unknown", ["x", "w"], ["y"])], w=values(16, 24))
    assert [kept.reason for kept in view.kept] == ["operand of Unknown (input 1), not a weight"]


def test_functions_that_call_each_other_end() -> None:
    """ONNX forbids it; a hostile file may still say so."""
    first = function("First", ["a", "b"], ["c"], call("Second", ["b", "a"], ["c"]))
    second = function(
        "Second",
        ["b", "a"],
        ["c"],
        call("First", ["a", "b"], ["d"]),
        node("MatMul", ["d", "b"], ["c"]),
    )
    weight = only_weight([call("First", ["x", "w"], ["y"])], first, second, w=values(16, 24))
    assert {use.node.op_type for use in weight.uses} == {"First", "MatMul"}


def test_calls_that_multiply_are_not_followed_to_the_end() -> None:
    """Thirty functions, each of which calls the next one twice, call the last one a thousand million times."""
    names = [f"F{number}" for number in range(30)]
    functions = [
        function(
            name,
            ["a", "w"],
            ["c"],
            call(deeper, ["a", "w"], ["b"]),
            call(deeper, ["b", "w"], ["c"]),
        )
        for name, deeper in itertools.pairwise(names)
    ]
    last = function(names[-1], ["a", "w"], ["c"], node("MatMul", ["a", "w"], ["c"]))
    view = view_of([call("F0", ["x", "w"], ["y"])], *functions, last, w=values(24, 24))
    assert [kept.reason for kept in view.kept] == ["too many nodes consume it"]


def test_the_consumer_that_gives_the_role_gives_the_axis() -> None:
    nodes = [node("Mul", ["w", "w"], ["squares"]), node("MatMul", ["x", "w"], ["y"])]
    weight = only_weight(nodes, w=values(64, 32))
    assert (weight.uses[0].node.op_type, weight.role_use.node.op_type) == ("Mul", "MatMul")
    assert weight.channel_axis == 1


@pytest.mark.parametrize(
    ("shape", "between", "axis"),
    [
        ((32, 64), [("Cast", {"to": FLOAT}), ("Transpose", {})], 0),
        ((32, 64), [("Transpose", {"perm": [1, 0]}), ("Identity", {})], 0),
        ((32, 64), [("Transpose", {}), ("Transpose", {})], 1),
        ((32, 64), [("Transpose", {"perm": [0, 1]})], 1),
        ((32, 64), [("Transpose", {"perm": [0, 5]})], 1),
        ((2, 3, 40), [("Transpose", {"perm": [2, 0, 1]})], 1),
        ((2, 3, 40), [("Transpose", {"perm": [1, 2, 0]}), ("Transpose", {})], 1),
        ((2, 3, 40), [("Flatten", {}), ("Transpose", {})], 0),
        ((32, 64), [("Unsqueeze", {"axes": [0]}), ("Transpose", {"perm": [0, 2, 1]})], 0),
        ((32, 64), [("Unsqueeze", {"axes": [0]})], 1),
    ],
)
def test_the_axis_is_followed_through_what_hands_the_weight_on(
    shape: tuple[int, ...], between: list[tuple[str, dict[str, Any]]], axis: int
) -> None:
    names = ["w", *(f"t{number}" for number in range(len(between)))]
    nodes = [
        node(op, [before], [after], **attributes)
        for (op, attributes), (before, after) in zip(
            between, itertools.pairwise(names), strict=True
        )
    ]
    nodes.append(node("MatMul", ["x", names[-1]], ["y"]))
    assert only_weight(nodes, w=values(*shape)).channel_axis == axis
