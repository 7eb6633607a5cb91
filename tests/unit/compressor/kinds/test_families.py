"""Every kind of model is compressed, runs, says nearly what it said, and keeps what is not ours to touch."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper

from sparsebook_compressor import Config, compress, decompress, inspect, measure
from sparsebook_compressor.feeds import input_specs, synthetic
from sparsebook_compressor.outputs import numbers
from sparsebook_runtime import library_path
from tests.unit.compressor.kinds.families import FAMILIES, Family

EVERY = {"weights": {"*": {"density": 1.0, "bits": 8}}}


@pytest.fixture(params=FAMILIES, ids=lambda family: family.name)
def family(request: pytest.FixtureRequest) -> Family:
    found: Family = request.param
    return found


def saved(family: Family, folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(family.build().SerializeToString())
    return path


@pytest.mark.parametrize("output", ["operator", "portable", "dense"])
def test_compressed_and_run(family: Family, output: str, tmp_path: Path) -> None:
    path = saved(family, tmp_path)
    config = Config.parse({**EVERY, "output": output})
    report = compress(path, tmp_path / "out", config, operator_library=library_path())
    taken = {row.name for row in report.weights} | {
        row.name for row in report.kept if row.reason.startswith("what it becomes")
    }
    assert taken == set(family.compressed)
    if output == "operator":
        assert {row.name for row in report.weights} == set(family.compressed)
    if family.runs:
        assert report.fidelity.skipped is None
        for found in report.fidelity.outputs:
            assert found.relative_error < 0.05, found
    else:
        assert report.fidelity.skipped
    made = onnx.load(tmp_path / "out/model.onnx")
    before = {tensor.name: tensor for tensor in family.build().graph.initializer}
    after = {tensor.name: tensor for tensor in made.graph.initializer}
    for name in family.untouched:
        np.testing.assert_array_equal(
            numpy_helper.to_array(before[name]), numpy_helper.to_array(after[name])
        )


def test_back_to_floats(family: Family, tmp_path: Path) -> None:
    path = saved(family, tmp_path)
    compress(path, tmp_path / "out", Config.parse(EVERY), verify=False)
    assert inspect(tmp_path / "out/model.onnx").kind == "artifact"
    decompress(tmp_path / "out/model.onnx", tmp_path / "plain.onnx")
    if not family.runs:
        return
    (feed, *_) = synthetic(input_specs(family.build()), 8, 8, 0)
    expected = measure.session(tmp_path / "out/model.onnx", library_path()).run(None, feed)
    options = ort.SessionOptions()
    plain = ort.InferenceSession(
        tmp_path / "plain.onnx", options, providers=["CPUExecutionProvider"]
    )
    for given, found in zip(expected, plain.run(None, feed), strict=True):
        a, b = numbers(given), numbers(found)
        assert a is not None
        assert b is not None
        np.testing.assert_allclose(a, b, rtol=2e-2, atol=2e-3)
