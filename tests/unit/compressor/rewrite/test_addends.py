"""What is added to a whole convolution, such as a residual, goes into the operator, whatever its shape turns out to be."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto

from sparsebook_compressor import decompress
from tests.unit.compressor.models import feeds_of, free, graph_of, model_of, node, value, values
from tests.unit.compressor.rewrite.test_fusing import (
    both,
    check_done,
    check_names,
    operators,
    ops,
    written,
)
from tests.unit.compressor.rewrite.test_outputs import check_close, check_sound, packed, run

CHANNELS, SIDE = 32, 9
IMAGE = value("x", ["n", CHANNELS, SIDE, SIDE])
WEIGHTS = {
    "k": values(CHANNELS, CHANNELS, 3, 3),
    "p": values(CHANNELS, CHANNELS, 1, 1),
    "kb": values(CHANNELS),
    "ab": values(CHANNELS, 1, 1),
}


def built(nodes: list[NodeProto], rank: int = 4, *more: onnx.ValueInfoProto) -> ModelProto:
    return model_of(graph_of(nodes, [IMAGE, *more], [free("y", rank)], WEIGHTS))


def conv(source: str, kernel: str, output: str, *bias: str) -> NodeProto:
    pads = [1] * 4 if kernel == "k" else [0] * 4
    return node("Conv", [source, kernel, *bias], [output], pads=pads)


def identity() -> ModelProto:
    """A block of a residual network: bias, residual, activation."""
    chain = [conv("x", "k", "h", "kb"), node("Add", ["x", "h"], ["s"])]
    return built([*chain, node("Relu", ["s"], ["y"])])


def projection() -> ModelProto:
    """Two convolutions that are added: the first one takes the other in."""
    both = [conv("x", "k", "h", "kb"), conv("x", "p", "g")]
    return built([*both, node("Add", ["h", "g"], ["s"]), node("Relu", ["s"], ["y"])])


def bias_behind_it() -> ModelProto:
    chain = [conv("x", "k", "h"), node("Add", ["h", "x"], ["s"])]
    return built([*chain, node("Add", ["ab", "s"], ["y"])])


def smaller() -> ModelProto:
    """An addend that is repeated along axes, as Add repeats it."""
    chain = [conv("x", "k", "h", "kb"), node("Add", ["h", "z"], ["s"])]
    return built([*chain, node("Relu", ["s"], ["y"])], 4, value("z", [CHANNELS, 1, SIDE]))


def larger() -> ModelProto:
    """An addend to whose shape the convolution's is repeated."""
    chain = [conv("x", "k", "h"), node("GlobalAveragePool", ["h0"], ["g"])]
    chain[0].output[0] = "h0"
    pooled = [*chain, conv("g", "p", "h"), node("Add", ["x", "h"], ["s"])]
    return built([*pooled, node("Relu", ["s"], ["y"])])


def of_higher_rank() -> ModelProto:
    chain = [conv("x", "k", "h"), node("Add", ["z", "h"], ["y"])]
    return built(chain, 5, value("z", [2, 1, CHANNELS, SIDE, 1]))


FUSED: list[tuple[Callable[[], ModelProto], list[tuple[str, str, int]]]] = [
    (identity, [("Conv", "relu", 4)]),
    (projection, [("Conv", "", 2), ("Conv", "relu", 4)]),
    (bias_behind_it, [("Conv", "", 4)]),
    (smaller, [("Conv", "relu", 4)]),
    (larger, [("Conv", "", 2), ("Conv", "relu", 3)]),
    (of_higher_rank, [("Conv", "", 3)]),
]


@pytest.mark.parametrize(
    ("build", "expected"), FUSED, ids=lambda case: getattr(case, "__name__", "")
)
def test_an_addend_is_taken_in_and_comes_back(
    build: Callable[[], ModelProto], expected: list[tuple[str, str, int]], tmp_path: Path
) -> None:
    original = build()
    artifact, dense = both(original, tmp_path)
    fused = onnx.load(artifact)
    assert operators(fused) == expected
    assert "Add" not in ops(fused)
    check_names(fused)
    feeds = feeds_of(original)
    check_close(run(artifact, feeds), run(dense, feeds), 1e-4)

    check_done(fused)

    restored = tmp_path / "restored.onnx"
    decompress(artifact, restored)
    plain = onnx.load(restored)
    check_sound(plain)
    lost = ["Add"] if build is bias_behind_it else []  # a Conv has a bias of its own
    assert sorted([*ops(plain), *lost]) == ops(original)
    check_close(run(restored, feeds), run(dense, feeds), 1e-6)


def to_itself() -> ModelProto:
    return built([conv("x", "k", "h"), node("Add", ["h", "h"], ["y"])])


def wanted_elsewhere() -> ModelProto:
    both = [conv("x", "k", "h"), node("Add", ["h", "x"], ["s"]), node("Mul", ["h", "s"], ["y"])]
    return built(both)


def behind_an_activation() -> ModelProto:
    chain = [conv("x", "k", "h"), node("Relu", ["h"], ["r"]), node("Add", ["r", "x"], ["y"])]
    return built(chain)


@pytest.mark.parametrize("build", [to_itself, wanted_elsewhere, behind_an_activation])
def test_what_is_not_added_to_the_sums_alone_stays_apart(
    build: Callable[[], ModelProto], tmp_path: Path
) -> None:
    original = build()
    artifact, dense = both(original, tmp_path)
    assert "Add" in ops(onnx.load(artifact))
    feeds = feeds_of(original)
    check_close(run(artifact, feeds), run(dense, feeds), 1e-4)


def test_an_addend_that_does_not_fit_is_told(tmp_path: Path) -> None:
    model = smaller()
    artifact = packed(written(model, tmp_path), "operator", tmp_path)
    feeds = feeds_of(model) | {"z": np.ones((CHANNELS, 1, SIDE + 1), np.float32)}
    declared = onnx.load(artifact)
    declared.graph.input[1].CopyFrom(value("z", [CHANNELS, 1, None]))
    artifact.write_bytes(declared.SerializeToString())
    with pytest.raises(
        Exception,
        match=r"the addend has shape \[32, 1, 10\], which does not fit the convolution's, \[\d, 32, 9, 9\]",
    ):
        run(artifact, feeds)
