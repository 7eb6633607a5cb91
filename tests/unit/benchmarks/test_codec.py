"""The benchmark of the codecs: its counts, and that what it hands to others is what was encoded."""

import math
from pathlib import Path

import numpy as np
import onnx
import pytest

from benchmarks import codec_runs
from sparsebook_compressor.graph.view import survey
from tests.e2e.models import mlp


def test_the_entropy_is_that_of_mask_and_codes() -> None:
    codes = np.array([0] * 4 + [1] * 2 + [2, 3], np.uint8)
    # Eight elements of one bit each, four codes of one and a half bits.
    assert codec_runs.entropy(codes) == pytest.approx((8 + 6) / 8)
    assert codec_runs.entropy(np.zeros(9, np.uint8)) == 0


def test_a_weight_is_encoded_and_its_codes_handed_on_in_the_order_of_their_values(
    tmp_path: Path,
) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(mlp(64, 300), path)
    (weight,) = survey(onnx.load(path), path).weights
    row = codec_runs._row("model", weight, 0.1, 5, tmp_path)
    assert (row.elements, row.shape) == (math.prod(weight.shape), weight.shape)
    sizes = {codec: (tmp_path / f"0.{codec}").stat().st_size for codec in ("huffman", "context")}
    assert {codec: row.bytes[codec] for codec in sizes} == sizes
    signed = np.load(tmp_path / "0.npz")["codes"]
    values = weight.read().reshape(weight.shape)
    kept = np.argsort(values[signed != 0])
    assert np.count_nonzero(signed) == round(0.1 * row.elements)
    assert (np.diff(signed[signed != 0][kept]) >= 0).all()
    assert (np.sign(signed[signed != 0]) == np.sign(values[signed != 0])).all()


def test_rows_add_up() -> None:
    row = codec_runs.Row("m", "w", (2,), 2, 1.5, {"huffman": 3}, {"share": 0.5}, {"context": 0.1})
    total = codec_runs.summed([row, row], "both")
    assert (total.elements, total.entropy, total.bytes) == (4, 3.0, {"huffman": 6})
    assert total.decode == {"context": 0.2, "elements": 4.0}
