"""Constant scales and shifts of a convolution's channels go into the operator and come back as a BatchNormalization."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto, numpy_helper

from sparsebook_compressor import decompress
from tests.unit.compressor.models import feeds_of, free, graph_of, model_of, node, value, values
from tests.unit.compressor.rewrite.test_addends import CHANNELS, SIDE, conv
from tests.unit.compressor.rewrite.test_fusing import (
    OPSETS,
    both,
    check_done,
    check_names,
    operators,
    ops,
    with_opset,
)
from tests.unit.compressor.rewrite.test_outputs import check_close, check_sound, run

IMAGE = value("x", ["n", CHANNELS, SIDE, SIDE])


def vectors(mark: str = "") -> dict[str, np.ndarray]:
    """Gains of both signs and variances of several orders."""
    return {
        f"{mark}gamma": 1 + values(CHANNELS),
        f"{mark}beta": values(CHANNELS),
        f"{mark}mean": values(CHANNELS),
        f"{mark}var": np.geomspace(1e-3, 10, CHANNELS, dtype=np.float32),
    }


WEIGHTS = {
    "k": values(CHANNELS, CHANNELS, 3, 3),
    "d": values(CHANNELS, 1, 3, 3),
    "kb": values(CHANNELS),
    "gain": (1 + values(CHANNELS)).reshape(1, CHANNELS, 1, 1),
    "offset": values(CHANNELS, 1, 1),
    "half": np.array(0.5, np.float32),
    "double": np.array(2.0, np.float32),
    **vectors(),
    **vectors("second."),
}


def built(nodes: list[NodeProto], opset: int = 17) -> ModelProto:
    used = {name for each in nodes for name in each.input}
    weights = {name: array for name, array in WEIGHTS.items() if name in used}
    return with_opset(graph_of(nodes, [IMAGE], [free("y", 4)], weights), opset)


def norm(source: str, output: str, mark: str = "", **attributes: float) -> NodeProto:
    names = [f"{mark}{name}" for name in ("gamma", "beta", "mean", "var")]
    return node("BatchNormalization", [source, *names], [output], **attributes)


def plain(opset: int = 17) -> ModelProto:
    return built([conv("x", "k", "h"), norm("h", "y")], opset)


def with_a_bias(opset: int = 17) -> ModelProto:
    chain = [conv("x", "k", "h", "kb"), norm("h", "b", epsilon=1e-3), node("Relu", ["b"], ["y"])]
    return built(chain, opset)


def residual_block() -> ModelProto:
    chain = [conv("x", "k", "h"), norm("h", "b"), node("Add", ["x", "b"], ["s"])]
    return built([*chain, node("Relu", ["s"], ["y"])])


def depthwise() -> ModelProto:
    first = node("Conv", ["x", "d"], ["h"], pads=[1] * 4, group=CHANNELS)
    return built([first, norm("h", "b"), node("Relu", ["b"], ["y"])])


def spelled_out() -> ModelProto:
    """As converters from Caffe write it: Mul, then Add, with the constant on either side."""
    chain = [conv("x", "k", "h", "kb"), node("Mul", ["gain", "h"], ["m"])]
    return built([*chain, node("Add", ["m", "offset"], ["y"])])


def scale_alone() -> ModelProto:
    return built([conv("x", "k", "h"), node("Mul", ["h", "half"], ["y"])])


def one_after_the_other() -> ModelProto:
    chain = [conv("x", "k", "h", "kb"), norm("h", "b"), node("Mul", ["b", "half"], ["m"])]
    return built([*chain, norm("m", "y", "second.")])


def one_undoes_the_other() -> ModelProto:
    chain = [conv("x", "k", "h"), node("Mul", ["h", "half"], ["m"])]
    return built([*chain, node("Mul", ["double", "m"], ["y"])])


def shared() -> ModelProto:
    """Two convolutions with the same vectors: these stay until both have taken them in."""
    chain = [conv("x", "k", "h"), norm("h", "b"), node("Relu", ["b"], ["r"])]
    return built([*chain, conv("r", "k", "g", "kb"), norm("g", "y")])


FUSED: list[tuple[Callable[[], ModelProto], list[tuple[str, str, int]]]] = [
    (plain, [("Conv", "", 4)]),
    (with_a_bias, [("Conv", "relu", 4)]),
    (residual_block, [("Conv", "relu", 5)]),
    (depthwise, [("Conv", "relu", 4)]),
    (spelled_out, [("Conv", "", 4)]),
    (scale_alone, [("Conv", "", 3)]),
    (one_after_the_other, [("Conv", "", 4)]),
    (one_undoes_the_other, [("Conv", "", 3)]),
    (shared, [("Conv", "relu", 4), ("Conv", "", 4)]),
]


@pytest.mark.parametrize(
    ("build", "expected"), FUSED, ids=lambda case: getattr(case, "__name__", "")
)
def test_a_scale_is_taken_in_and_comes_back(
    build: Callable[[], ModelProto], expected: list[tuple[str, str, int]], tmp_path: Path
) -> None:
    check(build(), expected, tmp_path)


@pytest.mark.parametrize("build", [plain, with_a_bias], ids=["plain", "with a bias"])
@pytest.mark.parametrize("opset", OPSETS)
def test_in_every_opset(opset: int, build: Callable[[int], ModelProto], tmp_path: Path) -> None:
    kind = "" if build is plain else "relu"
    check(build(opset), [("Conv", kind, 4)], tmp_path)


def check(original: ModelProto, expected: list[tuple[str, str, int]], folder: Path) -> None:
    artifact, dense = both(original, folder)
    fused = onnx.load(artifact)
    assert operators(fused) == expected
    assert ops(fused) == ["Conv"] * len(expected)
    held = [tensor.name for tensor in fused.graph.initializer]
    named = {name for each in fused.graph.node for name in each.input}
    assert set(held) <= named  # what was taken in is gone
    check_names(fused)
    feeds = feeds_of(original)
    check_close(run(artifact, feeds), run(dense, feeds), 1e-4)

    check_done(fused)

    restored = folder / "restored.onnx"
    decompress(artifact, restored)
    again = onnx.load(restored)
    check_sound(again)
    check_names(again)
    assert ops(again).count("BatchNormalization") == len(expected)
    check_close(run(restored, feeds), run(dense, feeds), 1e-5)


def test_an_artifact_that_is_compressed_again_keeps_its_bits(tmp_path: Path) -> None:
    """Mean 0 and variance 1 take nothing from the scale."""
    artifact, _ = both(with_a_bias(), tmp_path)
    decompress(artifact, tmp_path / "restored.onnx")
    folder = tmp_path / "again"
    folder.mkdir()
    second, _ = both(onnx.load(tmp_path / "restored.onnx"), folder)
    found = [
        sorted(
            numpy_helper.to_array(tensor).tobytes()
            for tensor in onnx.load(each).graph.initializer
            if tensor.data_type == onnx.TensorProto.FLOAT
        )
        for each in (artifact, second)
    ]
    assert len(found[0]) == 2
    assert found[0] == found[1]


def in_training() -> ModelProto:
    return built([conv("x", "k", "h"), norm("h", "y", training_mode=1)])


def of_no_variance() -> ModelProto:
    """An epsilon of 0 and a variance of 0: no float says what that multiplies by."""
    model = built([conv("x", "k", "h"), norm("h", "y", epsilon=0.0)])
    variance = next(each for each in model.graph.initializer if each.name == "var")
    variance.CopyFrom(numpy_helper.from_array(np.zeros(CHANNELS, np.float32), "var"))
    return model


def vectors_of_a_caller() -> ModelProto:
    model = plain()
    model.graph.input.append(value("mean", [CHANNELS]))
    return model


def bias_of_a_caller() -> ModelProto:
    model = with_a_bias()
    model.graph.input.append(value("kb", [CHANNELS]))
    return model


def behind_a_residual() -> ModelProto:
    """The residual would be scaled as well."""
    chain = [conv("x", "k", "h"), node("Add", ["h", "x"], ["s"])]
    return built([*chain, norm("s", "y")])


def wanted_elsewhere() -> ModelProto:
    model = plain()
    model.graph.output.append(free("h", 4))
    return model


def squared() -> ModelProto:
    return built([conv("x", "k", "h"), node("Mul", ["h", "h"], ["y"])])


def along_the_last_axis() -> ModelProto:
    model = built([conv("x", "k", "h"), node("Mul", ["h", "columns"], ["y"])])
    model.graph.initializer.append(numpy_helper.from_array(values(SIDE), "columns"))
    return model


def that_adds_an_axis() -> ModelProto:
    model = built([conv("x", "k", "h"), node("Mul", ["h", "deep"], ["y"])])
    deep = np.ones((1, 1, 1, 1, 1), np.float32)
    model.graph.initializer.append(numpy_helper.from_array(deep, "deep"))
    model.graph.output[0].CopyFrom(free("y", 5))
    return model


APART = [
    in_training,
    of_no_variance,
    vectors_of_a_caller,
    bias_of_a_caller,
    behind_a_residual,
    wanted_elsewhere,
    squared,
    along_the_last_axis,
    that_adds_an_axis,
]


@pytest.mark.parametrize("build", APART, ids=lambda build: build.__name__)
def test_what_would_change_the_model_stays_apart(
    build: Callable[[], ModelProto], tmp_path: Path
) -> None:
    model = build()
    artifact, dense = both(model, tmp_path)
    fused = onnx.load(artifact)
    (operator,) = [each for each in fused.graph.node if each.domain == "sparsebook"]
    assert len(operator.input) < 5
    left = {"BatchNormalization", "Mul"} & set(ops(model))
    assert left <= set(ops(fused))
    if build not in (in_training, of_no_variance):  # ONNX Runtime's CPU does not train
        feeds = feeds_of(model)
        check_close(run(artifact, feeds), run(dense, feeds), 1e-4)


def test_a_subgraph_takes_in_what_is_its_own(tmp_path: Path) -> None:
    inner = [conv("x", "k", "h"), norm("h", "a")]
    other = [conv("x", "k", "g", "kb"), norm("g", "b", "second.")]
    branches = {
        "then_branch": graph_of(inner, [], [value("a", None)]),
        "else_branch": graph_of(other, [], [value("b", None)]),
    }
    inputs = [IMAGE, value("flag", [], onnx.TensorProto.BOOL)]
    used = {name for each in (*inner, *other) for name in each.input}
    weights = {name: array for name, array in WEIGHTS.items() if name in used}
    graph = graph_of([node("If", ["flag"], ["y"], **branches)], inputs, [free("y", 4)], weights)
    model = model_of(graph, opset=17)
    artifact, dense = both(model, tmp_path)
    assert [found[0] for found in operators(onnx.load(artifact))] == ["Conv", "Conv"]
    assert ops(onnx.load(artifact)) == ["Conv", "Conv", "If"]
    for flag in (True, False):
        given = {**feeds_of(model), "flag": np.array(flag)}
        check_close(run(artifact, given), run(dense, given), 1e-4)
