"""Frozen nodes: every released operator library runs them, today's and every later one."""

import hashlib
import json

import numpy as np
import onnx
import pytest

from tests.golden.make_nodes import FOLDER, MANIFEST, goldens
from tests.unit.runtime.models import session

NODES = json.loads(MANIFEST.read_text())


def test_the_manifest_lists_every_model_and_every_operator_has_one() -> None:
    assert {path.stem for path in FOLDER.glob("*.onnx")} == set(NODES) == set(goldens())
    operators = {onnx.load(FOLDER / f"{name}.onnx").graph.node[0].op_type for name in NODES}
    assert operators == {"Decode", "Gemm", "MatMul", "Conv", "LSTM", "GRU", "Gather"}


@pytest.mark.parametrize("name", NODES)
def test_the_model_is_the_one_that_was_frozen(name: str) -> None:
    data = (FOLDER / f"{name}.onnx").read_bytes()
    assert hashlib.sha256(data).hexdigest() == NODES[name]
    model = onnx.load_model_from_string(data)
    assert {entry.domain: entry.version for entry in model.opset_import}["sparsebook"] == 1


@pytest.mark.parametrize("name", NODES)
def test_the_library_gives_what_the_standard_operator_gave(name: str) -> None:
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as arrays:
        feed = {key: arrays[key] for key in arrays.files if key != "y"}
        expected = arrays["y"]
    running = session(onnx.load(FOLDER / f"{name}.onnx"))
    found = np.asarray(running.run(["y"], feed)[0])
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
