"""What the paper's benchmark computes itself: statistics, settings, factors, and the digests of its data."""

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
import pytest
from onnx import numpy_helper

from benchmarks import mnist
from benchmarks.lenets import LENETS
from benchmarks.paper_configs import (
    CONFIGS,
    FIGURE_CONFIGS,
    VARIED,
    varied,
    with_bits,
    with_density,
)
from benchmarks.paper_figures import figure_jobs
from benchmarks.paper_numbers import LAYERS, TABLE_1
from benchmarks.paper_statistics import Spread, paired_loss
from benchmarks.paper_svd import factor
from sparsebook_compressor import Config


def test_a_loss_has_an_interval_that_narrows_with_images_and_seeds() -> None:
    rng = np.random.default_rng(0)
    original = rng.random(4000) < 0.98
    worse = [original & (rng.random(4000) < 0.99) for _ in range(5)]
    many, few = paired_loss(original, worse), paired_loss(original[:500], [worse[0][:500]])
    assert many.low < many.mean < many.high
    assert many.mean == pytest.approx(0.01, abs=0.003)
    assert many.low > 0
    assert few.high - few.low > many.high - many.low


def test_models_that_agree_have_no_loss_and_one_value_has_no_deviation() -> None:
    original = np.arange(100) % 3 > 0
    loss = paired_loss(original, [original, original])
    assert (loss.mean, loss.low, loss.high) == (0.0, 0.0, 0.0)
    assert Spread.of([3.0]) == Spread(3.0, None)
    assert Spread.of([1.0, 3.0]) == Spread(2.0, pytest.approx(2**0.5))


@pytest.mark.parametrize("net", CONFIGS)
def test_every_setting_that_the_benchmark_makes_is_a_config(net: str) -> None:
    base = CONFIGS[net]
    made = [varied(base, what, factor) for what in VARIED for factor in (0.5, 2.0)]
    made += [base, with_bits(base, 8, 5), with_density(base, None), FIGURE_CONFIGS[net]]
    made += [job.settings for job in figure_jobs(net)]
    names = {tensor.name for tensor in LENETS[net].build(0).graph.initializer}
    for settings in made:
        config = Config.parse(settings)
        assert set(config.weights) <= names
    assert len({str(settings) for settings in made[:8]}) == 8


def test_the_paper_s_layers_are_those_of_our_nets() -> None:
    for net, lenet in LENETS.items():
        names = [tensor.name for tensor in lenet.build(0).graph.initializer]
        layers = [f"{layer.name}.weight" for layer in LAYERS[net][1] if layer.name != "all"]
        assert layers == [name for name in names if name.endswith(".weight")]
        [paper] = [row for row in TABLE_1 if row.name == net]
        assert paper.error[0] == pytest.approx(100 * lenet.paper_error)
        assert paper.bytes[0] / paper.bytes[1] == pytest.approx(paper.ratio, abs=1)
        assert len(lenet.build(0).SerializeToString()) == pytest.approx(paper.bytes[0], rel=0.01)


def test_weights_of_low_rank_are_factored_exactly() -> None:
    rng = np.random.default_rng(0)
    low = (rng.standard_normal((40, 4)) @ rng.standard_normal((4, 30))).astype(np.float32)
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17]>
        g (float[n, 40] x) => (float[n, 30] y) { h = Gemm(x, weight)  y = Gemm(h, last) }"""
    )
    last = np.eye(30, dtype=np.float32)
    model.graph.initializer.append(numpy_helper.from_array(low, "weight"))
    model.graph.initializer.append(numpy_helper.from_array(last, "last"))
    small = factor(model, 0.25)
    shapes = {tensor.name: tuple(tensor.dims) for tensor in small.graph.initializer}
    assert shapes == {"last": (30, 30), "weight.left": (40, 4), "weight.right": (4, 30)}
    x = rng.random((3, 40), np.float32)
    before, after = (_run(made, x) for made in (model, small))
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-4)
    assert len(factor(model, 1.8).graph.node) == 2  # nothing would be gained


def test_data_that_is_not_there_or_not_the_same_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"run `make \.data`"):
        mnist.read(tmp_path)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"something else")
    with pytest.raises(SystemExit, match="has the MD5"):
        mnist.read(tmp_path)


def _run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]
