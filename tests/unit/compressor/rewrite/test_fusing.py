"""Biases and activations go into the operators before them where that changes nothing, and come back by `decompress`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto, TensorProto

from sparsebook_compressor import decompress
from sparsebook_compressor.graph.scopes import scopes
from sparsebook_compressor.rewrite.fusing import fuse
from tests.unit.compressor import models
from tests.unit.compressor.models import (
    constant,
    feeds_of,
    free,
    graph_of,
    model_of,
    node,
    value,
    values,
)
from tests.unit.compressor.rewrite.test_outputs import check_close, check_sound, packed, run

OPSETS = [7, 9, 13, 17, models.NEWEST]
IMAGE = value("image", ["n", 3, 8, 8])
ROWS = value("x", ["b", 24])


def operators(model: ModelProto) -> list[tuple[str, str, int]]:
    """Op, activation and number of inputs of every operator."""
    found = []
    for scope in scopes(model):
        for each in scope.body.node:
            if each.domain == "sparsebook":
                kind = next((a.s.decode() for a in each.attribute if a.name == "activation"), "")
                found.append((each.op_type, kind, sum(map(bool, each.input))))
    return found


def ops(model: ModelProto) -> list[str]:
    return sorted(each.op_type for scope in scopes(model) for each in scope.body.node)


def clip(opset: int, source: str, output: str, **bounds: float) -> list[NodeProto]:
    """A Clip, and its bounds as Constant nodes right before it where they are inputs."""
    if opset < 11:
        return [node("Clip", [source], [output], **bounds)]
    names = {end: f"{output}.{end}" for end in bounds}
    scalars = [constant(names[end], np.array(bounds[end], np.float32)) for end in bounds]
    inputs = [source, names.get("min", ""), names.get("max", "")]
    return [*scalars, node("Clip", inputs if "max" in bounds else inputs[:2], [output])]


def layers(opset: int, mark: str = "") -> list[NodeProto]:
    """A convolution and a product with everything that can be fused, and others with a part of it."""

    def named(*names: str) -> list[str]:
        return [f"{mark}{name}" for name in names]

    def clipped(source: str, output: str, **bounds: float) -> list[NodeProto]:
        return clip(opset, mark + source, mark + output, **bounds)

    return [
        node("Conv", ["image", "k"], named("c0"), name=f"{mark}first"),
        constant(f"{mark}kb", values(8).reshape(1, 8, 1, 1)),
        node("Add", named("kb", "c0"), named("c1")),
        node("Relu", named("c1"), named("c2")),
        node("Conv", [f"{mark}c2", "k2", "kb2"], named("c3")),
        *clipped("c3", "c4", min=-0.25, max=0.5),
        node("Flatten", named("c4"), named("f")),
        node("MatMul", [f"{mark}f", "w"], named("m0")),
        node("Add", [f"{mark}m0", "wb"], named("m1")),
        node("Relu", named("m1"), named("m2")),
        node("Gemm", [f"{mark}m2", "g", "gb"], named("g0"), transB=1),
        *clipped("g0", "g1", min=0.0),
        node("MatMul", [f"{mark}g1", "v"], named("v0")),
        *clipped("v0", "v1", max=1.0),
        node("MatMul", [f"{mark}v1", "u"], named("u0")),
        node("Add", ["ub", f"{mark}u0"], [f"{mark}y"]),
    ]


WEIGHTS = {
    "k": values(8, 3, 3, 3),
    "k2": values(16, 8, 3, 3),
    "kb2": values(16),
    "w": values(256, 40),
    "wb": values(40),
    "g": values(24, 40),
    "gb": values(24),
    "v": values(24, 32),
    "u": values(32, 20),
    "ub": values(1, 20),
}
FUSED = [
    ("Conv", "relu", 3),
    ("Conv", "clip", 3),
    ("MatMul", "relu", 3),
    ("Gemm", "clip", 3),
    ("MatMul", "clip", 2),
    ("MatMul", "", 3),
]


def straight(opset: int) -> ModelProto:
    declared = [
        free("c1", 4),
        value("m0", ["n", 40]),
        value("y", ["n", 20]),
        value("v1", ["n", 32]),
    ]
    graph = graph_of(
        layers(opset),
        [IMAGE],
        [value("y", ["n", 20])],
        WEIGHTS,
        value_info=declared,
    )
    return with_opset(graph, opset)


def branched(opset: int) -> ModelProto:
    """The same in both branches of an If: weights, biases and bounds of the graph around it serve both."""
    declared = [value(f"{branch}v1", ["n", 32]) for branch in ("a.", "b.")]
    then = graph_of(layers(opset, "a."), [], [value("a.y", None)], value_info=declared[:1])
    other = graph_of(
        [*layers(opset, "b."), node("Neg", ["b.y"], ["b.z"])],
        [],
        [value("b.z", None)],
        value_info=declared[1:],
    )
    choice = node("If", ["flag"], ["y"], then_branch=then, else_branch=other)
    inputs = [IMAGE, value("flag", [], TensorProto.BOOL)]
    return with_opset(graph_of([choice], inputs, [free("y", 2)], WEIGHTS), opset)


def with_opset(graph: onnx.GraphProto, opset: int) -> ModelProto:
    return model_of(graph, opset=opset, ir=11 if opset > 22 else 8)


def written(model: ModelProto, folder: Path) -> Path:
    path = folder / "source.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def both(model: ModelProto, folder: Path) -> tuple[Path, Path]:
    """A model packed with operators, and with plain floats of the same values to compare with."""
    path = written(model, folder)
    return packed(path, "operator", folder), packed(path, "dense", folder)


def check_names(model: ModelProto) -> None:
    """No value is made twice, and nothing is said of a value that is not there."""
    for scope in scopes(model):
        made = [name for each in scope.body.node for name in each.output if name]
        graph = scope.graph
        assert graph is not None
        made += [each.name for each in (*graph.initializer, *graph.input)]
        assert len(made) == len(set(made))
        assert {each.name for each in graph.value_info} <= set(made)


@pytest.mark.parametrize("build", [straight, branched])
@pytest.mark.parametrize("opset", OPSETS)
def test_all_that_is_fused_comes_back(
    opset: int, build: Callable[[int], ModelProto], tmp_path: Path
) -> None:
    original = build(opset)
    artifact, dense = both(original, tmp_path)
    fused = onnx.load(artifact)
    branches = 1 if build is straight else 2
    assert operators(fused) == FUSED * branches
    left = ["Constant", "Flatten"] * branches + ([] if build is straight else ["If", "Neg"])
    assert ops(fused) == sorted([*left, *(op for op, _, _ in FUSED * branches)])
    check_names(fused)

    feeds = feeds_of(original)
    for flag in (True, False) if "flag" in feeds else (None,):
        given = feeds if flag is None else {**feeds, "flag": np.array(flag)}
        check_close(run(artifact, given), run(dense, given), 1e-4)

    restored = tmp_path / "restored.onnx"
    decompress(artifact, restored)
    plain = onnx.load(restored)
    check_sound(plain)
    check_names(plain)
    expected = [op for op in ops(original) if op != "Constant"]
    for _ in range(branches):
        expected.remove("Add")  # a Conv has a bias of its own
    assert [op for op in ops(plain) if op != "Constant"] == expected
    check_close(run(restored, feeds), run(dense, feeds), 1e-6)


def check_done(fused: ModelProto) -> None:
    """Done again, it changes nothing."""
    before = fused.SerializeToString(deterministic=True)
    fuse(fused)
    assert fused.SerializeToString(deterministic=True) == before


def test_done_again_it_changes_nothing(tmp_path: Path) -> None:
    check_done(onnx.load(packed(written(branched(17), tmp_path), "operator", tmp_path)))


def test_the_order_of_nodes_does_not_matter(tmp_path: Path) -> None:
    """Two chains one after the other, and node by node in turn."""
    first, second = layers(17, "a."), layers(17, "b.")
    last = node("Concat", ["a.y", "b.y"], ["y"], axis=0)
    found = []
    for number, chains in enumerate(
        (first + second, [each for pair in zip(second, first, strict=True) for each in pair])
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        infos = [value(f"{mark}v1", ["n", 32]) for mark in ("a.", "b.")]
        graph = graph_of([*chains, last], [IMAGE], [free("y", 2)], WEIGHTS, value_info=infos)
        model = onnx.load(packed(written(model_of(graph), folder), "operator", folder))
        found.append(sorted(each.SerializeToString() for each in model.graph.node))
    assert len(found[0]) == 2 * (len(FUSED) + 2) + 1
    assert found[0] == found[1]


def product(nodes: list[NodeProto], opset: int = 17, **initializers: np.ndarray) -> ModelProto:
    """Y made of H = X W."""
    first = node("MatMul", ["x", "w"], ["h"])
    weights = {"w": values(24, 32), **initializers}
    return model_of(graph_of([first, *nodes], [ROWS], [free("y", 2)], weights), opset=opset)


def leaves_as_output() -> ModelProto:
    model = product([node("Relu", ["h"], ["y"])])
    model.graph.output.append(value("h", ["b", 32]))
    return model


def used_twice() -> ModelProto:
    return product([node("Relu", ["h"], ["r"]), node("Mul", ["h", "r"], ["y"])])


def used_in_a_branch() -> ModelProto:
    branches = {
        "then_branch": graph_of([node("Neg", ["h"], ["a"])], [], [value("a", None)]),
        "else_branch": graph_of([node("Abs", ["r"], ["b"])], [], [value("b", None)]),
    }
    model = product([node("Relu", ["h"], ["r"]), node("If", ["flag"], ["y"], **branches)])
    model.graph.input.append(value("flag", [], TensorProto.BOOL))
    return model


def activated_in_a_branch() -> ModelProto:
    branches = {
        "then_branch": graph_of([node("Relu", ["h"], ["a"])], [], [value("a", None)]),
        "else_branch": graph_of([node("Abs", ["x"], ["b"])], [], [value("b", None)]),
    }
    model = product([node("If", ["flag"], ["y"], **branches)])
    model.graph.input.append(value("flag", [], TensorProto.BOOL))
    return model


def bias_of_a_caller() -> ModelProto:
    model = product([node("Add", ["h", "bias"], ["y"])], bias=values(32))
    model.graph.input.append(value("bias", [32]))
    return model


def bias_of_one_element() -> ModelProto:
    return product([node("Add", ["h", "bias"], ["y"])], bias=values(1))


def bias_of_a_column() -> ModelProto:
    return product([node("Add", ["h", "bias"], ["y"])], bias=values(3, 1))


def bias_that_adds_an_axis() -> ModelProto:
    model = product([node("Add", ["h", "bias"], ["y"])], bias=values(1, 1, 32))
    model.graph.output[0].CopyFrom(free("y", 3))
    return model


def bias_for_an_unknown_rank() -> ModelProto:
    """A reshape to a shape that the caller gives: H may be a vector, then Y has one axis more."""
    nodes = [
        node("Reshape", ["x", "shape"], ["r"]),
        node("MatMul", ["r", "w"], ["h"]),
        node("Add", ["h", "bias"], ["y"]),
    ]
    inputs = [value("x", [3, 24]), value("shape", [2], models.INT64)]
    weights = {"w": values(24, 32), "bias": values(1, 32)}
    return model_of(graph_of(nodes, inputs, [free("y", 2)], weights))


def bounds_of_a_caller() -> ModelProto:
    model = product([node("Clip", ["h", "low"], ["y"])])
    model.graph.input.append(value("low", []))
    return model


def bias_along_the_last_axis() -> ModelProto:
    """As long as there are channels, but not along them."""
    nodes = [node("Conv", ["x", "k"], ["h"]), node("Add", ["h", "bias"], ["y"])]
    weights = {"k": values(8, 3, 3, 3), "bias": values(8)}
    return model_of(graph_of(nodes, [value("x", ["n", 3, 9, 10])], [free("y", 4)], weights))


APART = [
    leaves_as_output,
    used_twice,
    used_in_a_branch,
    activated_in_a_branch,
    bias_of_a_caller,
    bias_of_one_element,
    bias_of_a_column,
    bias_that_adds_an_axis,
    bias_for_an_unknown_rank,
    bounds_of_a_caller,
    bias_along_the_last_axis,
]


@pytest.mark.parametrize("build", APART, ids=lambda build: build.__name__)
def test_what_would_change_the_model_stays_apart(
    build: Callable[[], ModelProto], tmp_path: Path
) -> None:
    model = build()
    artifact, dense = both(model, tmp_path)
    assert [found[1:] for found in operators(onnx.load(artifact))] == [("", 2)]
    assert ops(onnx.load(artifact)) == ops(model)
    feeds = feeds_of(model)
    if "shape" in feeds:
        feeds["shape"] = np.array([3, 24])
    check_close(run(artifact, feeds), run(dense, feeds), 1e-4)


def test_the_second_bias_and_the_second_activation_stay(tmp_path: Path) -> None:
    nodes = [
        node("Add", ["h", "one"], ["a"]),
        node("Add", ["a", "two"], ["b"]),
        node("Relu", ["b"], ["c"]),
        node("MatMul", ["c", "v"], ["d"]),
        node("Relu", ["d"], ["e"]),
        *clip(17, "e", "f", max=1.0),
        node("Add", ["f", "two"], ["y"]),
    ]
    model = product(nodes, one=values(32), two=values(32) + 1, v=values(32, 32))
    artifact, dense = both(model, tmp_path)
    assert operators(onnx.load(artifact)) == [("MatMul", "", 3), ("MatMul", "relu", 2)]
    feeds = feeds_of(model)
    check_close(run(artifact, feeds), run(dense, feeds), 1e-4)


@pytest.mark.parametrize("known_by", ["a constant that is added", "a branch of it", "a product"])
def test_the_rank_is_known_by_what_goes_in(known_by: str, tmp_path: Path) -> None:
    """X is reshaped to whatever the caller says; what comes after has three axes all the same."""
    nodes = [node("Reshape", ["x", "shape"], ["r"]), node("Mul", ["r", "scale"], ["s"])]
    source = "s"
    if known_by == "a branch of it":
        nodes += [node("Tanh", ["r"], ["t"]), node("Add", ["t", "s"], ["a"])]
        source = "a"
    if known_by == "a product":
        nodes += [node("MatMul", ["s", "v"], ["p"])]
        source = "p"
    nodes += [node("MatMul", [source, "w"], ["h"]), node("Add", ["h", "bias"], ["y"])]
    inputs = [value("x", [3, 24]), value("shape", [2], models.INT64)]
    weights = {"w": values(24, 32), "v": values(24, 24), "scale": values(1, 3, 24)}
    weights["bias"] = values(1, 1, 32)
    model = model_of(graph_of(nodes, inputs, [free("y", 3)], weights))
    artifact, dense = both(model, tmp_path)
    assert operators(onnx.load(artifact))[-1] == ("MatMul", "", 3)
    feeds = {**feeds_of(model), "shape": np.array([3, 24])}
    check_close(run(artifact, feeds), run(dense, feeds), 1e-4)


@pytest.mark.parametrize("shared", ["another bias", "something else", "nothing"])
def test_a_bias_with_leading_axes_becomes_a_vector(shared: str, tmp_path: Path) -> None:
    """Where others use it as it is, it is left as it is."""
    nodes = [node("Add", ["h", "bias"], ["a"])]
    if shared == "another bias":
        nodes += [node("MatMul", ["x", "v"], ["b"]), node("Add", ["bias", "b"], ["c"])]
        nodes += [node("Mul", ["a", "c"], ["y"])]
    else:
        nodes += [node("Mul", ["a", "bias" if shared == "something else" else "x32"], ["y"])]
    model = product(nodes, bias=values(1, 32), v=values(24, 32) + 1, x32=values(3, 32))
    artifact, dense = both(model, tmp_path)
    fused = onnx.load(artifact)
    assert {found[2] for found in operators(fused)} == {3}
    shapes = {each.name: list(each.dims) for each in fused.graph.initializer}
    expected: dict[str, dict[str, list[int]]] = {
        "another bias": {"bias.vector": [32]},
        "something else": {"bias.vector": [32], "bias": [1, 32]},
        "nothing": {"bias": [32]},
    }
    assert {name: dims for name, dims in shapes.items() if "bias" in name} == expected[shared]
    feeds = feeds_of(model)
    check_close(run(artifact, feeds), run(dense, feeds), 1e-4)
    decompress(artifact, tmp_path / "restored.onnx")
    check_sound(onnx.load(tmp_path / "restored.onnx"))
    check_close(run(tmp_path / "restored.onnx", feeds), run(dense, feeds), 1e-6)
