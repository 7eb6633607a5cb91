"""Where the original runs, so does what becomes of it, however old its operators are."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from sparsebook_compressor import Config, compress
from tests.unit.compressor.models import graph_of, model_of, node, value, values


@pytest.mark.parametrize("opset", range(1, 8))
@pytest.mark.parametrize("output", ["portable", "operator", "dense"])
def test_old_models_run(output: str, opset: int, tmp_path: Path) -> None:
    """A MatMul, which has been the same from the first opset on; `compress` runs original and artifact."""
    rows, columns = 160, 130
    inputs, outputs = [value("x", ["b", rows])], [value("y", ["b", columns])]
    graph = graph_of(
        [node("MatMul", ["x", "w"], ["y"])], inputs, outputs, {"w": values(rows, columns)}
    )
    path = tmp_path / "model.onnx"
    path.write_bytes(model_of(graph, opset=opset).SerializeToString())
    config = Config.parse({"preset": "paper", "output": output})
    report = compress(path, tmp_path / "bundle", config)
    if output != "operator":  # there is no library here that runs it
        assert report.fidelity.outputs[0].cosine > 0.5
    artifact = onnx.load(tmp_path / "bundle" / "model.onnx")
    ops = {each.op_type for each in artifact.graph.node}
    if output == "portable":
        assert ("Cast" in ops) == (opset >= 6)
        assert ("Div" in ops) == (opset >= 7)
    stored = {tensor.name: tensor for tensor in artifact.graph.initializer}
    if output == "dense" or (output == "portable" and opset < 6):
        found = onnx.numpy_helper.to_array(stored["w"])
        assert len(np.unique(found)) <= 256
        assert 0 < np.count_nonzero(found) < found.size // 2
