"""Weights as 16-bit floats behind a Cast, wherever they were."""

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from sparsebook_compressor import admit
from sparsebook_compressor.graph.scopes import scopes
from sparsebook_compressor.graph.view import Weight, survey
from sparsebook_compressor.rewrite.halves import ROUNDING, halved, replace
from sparsebook_compressor.rewrite.surgery import Surgeon
from tests.unit.compressor.models import HIDING, Hiding, feeds_of, one_matmul
from tests.unit.compressor.rewrite.test_outputs import check_close, run


@pytest.mark.parametrize("hiding", HIDING, ids=lambda hiding: hiding.name)
def test_a_model_of_halves_computes_the_same(hiding: Hiding, tmp_path: Path) -> None:
    path = hiding.write(tmp_path)
    model = admit.load(path)
    view = survey(model, path)
    surgeon = Surgeon(model)
    size = count = 0
    for weight in view.weights:
        halves = halved(weight, weight.read())
        assert (halves is None) == (weight.dtype != TensorProto.FLOAT)
        if halves is not None:
            size += replace(surgeon, weight, halves)
            assert size
            count += 1
    surgeon.finish()
    made = tmp_path / "halves.onnx"
    made.write_bytes(model.SerializeToString())
    onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    casts = [
        node
        for scope in scopes(model)
        for node in scope.body.node
        if node.op_type == "Cast" and ".half" in node.input[0]
    ]
    assert len(casts) == count
    feeds = feeds_of(hiding.build())
    check_close(run(made, feeds), run(path, feeds), 2e-3)


@pytest.fixture
def weight(tmp_path: Path) -> Weight:
    path = tmp_path / "model.onnx"
    path.write_bytes(one_matmul().SerializeToString())
    (found,) = survey(admit.load(path), path).weights
    return found


def test_rounding_costs_what_is_reckoned_with(weight: Weight) -> None:
    big = dataclasses.replace(weight, shape=(1000, 1000))
    values = np.random.default_rng(0).standard_normal(1_000_000).astype(np.float32)
    halves = halved(big, values)
    assert halves is not None
    assert halves.shape == (1000, 1000)
    lost = np.square(values - halves.reshape(-1).astype(np.float32), dtype=np.float64).sum()
    assert lost / np.square(values, dtype=np.float64).sum() == pytest.approx(ROUNDING, rel=0.35)


@pytest.mark.parametrize("factor", [1e6, 1e-7], ids=["overflow", "subnormal"])
def test_values_that_halves_do_not_hold_are_left(factor: float, weight: Weight) -> None:
    values = np.random.default_rng(0).standard_normal(weight.elements).astype(np.float32)
    assert halved(weight, values) is not None
    assert halved(weight, values * np.float32(factor)) is None
