"""Overrides that mean no weight are refused, not ignored."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from sparsebook_compressor import Config, compress
from sparsebook_compressor.errors import BadData, BadValue


def model(path: Path) -> Path:
    weight = np.random.default_rng(0).standard_normal((32, 16)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "fc.weight"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 16])],
        [numpy_helper.from_array(weight, "fc.weight")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


@pytest.mark.parametrize("glob", ["typo*", "FC.weight", "fc.weigh"])
def test_a_glob_that_matches_nothing_is_refused(glob: str, tmp_path: Path) -> None:
    config = Config.parse({"weights": {glob: {"bits": 4}}})
    with pytest.raises(BadValue, match=r"no weight has such a name; there are fc\.weight"):
        compress(model(tmp_path / "m.onnx"), tmp_path / "out", config)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("glob", ["*", "fc.*", "fc.weight", "fc.[w]eight"])
def test_a_glob_that_matches_is_followed(glob: str, tmp_path: Path) -> None:
    config = Config.parse({"weights": {glob: {"bits": 2, "density": 1.0}}})
    report = compress(model(tmp_path / "m.onnx"), tmp_path / "out", config)
    assert report.weights[0].centroids == 3
    assert report.weights[0].code_bits == 2


def test_an_artifact_without_its_library_is_not_verified(tmp_path: Path) -> None:
    report = compress(model(tmp_path / "m.onnx"), tmp_path / "out")
    assert report.fidelity.skipped == "no operator library was given to run the artifact with"
    assert (tmp_path / "out" / "model.onnx").exists()


def test_data_that_the_model_does_not_run_on_is_refused(tmp_path: Path) -> None:
    table = np.random.default_rng(0).standard_normal((20, 16)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "ids"], ["y"])],
        "g",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["n"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 16])],
        [numpy_helper.from_array(table, "table")],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "m.onnx"
    )
    np.savez(tmp_path / "data.npz", ids=np.full(10, 99))
    with pytest.raises(BadData, match="does not run on the data"):
        compress(
            tmp_path / "m.onnx",
            tmp_path / "out",
            Config.parse({"output": "dense"}),
            data=tmp_path / "data.npz",
        )
    assert not (tmp_path / "out").exists()
