"""Models whose weights are whole numbers already are told from models without weights."""

from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, helper

from sparsebook_compressor import Config, compress, estimate
from sparsebook_compressor.errors import NothingToCompress
from sparsebook_compressor.graph.quantised import quantised_bytes
from tests.unit.compressor.models import constant, free, graph_of, model_of, node, value

LEVELS = np.arange(-32, 32, dtype=np.int8).repeat(48).reshape(64, 48)


def quantised(*, in_node: bool) -> ModelProto:
    nodes = [
        node("DequantizeLinear", ["q", "scale"], ["w"]),
        node("MatMul", ["x", "w"], ["y"]),
    ]
    weights = {"scale": np.array(0.1, np.float32)}
    if in_node:
        nodes.insert(0, constant("q", LEVELS))
    else:
        weights["q"] = LEVELS
    return model_of(graph_of(nodes, [value("x", ["n", 64])], [free("y", 2)], weights))


@pytest.mark.parametrize("in_node", [False, True])
def test_a_quantised_model_is_said_to_be_one(tmp_path: Path, in_node: bool) -> None:
    model = quantised(in_node=in_node)
    assert quantised_bytes(model) == 64 * 48
    path = tmp_path / "int8.onnx"
    path.write_bytes(model.SerializeToString())
    said = r"int8\.onnx: no weight to compress: the model is quantised already, 3,072 bytes"
    with pytest.raises(NothingToCompress, match=said):
        compress(path, tmp_path / "out")
    with pytest.raises(NothingToCompress, match=said):
        estimate(path, Config())
    assert not (tmp_path / "out").exists()


def test_a_model_without_constants_is_not(tmp_path: Path) -> None:
    model = model_of(
        graph_of([node("Relu", ["x"], ["y"])], [value("x", ["n", 64])], [free("y", 2)])
    )
    path = tmp_path / "plain.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(NothingToCompress, match="no float constants at all"):
        compress(path, tmp_path / "out")


def test_numbers_in_attributes_are_named(tmp_path: Path) -> None:
    rows = np.arange(256, dtype=np.float32).tolist()
    scaler = node("Scaler", ["x"], ["y"], domain="ai.onnx.ml", offset=rows, scale=rows)
    graph = graph_of([scaler], [value("x", ["n", 256])], [free("y", 2)])
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    path = tmp_path / "scaler.onnx"
    path.write_bytes(
        helper.make_model(graph, opset_imports=imports, ir_version=8).SerializeToString()
    )
    with pytest.raises(NothingToCompress, match="numbers in attributes of Scaler stay"):
        compress(path, tmp_path / "out")
