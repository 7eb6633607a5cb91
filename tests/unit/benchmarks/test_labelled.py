"""What the benchmark of labelled nets builds: valid graphs that learn, settings that are configs, a control that prunes nothing."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from benchmarks.labelled import CONFIGS, unpruned
from benchmarks.labelled_nets import CLASSES, INPUT, NETS, SIDE, Net
from benchmarks.mnist import Part
from benchmarks.paper_runs import right
from sparsebook_compressor import Config, admit
from sparsebook_compressor.graph.view import survey
from sparsebook_compressor.trainable import prepare


@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
def test_a_net_is_valid_and_every_weight_of_it_has_a_gradient(net: Net, tmp_path: Path) -> None:
    model = net.build(0)
    onnx.checker.check_model(model, full_check=True)
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    admitted = admit.load(path)
    view = survey(admitted, path)
    trainable = prepare(admitted, view)
    assert not trainable.frozen
    assert {weight.name for weight in view.weights} >= set(CONFIGS[net.name]["weights"]) - {"*"}
    trained = {*trainable.weights, *(vector.name for vector in trainable.vectors)}
    floats = [
        tensor for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT
    ]
    assert {tensor.name for tensor in floats} - trained <= {"scale"}
    assert net.build(0).SerializeToString() == model.SerializeToString()
    assert net.build(1).SerializeToString() != model.SerializeToString()


@pytest.mark.parametrize("name", NETS)
def test_settings_are_configs_and_the_control_prunes_nothing(name: str) -> None:
    config = Config.parse(CONFIGS[name])
    control = Config.parse(unpruned(CONFIGS[name]))
    assert config.train.epochs == control.train.epochs
    assert (config.train.rate, control.train.rate) == (CONFIGS[name]["train"]["rate"], 0)
    assert {row["density"] for row in unpruned(CONFIGS[name])["weights"].values()} == {1.0}


@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
def test_the_committed_net_was_trained_and_reads_digits(net: Net) -> None:
    trained, fresh = onnx.load(net.trained), net.build(0)
    assert trained.graph.node == fresh.graph.node
    for one, other in zip(trained.graph.initializer, fresh.graph.initializer, strict=True):
        changed = not np.array_equal(numpy_helper.to_array(one), numpy_helper.to_array(other))
        assert changed == (one.data_type == onnx.TensorProto.FLOAT), one.name
    blank = Part(np.zeros((3, SIDE, SIDE), np.uint8), np.full(3, CLASSES))
    assert not right(net.trained, INPUT, (SIDE, SIDE), blank).any()
