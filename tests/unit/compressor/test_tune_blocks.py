"""Weights in blocks of codes: the same function and the same gradients as whole weights, whatever consumes them."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto

from sparsebook_compressor.training.orders.parameters import Fill, Parameter, share
from sparsebook_compressor.tuning import blocks
from sparsebook_compressor.tuning.blocks import share_in_blocks
from tests.unit.compressor.models import INT64, graph_of, model_of, node, value
from tests.unit.compressor.training.one_step import one_step, outputs

SAMPLES, CENTROIDS = 8, 7
RNG = np.random.default_rng(5)
ARRAYS = {
    "x": RNG.standard_normal((SAMPLES, 12)).astype(np.float32),
    "ids": RNG.integers(0, 9, (SAMPLES, 3)),
}
SHAPES = {
    "matmul": (12, 20),
    "gemm": (30, 20),
    "turned": (24, 30),
    "conv": (4, 6, 3),
    "grouped": (4, 2, 3, 1),
    "table": (9, 24),
    "whole": (SAMPLES, 16),
}
CONSTANTS = {
    "bias": RNG.standard_normal(30).astype(np.float32),
    "offset": RNG.standard_normal(4).astype(np.float32),
    "square": np.array([-1, 6, 4]),
    "image": np.array([-1, 4, 4, 1]),
    "flat": np.array([-1, 16]),
    "one": np.float32(1),
}
OUTPUTS = ("loss", "metric_sum", "metric_weight")
# Below and above the density up to which survivors have positions.
DENSITIES = (0.15, 0.6)
RATE = 0.1
Sharing = Callable[[ModelProto, str, np.ndarray, Callable[[], np.ndarray]], Parameter]


def graph() -> ModelProto:
    """Every way in which a weight is consumed; the table is tied: looked up, and the other operand of two products."""
    nodes = [
        node("MatMul", ["x", "matmul"], ["a"], name="a"),
        node("Gemm", ["a", "gemm", "bias"], ["b"], name="b", transB=1, alpha=0.5, beta=2.0),
        node("Transpose", ["turned"], ["turned.t"], name="t", perm=[1, 0]),
        node("MatMul", ["b", "turned.t"], ["c"], name="c"),
        node("Reshape", ["c", "square"], ["d"], name="d"),
        node("Conv", ["d", "conv", "offset"], ["e"], name="e", pads=[1, 1]),
        node("Reshape", ["e", "image"], ["e2"], name="e2"),
        node("Conv", ["e2", "grouped"], ["f"], name="f", pads=[1, 0, 1, 0], group=2),
        node("Reshape", ["f", "flat"], ["g"], name="g"),
        node("Mul", ["g", "whole"], ["h"], name="h"),
        node("ReduceMean", ["h"], ["i"], name="i", axes=[1], keepdims=1),
        node("Gather", ["table", "ids"], ["j"], name="j"),
        node("ReduceMean", ["j"], ["k"], name="k", axes=[1], keepdims=0),
        node("Gemm", ["k", "table"], ["l"], name="l", transB=1),
        node("Transpose", ["table"], ["table.t"], name="u", perm=[1, 0]),
        node("MatMul", ["k", "table.t"], ["m"], name="m"),
        node("Add", ["l", "m"], ["o"], name="o"),
        node("Add", ["o", "i"], ["y"], name="y"),
        node("Mul", ["y", "y"], ["s"], name="s"),
        node("ReduceMean", ["s"], ["loss"], name="loss", keepdims=0),
        node("Identity", ["loss"], ["metric_sum"], name="sum"),
        node("Identity", ["one"], ["metric_weight"], name="weight"),
    ]
    inputs = [value("x", ["n", 12]), value("ids", ["n", 3], INT64)]
    outputs = [value(name, []) for name in OUTPUTS]
    model = model_of(graph_of(nodes, inputs, outputs, CONSTANTS))
    for name, shape in SHAPES.items():
        hollow = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape)
        model.graph.initializer.append(hollow)
    return model


def coded(name: str, density: float) -> tuple[np.ndarray, np.ndarray]:
    """A codebook and codes."""
    rng = np.random.default_rng(len(name))
    codes = rng.integers(1, CENTROIDS + 1, int(np.prod(SHAPES[name]))).astype(np.uint8)
    codes[rng.random(codes.size) >= density] = 0
    return rng.standard_normal(CENTROIDS).astype(np.float32) / 4, codes


def enter(sharing: Sharing, density: float) -> tuple[ModelProto, Fill, dict[str, Parameter]]:
    """The graph with all of its weights shared."""
    model = graph()
    fill: Fill = {}
    entered = {}
    for name in SHAPES:
        codebook, codes = coded(name, density)
        entered[name] = sharing(model, name, codebook, partial(np.array, codes))
        fill.update(entered[name].fill)
    return model, fill, entered


def constants(entered: dict[str, Parameter]) -> list[str]:
    return [name for each in entered.values() for name in each.constants]


def loss(folder: Path, sharing: Sharing, density: float) -> float:
    """What the graph computes in ONNX Runtime."""
    model, fill, entered = enter(sharing, density)
    return float(outputs(folder, model, fill, ARRAYS, constants(entered))[0])


def step(folder: Path, sharing: Sharing, density: float) -> dict[str, np.ndarray]:
    """The codebooks after one step of the trainer program."""
    model, fill, entered = enter(sharing, density)
    parameters = [parameter.name for parameter in entered.values()]
    after = one_step(folder, model, fill, parameters, ARRAYS, RATE, constants(entered))
    return {name: after[each.name] for name, each in entered.items()}


@pytest.fixture(params=[64, 1 << 20], ids=["blocks", "one block"], autouse=True)
def _block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK", request.param)


@pytest.mark.parametrize("density", [0.0, *DENSITIES])
def test_the_function_is_that_of_whole_weights(density: float, tmp_path: Path) -> None:
    whole = loss(tmp_path / "whole", share, density) if density else None
    found = loss(tmp_path / "blocks", share_in_blocks, density)
    if whole is None:
        # Biases alone are left, and they end in a convolution of zeros.
        assert found == 0
    else:
        assert found == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize("density", DENSITIES)
def test_the_gradients_are_those_of_whole_weights(density: float, tmp_path: Path) -> None:
    whole = step(tmp_path / "whole", share, density)
    found = step(tmp_path / "blocks", share_in_blocks, density)
    for name in SHAPES:
        before, _ = coded(name, density)
        moves = found[name] - before
        assert np.abs(moves).max() > 0
        np.testing.assert_allclose(moves, whole[name] - before, rtol=1e-3, atol=1e-6)


def test_no_part_of_a_product_is_larger_than_a_block() -> None:
    model, _, _ = enter(share_in_blocks, 0.6)
    decoded = {
        node.output[0]: int(np.prod(onnx.numpy_helper.to_array(tensor)))
        for node in model.graph.node
        for tensor in model.graph.initializer
        if node.op_type == "Reshape"
        and tensor.name == node.input[1]
        and tensor.name[-5:] == ".dims"
    }
    for name in ("matmul", "gemm", "turned", "conv", "table"):
        sizes = [
            size for value, size in decoded.items() if value.startswith((f"{name}.", f"{name}_."))
        ]
        others = int(np.prod(SHAPES[name])) // SHAPES[name][0 if name == "matmul" else 1]
        assert sizes
        # Rows of what is summed over stay whole.
        assert max(sizes) <= blocks.BLOCK + others


def test_names_that_the_model_has_are_left_alone() -> None:
    model = graph()
    model.graph.initializer.append(
        onnx.numpy_helper.from_array(np.zeros(3, np.float32), "matmul.codebook")
    )
    codebook, codes = coded("matmul", 0.5)
    parameter = share_in_blocks(model, "matmul", codebook, lambda: codes)
    assert parameter.name == "matmul_.codebook"
    names = [tensor.name for tensor in model.graph.initializer]
    assert len(names) == len(set(names))
