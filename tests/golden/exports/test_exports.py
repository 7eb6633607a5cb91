"""What exporters of four frameworks write is compressed, runs, and says nearly what it said; `make.py` says how they were made."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from sparsebook_compressor import Config, compress, decompress, measure
from sparsebook_runtime import library_path

# `make exporters-test` has others, made by the exporters of the day.
FOLDER = Path(os.environ.get("SPARSEBOOK_TEST_EXPORTS") or Path(__file__).parent)
EXPORTS = sorted(FOLDER.glob("*.onnx"))
EVERY = {"weights": {"*": {"density": 1.0, "bits": 8}}}
# Of each net at least so many of its weights are found, wherever the exporter put them.
FOUND = {"mlp": 2, "mlp-regressor": 2, "cnn": 3, "lstm": 2, "transformer": 5}


def test_every_framework_is_there() -> None:
    frameworks = {path.stem.partition("-")[0] for path in EXPORTS}
    assert frameworks == {"paddle", "sklearn", "tensorflow", "torch"}
    assert set(json.loads((FOLDER / "manifest.json").read_text())) == {p.name for p in EXPORTS}


@pytest.mark.parametrize("output", ["operator", "portable"])
@pytest.mark.parametrize("path", EXPORTS, ids=lambda path: path.stem)
def test_compressed_and_run(path: Path, output: str, tmp_path: Path) -> None:
    config = Config.parse({**EVERY, "output": output})
    report = compress(path, tmp_path / "out", config, operator_library=library_path())
    net = path.stem.partition("-")[2].removesuffix("-script")
    kept = [row for row in report.kept if row.reason.startswith("what it becomes")]
    assert len(report.weights) + len(kept) >= FOUND.get(net, 1)
    assert report.fidelity.skipped is None
    labels = {"output_label", "label"}
    for found in report.fidelity.outputs:
        if found.name not in labels:
            assert found.relative_error < 0.05, found


@pytest.mark.parametrize("path", EXPORTS, ids=lambda path: path.stem)
def test_back_to_floats(path: Path, tmp_path: Path) -> None:
    compress(path, tmp_path / "out", Config.parse(EVERY), verify=False)
    decompress(tmp_path / "out/model.onnx", tmp_path / "plain.onnx")
    rng = np.random.default_rng(0)
    artifact = measure.session(tmp_path / "out/model.onnx", library_path())
    plain = measure.session(tmp_path / "plain.onnx")
    feed = {}
    for each in artifact.get_inputs():
        shape = [size if isinstance(size, int) else 2 for size in each.shape]
        is_float = each.type == "tensor(float)"
        values = rng.standard_normal(shape) if is_float else rng.integers(0, 50, shape)
        feed[each.name] = values.astype(np.float32 if is_float else np.int64)
    for a, b in zip(artifact.run(None, feed), plain.run(None, feed), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
