"""A model that declares shapes which its nodes contradict runs in ONNX Runtime, and so does what is made of it."""

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import ModelProto

from sparsebook_compressor.rewrite import declared
from tests.unit.compressor.models import feeds_of, graph_of, model_of, node, value, values
from tests.unit.compressor.rewrite.test_outputs import OUTPUTS, check_close, packed, run

INPUT = value("x", ["n", 24])
WEIGHTS = {"w": values(24, 32), "b": values(32), "v": values(32, 32)}
LAYERS = [
    node("MatMul", ["x", "w"], ["h"]),
    node("Add", ["h", "b"], ["s"]),
    node("MatMul", ["s", "v"], ["t"]),
    node("Add", ["s", "t"], ["y"]),
]


def built(outputs: list[onnx.ValueInfoProto], *inner: onnx.ValueInfoProto) -> ModelProto:
    best = [node("ArgMax", ["y"], ["best"], axis=1, keepdims=0)]
    graph = graph_of(LAYERS + best, [INPUT], outputs, WEIGHTS)
    graph.value_info.extend(inner)
    return model_of(graph)


def honest() -> ModelProto:
    return built([value("y", ["n", 32])], value("t", ["rows", 32]))


def stale_size() -> ModelProto:
    """As left behind by a tool that changed a layer and not what is said of it."""
    return built([value("y", ["n", 32])], value("t", ["n", 127]))


def stale_rank() -> ModelProto:
    return built([value("y", ["n", 32])], value("s", ["n", 4, 8]), value("t", [32]))


def wrong_output() -> ModelProto:
    """ArgMax has no axis 1 of what is said to have one axis."""
    best = value("best", ["n"], onnx.TensorProto.INT64)
    return built([value("y", ["n"]), best])


WRONG: dict[Callable[[], ModelProto], set[str]] = {
    honest: set(),
    stale_size: {"t"},
    stale_rank: {"s", "t"},
    wrong_output: {"y"},
}


@pytest.mark.parametrize("build", WRONG)
def test_only_what_is_contradicted_is_corrected(build: Callable[[], ModelProto]) -> None:
    model, expected = build(), build()
    assert set(declared.correct(model)) == WRONG[build]
    for value_info in (*expected.graph.value_info, *expected.graph.output):
        if value_info.name in WRONG[build]:
            rows, columns = value_info.type.tensor_type.shape, {"s": 32, "t": 32, "y": 32}
            del rows.dim[:]
            rows.dim.add(dim_param="n")
            rows.dim.add(dim_value=columns[value_info.name])
    assert model == expected
    assert not declared.correct(model)


def test_where_nothing_can_be_inferred_all_stays_as_declared() -> None:
    model = stale_rank()
    model.graph.node[0].attribute.append(onnx.helper.make_attribute("to", 65536))
    model.graph.node[0].op_type = "Cast"  # ONNX throws a ValueError of its own
    expected = model.SerializeToString()
    assert declared.correct(model) == ()
    assert model.SerializeToString() == expected


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("build", WRONG)
def test_artifacts_run_all_the_same(
    build: Callable[[], ModelProto], output: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(build(), path)
    feeds = feeds_of(build())
    reference = run(packed(path, "dense", tmp_path / "reference"), feeds)
    check_close(run(packed(path, output, tmp_path), feeds), reference, 1e-5)
